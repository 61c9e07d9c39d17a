"""`hwnas profile`: latency, parameters, MACs and memory of one network on this host."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hwnas.cli.output import note, print_json_lines, print_table
from hwnas.errors import InvalidValueError

if TYPE_CHECKING:
    from torch import nn

    from hwnas.runtimes.base import Network
    from hwnas.typing import InShape

_DEFAULT_SPACE = "nasbench201"


@dataclass(frozen=True)
class _Subject:
    """What is profiled: a torch network, or an ONNX file."""

    label: dict[str, str]
    network: nn.Module | None
    in_shape: tuple[int, ...] | None
    file: Path | None = None
    shapes: tuple[tuple[str, tuple[int, ...]], ...] = ()


def profile(
    space: Annotated[str | None, typer.Option(help="Search space: see `hwnas spaces`.")] = None,
    arch: Annotated[str | None, typer.Option(help="Architecture string, built exactly.")] = None,
    onnx_file: Annotated[
        Path | None, typer.Option("--onnx", help="An ONNX model, instead of --arch.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="A torch network as module:callable, instead of --arch.")
    ] = None,
    in_shape: Annotated[
        str | None,
        typer.Option(
            "--input",
            help="Image shape C,H,W; that of --dataset by default. Of --onnx: the free dimensions "
            "of the first input beside the batch.",
        ),
    ] = None,
    input_shape: Annotated[
        list[str] | None,
        typer.Option(
            "--shape", help="Whole shape of an input of --onnx, e.g. tokens=1,16; repeatable."
        ),
    ] = None,
    dataset: Annotated[
        str,
        typer.Option(help="Classes and image size: cifar10, cifar100, ImageNet16-120, ImageNet."),
    ] = "cifar10",
    runtime: Annotated[
        str, typer.Option(help="What runs it: onnxruntime, or torch (eager): see `hwnas doctor`.")
    ] = "onnxruntime",
    device: Annotated[
        str,
        typer.Option(
            "--device",
            "--provider",
            help="The runtime's device: an execution provider, or cpu and cuda with torch.",
        ),
    ] = "cpu",
    threads: Annotated[int, typer.Option(min=1, help="Threads inside an operator.")] = 1,
    batch: Annotated[
        int | None, typer.Option(min=1, help="Images a run; 1, or what the ONNX model fixes.")
    ] = None,
    clock: Annotated[
        str, typer.Option(help="wall, cpu (of the calling thread), or auto: cpu for one thread.")
    ] = "auto",
    max_seconds: Annotated[
        float, typer.Option(help="Longest time to measure; ends when the median is known to 2 %.")
    ] = 5.0,
    seed: Annotated[int, typer.Option(min=0, help="Seed of weights and inputs.")] = 0,
    output: Annotated[
        str | None,
        typer.Option(help="Name or index of the output, if --model returns more than one."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Measure one network on this host. Example: hwnas profile --onnx model.onnx --threads 4."""
    _check_choice(arch, onnx_file, model, space)
    if input_shape and onnx_file is None:
        raise InvalidValueError(f"`--shape` must be given with --onnx, but got {input_shape[0]!r}.")
    from hwnas.measure.measuring import measure
    from hwnas.measure.resource_lock import hold
    from hwnas.meters import choose_meter
    from hwnas.networks.importing import parse_in_shape, parse_sizes
    from hwnas.runtimes import make_runtime
    from hwnas.runtimes.base import RunSettings

    chosen, settings = make_runtime(runtime), RunSettings(device, threads, batch, seed=seed)
    choose_meter(clock, "latency", chosen.place(settings))
    shape = parse_in_shape(in_shape) if in_shape and onnx_file is None else None
    if onnx_file is not None:
        sizes = parse_sizes(in_shape) if in_shape else None
        subject = _Subject({"onnx": str(onnx_file)}, None, sizes, onnx_file, _shapes(input_shape))
    elif model is not None:
        subject = _own_model(model, shape, dataset, seed, batch or 1, output)
    else:
        assert arch is not None
        subject = _architecture(space or _DEFAULT_SPACE, arch, shape, dataset, seed)
    counts = _counts(subject, batch or 1)
    with hold(chosen.place(settings).resource):
        measurement = measure(
            _network(subject), chosen, settings, meter=clock, max_seconds=max_seconds
        )
    if math.isnan(measurement.ci_low):
        note(f"{measurement.runs} runs are too few for an interval: raise --max-seconds.")
    elif not measurement.converged:
        note(
            f"The 95 % interval of the median, {measurement.ci_low:.4g} to "
            f"{measurement.ci_high:.4g} ms, is wider than 2 %: raise --max-seconds."
        )
    _show({**subject.label, **measurement.as_dict(), **counts}, as_json)


def _check_choice(
    arch: str | None, onnx_file: Path | None, model: str | None, space: str | None
) -> None:
    options = {"--arch": arch, "--onnx": onnx_file, "--model": model}
    given = [name for name, value in options.items() if value is not None]
    if len(given) != 1:
        raise InvalidValueError(
            f"Exactly one of `--arch`, `--onnx` and `--model` must be given, but got "
            f"{' and '.join(given) or 'none'}."
        )
    if space is not None and arch is None:
        raise InvalidValueError(f"`--space` must be given with --arch, but got {given[0]}.")


def _shapes(texts: list[str] | None) -> tuple[tuple[str, tuple[int, ...]], ...]:
    """Read shapes of inputs, each NAME=1,16; a name may hold any other character."""
    from hwnas.networks.importing import parse_sizes

    found = {}
    for text in texts or ():
        name, equals, sizes = text.rpartition("=")
        if not (name and equals) or name in found:
            raise InvalidValueError(
                f"`--shape` must be NAME=1,16, once for an input, but got {text!r}."
            )
        found[name] = parse_sizes(sizes, "shape")
    return tuple(found.items())


def _architecture(
    space_name: str, text: str, shape: InShape | None, dataset: str, seed: int
) -> _Subject:
    import torch

    from hwnas.spaces.space_text import named_space
    from hwnas.tasks.catalogue import get_task
    from hwnas.tasks.task import image_classes, image_task

    space = named_space(space_name)
    classes, in_shape = image_classes(get_task(dataset), "hwnas profile")
    arch = space.parse(text)
    torch.manual_seed(seed)
    in_shape = shape or in_shape
    network = space.build(arch, image_task(classes, in_shape))
    return _Subject({"space": space.name, "arch": str(arch)}, network, in_shape)


def _own_model(
    spec: str,
    shape: InShape | None,
    dataset: str,
    seed: int,
    batch: int,
    output: str | None,
) -> _Subject:
    import torch

    from hwnas.networks.importing import load_model
    from hwnas.networks.usable import answering_network
    from hwnas.tasks.catalogue import get_task
    from hwnas.tasks.task import image_classes

    torch.manual_seed(seed)
    _, in_shape = image_classes(get_task(dataset), "hwnas profile")
    in_shape = shape or in_shape
    network = answering_network(load_model(spec), lambda: torch.randn(batch, *in_shape), output)
    return _Subject({"model": spec}, network, in_shape)


def _counts(subject: _Subject, batch: int) -> dict[str, int | None]:
    """Count; unknown (None) for ONNX files, which do not tell parameters from constants."""
    if subject.network is None or subject.in_shape is None:
        return dict.fromkeys(("params", "macs", "flops", "peak_memory_bytes", "layers"))
    from hwnas.costs.counters import count

    counts = count(subject.network, subject.in_shape, batch)
    if counts.uncounted:
        note(f"macs are not known: there is no formula for {', '.join(counts.uncounted)}.")
    return {
        "params": counts.params,
        "macs": counts.macs,
        "flops": counts.flops,
        "peak_memory_bytes": counts.peak_memory,
        "layers": counts.layers,
    }


def _network(subject: _Subject) -> Network:
    from hwnas.runtimes.base import OnnxModel, TorchNetwork

    if subject.file is not None:
        return OnnxModel(subject.file, subject.in_shape, subject.shapes)
    assert subject.network is not None
    assert subject.in_shape is not None
    return TorchNetwork(subject.network, subject.in_shape)


def _show(row: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json_lines([row])
        return
    flat = {k: v for k, v in row.items() if k != "versions"} | row["versions"]
    print_table(["quantity", "value"], [[name, _text(value)] for name, value in flat.items()])


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return f"{value:.5g}" if isinstance(value, float) else str(value)
