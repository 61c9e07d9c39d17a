"""`hwnas predict build`: a latency predictor of this host from measurements of its kernels."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hwnas.cli.options import names_function, users_space
from hwnas.cli.output import note, print_json_lines, print_table
from hwnas.cli.plan import Planned, processor_of
from hwnas.cli.predict_checks import note_chance
from hwnas.errors import InvalidValueError

if TYPE_CHECKING:
    import onnx

    from hwnas.bundles.machines import Machine
    from hwnas.tasks.task import Task
    from hwnas.typing import SearchSpace


_ENOUGH = 0.8
"""Share of whole networks within 10 % from which nothing is advised."""


def build(
    out: Annotated[Path, typer.Option(help="Predictor file to write.")],
    space: Annotated[
        list[str] | None,
        typer.Option(
            help="SPACE[:DATASET], e.g. mobilenetv3:ImageNet, whose networks tell which kernels "
            "occur; several are allowed. "
            "[default: nasbench201:cifar10, unless --onnx is given]"
        ),
    ] = None,
    onnx_file: Annotated[
        list[Path] | None, typer.Option("--onnx", help="A network of yours, for one image.")
    ] = None,
    device: Annotated[str, typer.Option(help="Device of this host: cpu.")] = "cpu",
    remote: Annotated[
        str | None,
        typer.Option(
            help="Another machine, by its name in remotes.toml, whose settings are the defaults "
            "of the next three options."
        ),
    ] = None,
    runtime: Annotated[
        str | None,
        typer.Option(
            help="onnxruntime, openvino, litert, mnn or ncnn; with --remote onnxruntime, litert or "
            "tensorrt. [default: onnxruntime]"
        ),
    ] = None,
    precision: Annotated[
        str | None, typer.Option(help="fp32, or int8 and others that it has. [default: fp32]")
    ] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Threads inside an operator. [default: 1]")
    ] = None,
    max_seconds: Annotated[float, typer.Option(help="Time for all measurements.")] = 1200.0,
    networks: Annotated[
        int, typer.Option(min=1, help="Networks a space whose kernels are measured.")
    ] = 40,
    held_out: Annotated[
        int,
        typer.Option(
            min=2, help="Further networks a space to calibrate and test the predictor on."
        ),
    ] = 16,
    seed: Annotated[int, typer.Option(min=0, help="Seed of everything random.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Measure kernels here, or on another machine, and learn the latency of networks made of them.

    An interrupted build goes on where it was. Search with --cost predictor:FILE.

    Example: hwnas predict build --space nasbench201 --max-seconds 600 --out cpu.npz
    """
    if device != "cpu":
        raise InvalidValueError(
            f"`device` must be 'cpu', whose kernels are measured here, but got {device!r}: another "
            f"machine is named by --remote."
        )
    from hwnas import registry
    from hwnas.evaluation.cache import ResultCache

    files = onnx_file or []
    given = {"runtime": runtime, "precision": precision, "threads": threads}
    own = {name: value for name, value in given.items() if value is not None}
    how = own if remote is None else {"machine": _machine(remote, own)}
    names = space or ([] if files else ["nasbench201"])
    plan = Planned(
        ("Networks", ", ".join([*names, *map(str, files)])),
        ("Measured", f"kernels of {networks} a space and {held_out} to test; {max_seconds:g} s"),
        ("Device", processor_of(":cpu:") if remote is None else remote),
    )
    with ResultCache.default() as cache:
        made = registry.load("predictors", "kernels").build(
            [_family(name) for name in names],
            [_read(file) for file in files],
            cache=cache,
            report=lambda what, number: plan.stage(f"{what}: {number}"),
            max_seconds=max_seconds,
            networks=networks,
            held_out=held_out,
            seed=seed,
            **how,
        )
    made.predictor.save(out)
    _show(made, as_json)
    note(f"{out}: latency in ms on {made.predictor.device}")
    if made.by_bytes:
        one = next(iter(made.by_bytes))
        note(
            f"{made.predictor.device.runtime} runs no {', '.join(made.by_bytes)} by itself: their "
            f"latencies follow from bytes and whole networks. Of {one} it says: "
            f"{made.by_bytes[one]}"
        )
    if advice := _advice(_within(made), len(made.measured_ms)):
        note(advice)
    note_chance(made.predicted_ms, made.measured_ms)


def _machine(name: str, changes: dict[str, Any]) -> Machine:
    from hwnas.bundles.machines import get_machine

    return get_machine(name, **changes)


def _family(text: str) -> tuple[SearchSpace[Any], Task]:
    from hwnas.tasks.catalogue import get_task

    if names_function(text, None):
        space = users_space(text)
        return space, space.default_task
    name, _, dataset = text.rpartition(":")
    return (users_space(name or dataset), get_task(dataset if name else "cifar10"))


def _read(file: Path) -> onnx.ModelProto:
    import onnx

    if not file.is_file():
        raise InvalidValueError(f"`--onnx` must name a file, but there is no file {str(file)!r}.")
    try:
        return onnx.load(file)
    # What protobuf raises for other files has no public class.
    except Exception as error:
        raise InvalidValueError(
            f"`--onnx` must be an ONNX model, but {str(file)!r} cannot be read as one: {error}"
        ) from error


def _within(made: Any) -> float:
    """Give the share of whole networks that are predicted within 10 %."""
    import numpy as np

    return float(np.mean(np.abs(made.predicted_ms / made.measured_ms - 1) <= 0.1))


def _advice(within: float, networks: int) -> str:
    """Say what to do instead where kernels do not sum to networks; nothing where they do."""
    if within >= _ENOUGH:
        return ""
    return (
        f"Of {networks} whole networks only {100 * within:.0f} % are predicted within 10 %: "
        f"measure on a quiet machine, for longer, or let ten measured networks make a predictor, "
        f"with `hwnas predict support` and `hwnas predict adapt`."
    )


def _show(made: Any, as_json: bool) -> None:
    predictor = made.predictor
    calibration = predictor.calibration.as_settings()
    more = calibration.pop("kind_scales", {})
    by_kind = {kind: round(predictor.calibration.scale + own, 3) for kind, own in more.items()}
    summary = {
        "kernels": sum(len(sample.latencies) for sample in made.samples.values()),
        "networks": len(made.measured_ms),
        "networks_left_out": made.left_out,
        "networks_untimed": made.untimed,
        "unseen": made.unseen,
        "within_10_percent": _within(made),
        "relative_std": predictor.relative_std,
        **calibration,
        **({"scale_by_kind": by_kind} if by_kind else {}),
        **({"by_bytes": list(made.by_bytes)} if made.by_bytes else {}),
        "device": str(predictor.device),
    }
    if as_json:
        print_json_lines([summary])
        return
    rows = [
        (kind, len(made.samples[kind].latencies), choice.method, choice.within_10_percent)
        for kind, choice in sorted(made.choices.items())
        if kind in made.samples
    ]
    print_table(["kernel", "measured", "regressor", "held out within 10 %"], rows)
    title = "unseen" if made.unseen else "made of measured kernels"
    print_table([f"whole networks, {title}", "value"], list(summary.items()))
