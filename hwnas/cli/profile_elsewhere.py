"""`hwnas profile bundle|import`: measure networks on another machine."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hwnas.cli.options import Archs, ArchsFile
from hwnas.cli.output import note, print_json_lines, print_table
from hwnas.errors import InvalidValueError
from hwnas.files.csv_table import ARCHITECTURE

if TYPE_CHECKING:
    from hwnas.bundles.far import Far
    from hwnas.bundles.manifest import Manifest
    from hwnas.bundles.results import Imported
    from hwnas.bundles.settings import BundleSettings
    from hwnas.typing import Arch, SearchSpace

app = typer.Typer(rich_markup_mode=None)

Device = Annotated[
    str | None,
    typer.Option(help="Name of the device. [default: its model, as it names itself]"),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")]
_DEVICE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,63}")
_SHOWN = ("latency_ms", "ci_low_ms", "ci_high_ms", "ratio", "raw_median_ms", "raw_p90_ms",
          "raw_p95_ms", "raw_p99_ms", "n")  # fmt: skip


@app.command()
def bundle(
    out: Annotated[Path, typer.Option(help="Folder to write.")],
    space: Annotated[
        str | None,
        typer.Option(
            help="Search space, by name or repr: see `hwnas spaces`. [default: nasbench201]"
        ),
    ] = None,
    onnx_file: Annotated[
        list[Path] | None,
        typer.Option("--onnx", help="An ONNX file of yours in float32, instead of a space's."),
    ] = None,
    in_shape: Annotated[
        str | None,
        typer.Option("--input", help="Sizes C,H,W beside the batch, which --onnx leaves open."),
    ] = None,
    dataset: Annotated[
        str | None,
        typer.Option(help="Classes and image size. [default: cifar10, or what a space says]"),
    ] = None,
    arch: Archs = None,
    archs: ArchsFile = None,
    sample: Annotated[int, typer.Option(min=0, help="Architectures to draw at random.")] = 0,
    for_adapt: Annotated[
        int,
        typer.Option(min=0, help="Architectures that `hwnas predict support` chooses, e.g. 10."),
    ] = 0,
    model: Annotated[
        Path | None,
        typer.Option("--model", help="Pool for --for-adapt. [default: the package's]"),
    ] = None,
    runtime: Annotated[
        str,
        typer.Option(help="What runs it there: onnxruntime, litert, or tensorrt by trtexec."),
    ] = "onnxruntime",
    provider: Annotated[
        str, typer.Option(help="ONNX Runtime's execution provider: cpu, cuda, tensorrt, …")
    ] = "cpu",
    precision: Annotated[str, typer.Option(help="Number format: fp32, fp16 or int8.")] = "fp32",
    batch: Annotated[int, typer.Option(min=1, help="Inputs a run.")] = 1,
    threads: Annotated[int, typer.Option(min=1, help="Threads inside an operator.")] = 1,
    images: Annotated[
        str, typer.Option(help="What int8 is calibrated with, as of `hwnas profile`.")
    ] = "gaussian",
    seconds: Annotated[float, typer.Option(help="Time to measure a network.")] = 1.0,
    seed: Annotated[int, typer.Option(min=0, help="Seed of everything random.")] = 0,
    ssh: Annotated[
        str | None,
        typer.Option(help="USER@HOST to copy it to, run it on and import it from, in one."),
    ] = None,
    ssh_config: Annotated[
        Path | None, typer.Option(help="Configuration of ssh, instead of your own.")
    ] = None,
    python: Annotated[
        str | None, typer.Option(help="Python of --ssh, or its path. [default: python3]")
    ] = None,
    device: Device = None,
) -> None:
    """Write networks, their outputs and a runner, to be measured on another machine.

    Copy the folder there, run `python3 run.py` in it (Python 3.8, numpy, the runtime), and copy its
    results.jsonl back; or let --ssh do that, whose lost connections are made again.

    Example: hwnas profile bundle --for-adapt 10 --ssh me@board --device board --out bundle
    """
    from hwnas.bundles.settings import BundleSettings

    others = {
        "--space": space, "--dataset": dataset, "--arch": arch, "--archs": archs,
        "--sample": sample, "--for-adapt": for_adapt, "--model": model,
    }  # fmt: skip
    _check_files(onnx_file, in_shape, others)
    far = _far(ssh, ssh_config, python, device)
    settings = BundleSettings(provider, precision, batch, threads, seconds, seed, images, runtime)
    if far is not None:  # it is told before networks are built
        there = far.device(settings)
        note(f"{ssh}: {there['model']}, {there['runtime']} {there['runtime_version']}")
    if onnx_file:
        _write_files(out, onnx_file, in_shape, settings)
    else:
        given = (arch or [], archs, sample, for_adapt, model, seed)
        _write_networks(out, space or "nasbench201", dataset, settings, *given)
    if far is not None:
        _measure_there(far, out, device)
        return
    note(f"{out}: copy it to the device, run `python3 run.py` in it, copy results.jsonl back, then")
    note(f"hwnas profile import {out} --out {out}.csv")


@app.command("import")
def import_(
    folder: Annotated[Path, typer.Argument(help="The bundle, as `bundle` wrote it.")],
    out: Annotated[Path, typer.Option(help="CSV file to write.")],
    results: Annotated[
        Path | None,
        typer.Option(help="What the runner wrote. [default: results.jsonl in the bundle]"),
    ] = None,
    device: Device = None,
    as_json: AsJson = False,
) -> None:
    """Check what a bundle's runner measured, and write it for `predict adapt` and `pareto verify`.

    Example: hwnas profile import bundle --device jetson --out jetson.csv
    """
    from hwnas.bundles.manifest import read_manifest
    from hwnas.bundles.runner import RESULTS

    _check_device(device)
    _take(read_manifest(folder), results or folder / RESULTS, out, device, as_json)


def _take(
    manifest: Manifest, results: Path, out: Path, device: str | None, as_json: bool = False
) -> None:
    """Check results, write them as CSV, and show them."""
    from hwnas.bundles.results import read_results, write_measurements

    found = read_results(manifest, results, device)
    write_measurements(found, out)
    _show(found, as_json)
    note(f"{out}: latency in ms on {found.key}, measured on {found.hardware['model']}.")


def _far(
    ssh: str | None, config: Path | None, python: str | None, device: str | None
) -> Far | None:
    """Make what reaches another machine; None without --ssh, where nothing else may be given."""
    from hwnas.bundles.far import Far
    from hwnas.bundles.ssh import Ssh

    _check_device(device)
    if ssh is not None:
        return Far(Ssh(ssh, config), python or Far.python)
    given = {"--ssh-config": config, "--python": python, "--device": device}
    for name, value in given.items():
        if value is not None:
            raise InvalidValueError(f"`{name}` must be given with --ssh, but that is not there.")
    return None


def _measure_there(far: Far, folder: Path, device: str | None) -> None:
    """Run a bundle on another machine, and take what it measured."""
    from hwnas.bundles.manifest import read_manifest
    from hwnas.bundles.runner import RESULTS
    from hwnas.bundles.writing import OWN_MODELS

    manifest, out = read_manifest(folder), folder / "measurements.csv"
    far.measure(manifest, report=note)
    _take(manifest, folder / RESULTS, out, device)
    if manifest.space != OWN_MODELS:
        note(f"hwnas predict adapt --measurements {out} --out {device or 'device'}.npz")


def _check_device(device: str | None) -> None:
    if device is not None and not _DEVICE.fullmatch(device):
        raise InvalidValueError(
            f"`--device` must be of letters, digits, dots, dashes and underlines, but got "
            f"{device!r}."
        )


def _check_files(
    files: list[Path] | None, in_shape: str | None, others: Mapping[str, object]
) -> None:
    """Refuse a user's own files beside networks of a space."""
    beside = next((name for name, value in others.items() if value), None)
    if files and beside:
        raise InvalidValueError(f"`--onnx` must stand without {beside}, but got both.")
    if in_shape is not None and not files:
        raise InvalidValueError(f"`--input` must be given with --onnx, but got {in_shape!r} alone.")


def _write_files(
    out: Path, files: list[Path], in_shape: str | None, settings: BundleSettings
) -> None:
    from hwnas.bundles.writing import write_own_models
    from hwnas.networks.importing import parse_sizes

    write_own_models(out, files, settings, parse_sizes(in_shape, "input") if in_shape else None)


def _write_networks(
    out: Path, space: str, dataset: str | None, settings: BundleSettings, *chosen: Any
) -> None:
    """Write networks of a space; `chosen` are the arguments of `_chosen` after the first two."""
    from hwnas.bundles.writing import write_bundle
    from hwnas.cli.options import chosen_networks, users_space
    from hwnas.spaces.networks import Networks
    from hwnas.study.tried import insist_that_they_run
    from hwnas.tasks.catalogue import get_task

    name, sizes = chosen_networks(space, dataset, "gaussian")
    made = users_space(name)
    networks = Networks(made, get_task(sizes))
    archs = _chosen(made, name, *chosen)
    insist_that_they_run(networks, archs)
    for line in write_bundle(out, networks, archs, settings):
        note(line)


def _chosen(
    space: SearchSpace[Arch],
    name: str,
    arch: list[str],
    archs: Path | None,
    sample: int,
    for_adapt: int,
    model: Path | None,
    seed: int,
) -> list[Arch]:
    """Give the architectures that the options name."""
    import numpy as np

    from hwnas.cli.architectures import parse_architectures
    from hwnas.cli.predict_files import open_pool

    if model is not None and not for_adapt:
        raise InvalidValueError("`--model` must be given with --for-adapt, but that is not there.")
    found = parse_architectures(space, arch, archs)
    rng = np.random.default_rng(seed)
    found += [space.sample(rng) for _ in range(sample)]
    return found + (open_pool(name, model).choose_support(for_adapt, seed) if for_adapt else [])


def _show(found: Imported, as_json: bool) -> None:
    from hwnas.bundles.results import DRIFT

    rows = [row.as_dict() for row in found.rows]
    if as_json:
        print_json_lines({**row, "device": str(found.key)} for row in rows)
    else:
        columns = [name.removeprefix("raw_") for name in _SHOWN]
        columns[4] = "uncorrected_ms"
        body = [[*(row[name] for name in _SHOWN), row[ARCHITECTURE]] for row in rows]
        print_table([*columns, ARCHITECTURE], body, title=f"latency on {found.key}")
    for line in found.remarks():
        note(line)
    if found.drift <= DRIFT:  # else it was told
        drift = f"{100 * found.drift:.1f} %"
        note(f"The reference network's latency, which corrects for drift, moved by up to {drift}.")
