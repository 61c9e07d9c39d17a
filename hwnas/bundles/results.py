"""What a runner brings back: checked line by line, corrected for drift, and written as CSV.

The correction: in each round a network is timed between two timings of the reference network. The
median over the rounds of their ratio, times the reference's median over all networks, is the
latency; that of the raw runs is kept beside it.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hwnas.bundles.manifest import (
    Manifest,
    Network,
    number,
    parse_json,
    read_limited,
    reason,
    text,
    whole,
)
from hwnas.bundles.runner import RESULT_SCHEMA, VERSION, WARM_UP_RUNS
from hwnas.bundles.settings import BundleSettings
from hwnas.errors import DataFormatError
from hwnas.files.atomic import write_text
from hwnas.files.csv_table import ARCHITECTURE, ROWS_LEFT, as_cell
from hwnas.measure.measurement import median_interval
from hwnas.typing import DeviceKey

DRIFT = 0.03
"""Of the reference network between networks: more is told."""
_FAILED = {"status", "reason", "device", "schema", "version", "bundle", "name", "unit"}
_TIMES = ("median", "min", "iqr", "p90", "p95", "p99")
_OK = (_FAILED - {"reason"}) | {
    *_TIMES, "n", "rounds", "warm_up_runs", "settled", "before", "after", "relative_error",
    "correlation", "providers",
}  # fmt: skip
_DEVICE = (
    "machine", "model", "system", "runtime", "runtime_version", "provider", "precision", "batch",
    "threads", "python", "numpy",
)  # fmt: skip
_LONGEST_LINE = 1 << 20
_MOST_ROUNDS = 10_000
_VERSION = re.compile(r"\d[\w.+-]{0,40}", re.ASCII)
_CPU = "CPUExecutionProvider"


@dataclass(frozen=True)
class Row:
    """What is known of one network; times in ms, NaN where it failed.

    Attributes:
        network: the network.
        reason: why there is no latency; empty where there is one.
        latency_ms: corrected for drift.
        ci_low_ms: lower end of its 95 % interval; NaN below 6 rounds.
        ci_high_ms: its upper end.
        ratio: latency over that of the reference network beside it.
        reference_ms: the reference network's latency beside it.
        raw: what the runner said, as it was.
        was_run: whether the runner has come to it.
    """

    network: Network
    reason: str = ""
    latency_ms: float = math.nan
    ci_low_ms: float = math.nan
    ci_high_ms: float = math.nan
    ratio: float = math.nan
    reference_ms: float = math.nan
    raw: Mapping[str, Any] = ()  # type: ignore[assignment]
    was_run: bool = True

    def as_dict(self) -> dict[str, Any]:
        """Give it as JSON values, with units in the names."""
        raw = dict(self.raw)
        times = {f"raw_{name}_ms": raw.get(name) for name in _TIMES}
        return {
            ARCHITECTURE: self.network.arch,
            "latency_ms": self.latency_ms, "ci_low_ms": self.ci_low_ms,
            "ci_high_ms": self.ci_high_ms, "ratio": self.ratio, "reference_ms": self.reference_ms,
            "n": raw.get("n"), **times, "relative_error": raw.get("relative_error"),
            "correlation": raw.get("correlation"), "warm_up_runs": raw.get("warm_up_runs"),
            "settled": raw.get("settled"), "before": raw.get("before"), "after": raw.get("after"),
            "providers": raw.get("providers"), "reason": self.reason or None,
        }  # fmt: skip


@dataclass(frozen=True)
class Imported:
    """The results of a bundle.

    Attributes:
        rows: `(n,)` in the order of the manifest, failed and missing ones included.
        key: device that they belong to.
        hardware: what the runner says of the machine.
        drift: largest relative deviation of the reference network from its median.
    """

    rows: Sequence[Row]
    key: DeviceKey
    hardware: Mapping[str, Any]
    drift: float

    def remarks(self) -> Iterator[str]:
        """Say in a line each what is missing, or not as good as it should be."""
        for row in self.rows:
            if row.reason:
                yield f"No latency of {row.network.arch}: {row.reason}."
            elif not row.raw["settled"]:
                yield f"{row.network.arch} did not settle while it was warmed up."
        if self.drift > DRIFT:
            yield (
                f"The reference network drifted by {100 * self.drift:.1f} %, more than "
                f"{100 * DRIFT:.0f} %: the latencies are corrected for it, but a quieter device "
                f"gives better ones."
            )


def read_results(manifest: Manifest, path: Path, device: str | None = None) -> Imported:
    """Read the results of a bundle's runner.

    Args:
        manifest: of the bundle that was run.
        path: the file of results.
        device: name of the device; by default made of its model and, beside the CPU, the provider.

    Raises:
        DataNotFoundError: there is no such file.
        DataFormatError: it is of another bundle or device, or not of this form; names the line.
    """
    lines = read_limited(path, "the results of a bundle's runner").split(b"\n")
    known = {network.name: network for network in manifest.networks}
    found: dict[str, dict[str, Any]] = {}
    for i, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            result = _result(line, manifest)
            name = text(result["name"], "name")
            if name not in known or name in found:
                raise ValueError(f"{repr(name)[:50]} is not in the bundle, or is there twice")
            found[name] = result
        except (ValueError, KeyError, TypeError, OverflowError) as error:
            raise DataFormatError(
                f"Line {i} of `{path}` must be a result of {RESULT_SCHEMA} {VERSION} for this "
                f"bundle, but it is not: {reason(error)}. Copy the file from the device again."
            ) from None
    if not found:
        raise DataFormatError(f"`{path}` must hold a result, but is empty: run the bundle first.")
    devices = [result["device"] for result in found.values()]
    if any(other != devices[0] for other in devices):
        raise DataFormatError(f"`{path}` must be of one device, but its lines name several.")
    return _imported(manifest, found, devices[0], device)


def write_measurements(found: Imported, path: Path) -> None:
    """Write what `hwnas predict` and `hwnas pareto verify` read, failed networks left empty.

    Raises:
        InvalidValueError: the file cannot be written.
    """
    stream, key = io.StringIO(), found.key
    writer = csv.writer(stream, lineterminator="\n")
    key_names = ("device", "runtime", "precision", "batch", "threads")
    writer.writerow([ARCHITECTURE, "latency_ms", *key_names, ROWS_LEFT])
    where = [as_cell(key.device), key.runtime, key.precision, key.batch, key.threads]
    for left, row in zip(range(len(found.rows) - 1, -1, -1), found.rows, strict=True):
        latency = "" if row.reason else repr(row.latency_ms)
        writer.writerow([as_cell(row.network.arch), latency, *where, left])
    write_text(path, stream.getvalue())


def _imported(
    manifest: Manifest, found: Mapping[str, Any], hardware: Mapping[str, Any], device: str | None
) -> Imported:
    beside = {n: _reference(r) for n, r in found.items() if r["status"] == "ok"}
    base = float(np.median(list(beside.values()))) if beside else math.nan
    drift = max((abs(value / base - 1) for value in beside.values()), default=0.0)
    rows = [_row(network, found.get(network.name), base) for network in manifest.networks]
    key = DeviceKey(
        device or _device_name(hardware),
        f"{hardware['runtime']}-{hardware['runtime_version']}",
        manifest.precision,
        manifest.batch,
        manifest.threads,
    )
    return Imported(rows, key, hardware, drift)


def _row(network: Network, result: Mapping[str, Any] | None, base: float) -> Row:
    if result is None:
        return Row(network, "it was not run", was_run=False)
    if result["status"] == "failed":
        return Row(network, result["reason"])
    rounds = np.array(result["rounds"], dtype=np.float64)
    ratios = rounds[:, 0] / rounds[:, 1]
    low, high = median_interval(ratios)
    ratio = float(np.median(ratios))
    return Row(
        network, "", ratio * base, low * base, high * base, ratio, _reference(result), result
    )


def _reference(result: Mapping[str, Any]) -> float:
    return float(np.median([beside for _, beside, _ in result["rounds"]]))


def _device_name(hardware: Mapping[str, Any]) -> str:
    words = [hardware["model"]]
    if hardware["provider"] != _CPU:
        words.append(hardware["provider"].removesuffix("ExecutionProvider"))
    return re.sub(r"[^A-Za-z0-9.]+", "-", " ".join(words)).strip("-.") or "unknown"


def _result(line: bytes, manifest: Manifest) -> dict[str, Any]:
    """Check a line by itself; `ValueError`, `KeyError` or `TypeError` if it is wrong."""
    if len(line) > _LONGEST_LINE:
        raise ValueError(f"it has more than {_LONGEST_LINE} characters")
    found = parse_json(line)
    if (found["schema"], found["version"]) != (RESULT_SCHEMA, VERSION):
        raise ValueError(f"it is of {repr(found['schema'])[:50]} {repr(found['version'])[:20]}")
    if found["bundle"] != manifest.checksum:
        raise ValueError("it was measured with another bundle")
    if found["unit"] != "ms":
        raise ValueError(f"its unit is {repr(found['unit'])[:20]} and not 'ms'")
    failed = found["status"] == "failed"
    if not failed and found["status"] != "ok":
        raise ValueError(f"its status is {repr(found['status'])[:20]}")
    if set(found) != (_FAILED if failed else _OK):
        raise ValueError(f"it must have {', '.join(sorted(_FAILED if failed else _OK))} alone")
    check_device(found["device"], manifest)
    if failed:
        text(found["reason"], "reason", most=1000)
    else:
        _check_times(found)
        _check_proof(found, manifest)
    return found


def check_device(device: Any, wanted_of: Manifest | BundleSettings) -> None:
    """Insist that a device names itself, and runs what was asked for; `ValueError` otherwise."""
    if not isinstance(device, dict) or set(device) != set(_DEVICE):
        raise ValueError(f"its device must have {', '.join(_DEVICE)} alone")
    for name in _DEVICE[:6] + _DEVICE[-2:]:
        text(device[name], name, _VERSION if name == "runtime_version" else None, 200)
    for name in ("runtime", "provider", "precision", "batch", "threads"):
        wanted = getattr(wanted_of, name)
        if device[name] != wanted or type(device[name]) is not type(wanted):
            raise ValueError(f"its {name} is {repr(device[name])[:50]} and not {wanted!r}")


def _check_times(found: Mapping[str, Any]) -> None:
    """Insist on finite, positive times that do not contradict each other."""
    rounds = found["rounds"]
    if not isinstance(rounds, list) or not 0 < len(rounds) <= _MOST_ROUNDS:
        raise ValueError(f"it must have 1 to {_MOST_ROUNDS} rounds")
    for entry in rounds:
        if not isinstance(entry, list) or len(entry) != 3:
            raise ValueError("a round must be a latency, the reference's, and a number of runs")
        for latency in entry[:2]:
            number(latency, "a latency")
        whole(entry[2], "runs")
    if whole(found["n"], "n") != sum(entry[2] for entry in rounds):
        raise ValueError("n must be the number of runs of all rounds")
    least, middle = number(found["min"], "min"), number(found["median"], "median")
    number(found["iqr"], "iqr", least=0)
    known = [number(found[q], q) for q in ("p90", "p95", "p99") if found[q] is not None]
    if sorted([least, middle, *known]) != [least, middle, *known]:
        raise ValueError("its min, median, p90, p95 and p99 must not fall")


def _check_proof(found: Mapping[str, Any], manifest: Manifest) -> None:
    """Insist on what makes a latency count: equal outputs, nodes where they should be, warmth."""
    error = number(found["relative_error"], "relative_error", least=0)
    if error > manifest.accepted_error:
        raise ValueError(f"its outputs differ by {error:.3g} of the largest")
    number(found["correlation"], "correlation", -1.001, 1.001)
    providers = found["providers"]
    if not isinstance(providers, dict) or set(providers) != {manifest.provider}:
        raise ValueError(f"its nodes must have run on {manifest.provider} alone")
    whole(providers[manifest.provider], "nodes")
    if whole(found["warm_up_runs"], "warm_up_runs") < WARM_UP_RUNS:
        raise ValueError(f"it must have been warmed up by {WARM_UP_RUNS} runs")
    if not isinstance(found["settled"], bool):
        raise ValueError("settled must be true or false")
    for moment in ("before", "after"):
        if not isinstance(found[moment], dict) or set(found[moment]) != {"mhz", "celsius"}:
            raise ValueError(f"{moment} must have mhz and celsius")
        for name, value in found[moment].items():
            if value is not None:
                number(value, name)
