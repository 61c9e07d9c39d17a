"""`hwnas profile`: latency, parameters, MACs and memory of one network on this host."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from hwnas.cli.options import Classes, names_function, sizes_of, with_size
from hwnas.cli.output import note, print_json_lines, print_table
from hwnas.cli.profiling import Shapes, Wanted, measured
from hwnas.cli.progress import progress
from hwnas.errors import InvalidValueError


def profile(
    context: typer.Context,
    space: Annotated[str | None, typer.Option(help="Search space: see `hwnas spaces`.")] = None,
    arch: Annotated[
        str | None,
        typer.Option("--arch", "--architecture", help="Architecture string, built exactly."),
    ] = None,
    onnx_file: Annotated[
        Path | None, typer.Option("--onnx", help="An ONNX model, instead of --arch.")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="A torch network as module:callable, instead of --arch; or a function of a trial, "
            "whose choices --arch gives."
        ),
    ] = None,
    in_shape: Annotated[
        str | None,
        typer.Option(
            "--input",
            help="Shape C,H,W of an image, C,T of a signal, F of a vector, T of tokens; that of "
            "--dataset by default. Of --onnx: the free dimensions of the first input beside the "
            "batch.",
        ),
    ] = None,
    input_shape: Annotated[
        list[str] | None,
        typer.Option("--shape", help="Whole shape of an input of --onnx, e.g. tokens=1,16."),
    ] = None,
    classes: Classes = None,
    dataset: Annotated[
        str | None,
        typer.Option(
            help="Classes and image size: cifar10, cifar100, ImageNet16-120, ImageNet. "
            "[default: cifar10, or what your own space says]"
        ),
    ] = None,
    runtime: Annotated[
        str, typer.Option(help="What runs it, e.g. onnxruntime or torch: see `hwnas doctor`.")
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
    precision: Annotated[
        str | None,
        typer.Option(help="Number format: fp32, fp16, bf16 or int8, where the runtime has it."),
    ] = None,
    images: Annotated[
        str,
        typer.Option(
            help="What runs, and what int8 is calibrated with: gaussian, cifar10-sample, a "
            "FILE.npz of images, signals, vectors or tokens, or a folder of class folders of "
            "pictures."
        ),
    ] = "gaussian",
    option: Annotated[
        list[str] | None,
        typer.Option(help="Option of the runtime as NAME=VALUE, e.g. spinning=off."),
    ] = None,
    metric: Annotated[
        str, typer.Option(help="latency, or energy where this host has a sensor: `hwnas doctor`.")
    ] = "latency",
    clock: Annotated[
        str,
        typer.Option(
            "--clock",
            "--meter",
            help="wall, cpu (of the calling thread), or auto: cpu for one thread; or a sensor of "
            "energy.",
        ),
    ] = "auto",
    max_seconds: Annotated[
        float, typer.Option(help="Longest time to measure; ends when the median is known to 2 %.")
    ] = 5.0,
    reference: Annotated[
        bool,
        typer.Option(help="Measure a latency beside the reference network, at its nominal speed."),
    ] = True,
    strict: Annotated[
        bool,
        typer.Option(
            "--strict",
            help="1,024 runs and 60 s in each of three fresh processes, until the median is known "
            "to 1 %; waits for a hot machine. Takes 4 to 10 minutes.",
        ),
    ] = False,
    limit_seconds: Annotated[
        float | None,
        typer.Option(
            help="Longest time for everything, the building of the network included, before it "
            "counts as endless; importing your module is apart. [default: ten times --max-seconds, "
            "30 at least]"
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of weights and inputs.")] = 0,
    output: Annotated[
        str | None,
        typer.Option(help="Name or index of the output, if --model returns more than one."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Measure one network on this host. Example: hwnas profile --onnx model.onnx --threads 4.

    `bundle` and `import` measure on another machine.
    """
    if context.invoked_subcommand is not None:
        _refuse_own_options(context)
        return
    own = model or space
    # The import of the user's module is no part of the network's time.
    of_trials = own is not None and names_function(own, limit_seconds)
    if of_trials and model is not None and arch is not None:
        space, model = model, None
    _check_choice(arch, onnx_file, model, space)
    if input_shape and onnx_file is None:
        raise InvalidValueError(f"`--shape` must be given with --onnx, but got {input_shape[0]!r}.")
    if strict and (metric != "latency" or not reference):
        raise InvalidValueError(
            f"`--strict` must be of a latency beside the reference, but got metric {metric}, "
            f"reference {'on' if reference else 'off'}."
        )
    from hwnas.measure.strict import STRICT
    from hwnas.meters import choose_meter
    from hwnas.runtimes import make_runtime
    from hwnas.runtimes.base import RunSettings

    if onnx_file is None and in_shape is None and classes is None and dataset is None:
        in_shape, classes = sizes_of(images, built=of_trials)
    in_shape, classes = with_size(in_shape, classes, images)
    given = _shapes(input_shape)
    wanted = Wanted(space, arch, onnx_file, model, in_shape, given, classes, dataset, seed)
    how = {
        "runtime": runtime,
        "device": device,
        "threads": threads,
        "batch": batch,
        "precision": precision,
        "images": images,
        "options": _pairs(option),
        "metric": metric,
        "meter": clock,
        "max_seconds": max_seconds,
        "seed": seed,
        "output": output,
        "reference": reference,
        "length": STRICT if strict else None,
    }
    place = make_runtime(runtime).place(
        RunSettings(device, threads, batch, options=tuple(sorted(_pairs(option).items())))
    )
    choose_meter(clock, metric, place)  # refuses it before the network runs
    progress.stage(f"{metric} of {runtime} on {device}{_told(batch, precision)}")
    row, remarks = measured(wanted, how, place.resource, limit_seconds)
    for line in remarks:
        note(line)
    _show(row, as_json)


def _refuse_own_options(context: typer.Context) -> None:
    """Refuse options that stand before a command under this one, which has its own."""
    for option in context.command.params:
        source = context.get_parameter_source(str(option.name))
        if source is not None and source.name == "COMMANDLINE":
            raise InvalidValueError(
                f"`{option.opts[0]}` must stand behind {context.invoked_subcommand!r}, "
                f"where that has it, but stands before it."
            )


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


def _shapes(texts: list[str] | None) -> Shapes:
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


def _pairs(texts: list[str] | None) -> dict[str, str]:
    """Read options of a runtime, each NAME=VALUE."""
    found = {}
    for text in texts or ():
        name, _, value = text.partition("=")
        if not (name and value) or name in found:
            raise InvalidValueError(
                f"`--option` must be NAME=VALUE, once for a name, but got {text!r}."
            )
        found[name] = value
    return found


def _told(batch: int | None, precision: str | None) -> str:
    """Say what is given; what is not is the network's."""
    given = (None if batch is None else f"batch {batch}", precision)
    return "".join(f", {text}" for text in given if text is not None)


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
