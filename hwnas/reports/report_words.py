"""What a report says in words: what was searched, what a score means, where values come from."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from hwnas.data.own_images import OwnImages
from hwnas.errors import HwnasError
from hwnas.pareto.json_csv import attribute_text
from hwnas.pareto.pareto_set import ObjectiveInfo, ParetoSet
from hwnas.pareto.same_device import parse_key
from hwnas.pareto.spread import LOW, P95
from hwnas.pareto.uncertainty import still_predicted
from hwnas.proxies import make_proxies
from hwnas.ranking.recipes import RECIPES

_COUNTS = ("evaluated", "infeasible", "pruned", "failed", "repeated")
_RUNTIMES = {
    "onnxruntime": "ONNX Runtime",
    "openvino": "OpenVINO",
    "torch": "PyTorch",
    "mnn": "MNN",
    "litert": "LiteRT",
    "tensorrt": "TensorRT",
}
_JOINED = {"log": "logarithms of the ranks", "sum": "ranks", "vote": "votes on each pair"}
_SPREAD = {
    LOW: "the 95 % interval of the median",
    P95: "p95, which 95 of 100 runs did not exceed",
}
_GIB = 2**30
_TOLD = ("host", "versions", "settings", "costs", "dataset", "created", "seed", *_COUNTS)

Panel = tuple[str, list[tuple[str, str]]]
"""A heading, and terms with their texts."""


def title(front: ParetoSet) -> str:
    """Name the objectives."""
    names = [o.name for o in front.objectives]
    if not len(front):
        return f"Empty Pareto set of {', '.join(names)}"
    return " against ".join(names) if len(names) < 3 else f"{', '.join(names[:-1])} and {names[-1]}"


def setting(front: ParetoSet) -> str:
    """Say how many members of which space there are, for what data, and on what."""
    known = front.provenance
    n = len(front)
    said = f"{n} architecture{'' if n == 1 else 's'} on the front"
    task = known.get("dataset")
    if isinstance(task, Mapping) and task.get("name"):
        said += f", for {task['name']}"
    devices = dict.fromkeys(
        device_words(str(cost.get("device"))) for cost in _costs(known) if cost.get("device")
    )
    told = [device for device in devices if not device.startswith("counted")]
    return f"{said}, on {'; '.join(told)}" if told else said


def counts(front: ParetoSet) -> list[tuple[str, str]]:
    """Give numbers of architectures and what they are numbers of."""
    numbers = {"on the front": len(front)}
    numbers |= {n: front.provenance[n] for n in _COUNTS if n in front.provenance}
    return [(str(number), name) for name, number in numbers.items()]


def command(provenance: Mapping[str, Any]) -> str:
    """Write the command that made the front; empty where that is not known.

    Example:
        >>> command({"settings": {"space": "fbnet", "costs": ["count:macs"], "trials": 9}})
        'hwnas search --space fbnet --cost count:macs --trials 9'
    """
    settings = provenance.get("settings")
    if not isinstance(settings, Mapping) or "space" not in settings:
        return ""
    words = ["hwnas", "search", *_networks(settings)]
    for name in ("objective", "cost", "constraint"):
        for value in settings.get(f"{name}s") or ():
            words += _option(name, value)
    words += _option("labels", settings.get("labels") or None)
    for text in settings.get("transfer") or ():
        words += _option("transfer", text)
    for name in ("sampler", "trials", "batch", "images", "seed"):
        words += _option(name, settings.get(name))
    words += _option("reduced", settings.get("reduced") or None)
    return shlex.join(words)


def _networks(settings: Mapping[str, Any]) -> list[str]:
    """Write what is searched and what for; images of the user's own say the latter."""
    own = re.fullmatch(r"([\w.]+:\w+):(\w+=.*)", str(settings["space"]))
    said = dict(part.partition("=")[::2] for part in own[2].split(",")) if own else {}
    of_function = own is not None and {"input", "classes"} <= said.keys()
    words = _option("model", own[1]) if own and of_function else _option("space", settings["space"])
    own_images = OwnImages.parse(str(settings.get("images")))
    if own_images is not None and settings.get("dataset") == own_images.name:
        return words
    if not of_function:
        return words + _option("dataset", settings.get("dataset"))
    classes = ",".join(said[name] for name in ("classes", "vocabulary") if name in said)
    return words + _option("input", said["input"].replace("x", ",")) + _option("classes", classes)


def _option(name: str, value: Any) -> list[str]:
    return [] if value is None else [f"--{name}", str(value)]


def meanings(front: ParetoSet) -> list[tuple[str, str]]:
    """Say in a sentence each what the objectives are."""
    predicted = still_predicted(front)
    costs = {str(cost.get("objective")): cost for cost in _costs(front.provenance)}
    said = []
    for objective in front.objectives:
        if (cost := costs.get(objective.name)) is not None:
            spread = _spread_words(front, objective.name)
            text = _cost_words(cost, objective.name in predicted, spread)
        else:
            text = _score_words(objective)
        if text:
            said.append((objective.name, text))
    return said


def _spread_words(front: ParetoSet, name: str) -> str:
    """Say what stands below measured values; short measurements have no interval."""
    texts = [
        text
        for end, text in _SPREAD.items()
        if any(f"{name}{end}" in m.attributes for m in front.members)
    ]
    return f" Below a value: {' and '.join(texts)}." if texts else ""


def _cost_words(cost: Mapping[str, Any], predicted: bool, spread: str) -> str:
    where = device_words(str(cost.get("device")))
    if where.startswith("counted"):
        return "counted from the network, exact on any device."
    if predicted:
        return f"predicted, not measured, for {where}: the intervals hold 95 %."
    if "fingerprint" in cost:
        return f"measured on {where}.{spread}"
    return f"known for {where}; where it comes from stands below."


def _score_words(objective: ObjectiveInfo) -> str:
    """Say what a score is; nothing of what is no score of hwnas."""
    if (recipe := RECIPES.get(objective.name)) is not None:
        return (
            f"joins the {_JOINED[recipe.method]} of {', '.join(recipe.members)} among a fixed "
            f"sample of architectures ({recipe.source}). It needs no training: it says which "
            f"network is likely to become more accurate, not how accurate."
        )
    try:
        (proxy,) = make_proxies([objective.name])
    except (HwnasError, ValueError):
        return ""
    first = (type(proxy).__doc__ or "").strip().partition("\n\n")[0]
    better = "larger" if objective.direction == "maximize" else "smaller"
    return (
        f"{' '.join(first.split())} It needs no training: {better} values come with more accurate "
        f"networks, by ranks and not without exceptions."
    )


def how_found(front: ParetoSet) -> str:
    """Say how the front was found."""
    settings = front.provenance.get("settings")
    known = settings if isinstance(settings, Mapping) else {}
    said = "No other evaluated architecture is at least as good in every objective"
    if (evaluated := front.provenance.get("evaluated")) is not None:
        sampler = known.get("sampler")
        by = f" proposed by {sampler}" if sampler else ""
        said = (
            f"Of {evaluated:,} architectures{by}, no other is at least as good in every objective"
        )
    bounds = ", ".join(map(str, known.get("constraints") or ()))
    return f"{said} as one of these{f', within {bounds}' if bounds else ''}."


def device_words(key: str) -> str:
    """Write a device key out.

    Example:
        >>> device_words("cpu/onnxruntime-1.32.0/int8/b4/t2")
        'cpu, ONNX Runtime 1.32.0, int8, batch 4, 2 threads'
        >>> device_words("any/count/float32/b1")
        'counted, without a device'
        >>> device_words("board/litert-2.1/float32/b1/t1/pruned")
        'board, LiteRT 2.1, float32, batch 1, 1 thread, dead operations pruned'
    """
    parsed = parse_key(key)
    if parsed is None:
        return key
    if parsed.runtime == "count":
        return "counted, without a device"
    runtime, _, rest = parsed.runtime.partition("-")
    version, _, options = rest.partition("[")
    words = [parsed.device, " ".join(filter(None, (_RUNTIMES.get(runtime, runtime), version)))]
    words += [f"with {options.removesuffix(']')}"] if options else []
    words += [parsed.precision, f"batch {parsed.batch}"]
    if parsed.threads is not None:
        words.append(f"{parsed.threads} thread{'' if parsed.threads == 1 else 's'}")
    if parsed.dead_operations is not None:
        words.append(f"dead operations {parsed.dead_operations}")
    return ", ".join(words)


def provenance_in_words(provenance: Mapping[str, Any]) -> list[Panel]:
    """Give panels of terms and texts: run, machine, each cost, and whatever else is known."""
    return [panel for panel in _panels(provenance) if panel[1]]


def _panels(known: Mapping[str, Any]) -> Iterator[Panel]:
    settings = known.get("settings")
    run = {"written": known.get("created"), "seed": known.get("seed")}
    if isinstance(settings, Mapping):
        run |= {k.replace("_", " "): v for k, v in settings.items() if k != "seed" and v != 0}
    yield "Run", _terms(run)
    yield "Machine", list(_machine(known.get("host")))
    for cost in _costs(known):
        yield f"Cost {cost.get('objective')}", list(_cost(cost))
    yield "Data", _terms(_flat(known.get("dataset")))
    yield "Versions", _terms(_flat(known.get("versions")))
    yield "More", _terms({k: v for k, v in known.items() if k not in _TOLD})


def _machine(host: Any) -> Iterator[tuple[str, str]]:
    known = dict(_flat(host))
    size = known.pop("memory_bytes", None)
    cores = known.pop("cores", None)
    if cores is not None:
        known["cores"] = f"{cores} usable"
    if isinstance(size, (int, float)):
        known["memory"] = f"{size / _GIB:.1f} GiB"
    yield from _terms(known)


def _cost(cost: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield "on", device_words(str(cost.get("device", "unknown")))
    rest = {k: v for k, v in cost.items() if k not in ("objective", "device", "provenance")}
    if "fingerprint" in rest:
        rest["measured on"] = rest.pop("fingerprint")
    yield from _terms(rest | _flat(cost.get("provenance")))


def _costs(provenance: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    costs = provenance.get("costs")
    found = costs if isinstance(costs, list) else []
    return [cost for cost in found if isinstance(cost, Mapping)]


def _flat(value: Any) -> dict[str, Any]:
    return {str(k): v for k, v in value.items()} if isinstance(value, Mapping) else {}


def _terms(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [(_plain(name), in_words(value)) for name, value in values.items() if in_words(value)]


def in_words(value: Any) -> str:
    """Write a JSON value without brackets; nothing for one that is empty.

    Example:
        >>> in_words({"in_shape": [3, 32, 32], "runs": {"a": 1.5}, "vocabulary": None})
        'in shape 3, 32, 32; runs a 1.5'
    """
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case Mapping():
            told = {_plain(k): in_words(v) for k, v in value.items() if v is not None}
            return "; ".join(f"{name} {words}".strip() for name, words in told.items())
        case list() | tuple():
            return ", ".join(map(in_words, value))
        case _:
            return attribute_text(value)


def _plain(name: Any) -> str:
    return re.sub("_", " ", str(name))
