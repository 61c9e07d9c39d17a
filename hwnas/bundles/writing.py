"""Bundles: models with the outputs that they should have, a manifest, and the runner."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from torch import nn

from hwnas.bundles import runner
from hwnas.bundles.manifest import files_of
from hwnas.bundles.programs import programs
from hwnas.bundles.settings import BundleSettings
from hwnas.errors import InvalidValueError, unknown_name
from hwnas.files.atomic import whole_folder
from hwnas.files.csv_table import ARCHITECTURE
from hwnas.runtimes.agreement import RELATIVE, torch_outputs
from hwnas.runtimes.base import OnnxModel, RunSettings, TorchNetwork, explicit
from hwnas.runtimes.lowering import exported
from hwnas.runtimes.onnxruntime_runtime import OnnxRuntime
from hwnas.runtimes.onnxruntime_session import load_model_bytes, open_session
from hwnas.runtimes.own_onnx import in_int8, of_one_input, with_shape
from hwnas.seeding import seeded
from hwnas.spaces.networks import Networks
from hwnas.tasks.task import TensorSpec

_OF_MODELS = {"onnxruntime": ("float32", "int8"), "litert": ("float32", "int8")}
"""Precisions of ONNX models in a bundle, by runtime; float32 alone of the others."""
OWN_MODELS = "onnx"
"""What stands for space and task where a bundle holds ONNX models."""


def write_bundle(
    folder: Path, networks: Networks[Any], archs: Sequence[Any], settings: BundleSettings
) -> list[str]:
    """Write the networks of some architectures, and everything to measure them elsewhere.

    Args:
        folder: where to write; it appears as a whole.
        networks: what the architectures look like as networks.
        archs: `(n,)` architectures; equal networks stand in the bundle once.
        settings: how they are run.

    Returns:
        What a reader must know beside the files, a line each.

    Raises:
        InvalidValueError: there is no architecture, a network cannot be exported, or the folder
            holds another bundle.
    """
    space, task = networks.space, networks.task
    unique = list({space.canonical_key(arch): arch for arch in archs}.values())
    if not unique:
        raise InvalidValueError(
            "`--arch`, `--archs`, `--sample` or `--for-adapt` must name what to measure, but got "
            "none."
        )
    with whole_folder(folder) as inside:
        entries = [
            {ARCHITECTURE: str(arch), **_write(inside, f"n{i:04d}", module, task.input, settings)}
            for i, (arch, module) in enumerate(_modules(networks, unique, settings.seed))
        ]
        _finish(inside, entries, (repr(space), str(task.settings)), settings)
    equal = len(archs) - len(unique)
    return [f"{equal} of {len(archs)} are equal to others as networks."] if equal else []


def write_own_models(
    folder: Path,
    files: Sequence[Path],
    settings: BundleSettings,
    in_shape: Sequence[int] | None = None,
) -> None:
    """Write a user's own ONNX files, which are called by their paths.

    Args:
        folder: where to write; it appears as a whole.
        files: `(n,)` models in float32 of one input; each stands in the bundle once.
        settings: how they are run; the batch is given to those that leave it open.
        in_shape: sizes beside the batch, where a model leaves them open.

    Raises:
        InvalidValueError: a file is no such model, or cannot run or be quantised.
    """
    own = {str(file): of_one_input(file, settings.batch, in_shape) for file in files}
    write_models(folder, list(own.values()), settings, part=False, names=list(own))


def write_models(
    folder: Path,
    models: Sequence[onnx.ModelProto],
    settings: BundleSettings,
    *,
    part: bool,
    names: Sequence[str] | None = None,
) -> None:
    """Write ONNX models, with the outputs that ONNX Runtime gives here in float32.

    Args:
        folder: where to write; it appears as a whole.
        models: `(n,)` models in float32 of one input and one output of constant shapes.
        settings: how they are run.
        part: whether they are parts of networks, see `OnnxModel`.
        names: `(n,)` what results call them; their numbers by default.

    Raises:
        InvalidValueError: a model is another one, or cannot run or be quantised.
    """
    known = _OF_MODELS.get(settings.runtime, ("float32",))
    if settings.precision not in known:
        raise unknown_name("precision of ONNX models", settings.precision, known)
    with whole_folder(folder) as inside:
        entries = [
            {ARCHITECTURE: text, **_write_model(inside, f"n{i:04d}", model, settings, part)}
            for i, (text, model) in enumerate(
                zip(names or map(str, range(len(models))), models, strict=True)
            )
        ]
        _finish(inside, entries, (OWN_MODELS, OWN_MODELS), settings)


def _write_model(
    folder: Path, name: str, model: onnx.ModelProto, settings: BundleSettings, part: bool
) -> dict[str, Any]:
    found = open_session(model.SerializeToString()).get_inputs()
    if len(found) != 1 or not all(isinstance(size, int) for size in found[0].shape):
        raise InvalidValueError(
            f"`models` must have one input of a constant shape, but one has "
            f"{[source.shape for source in found]}."
        )
    plain = with_shape(model, found[0].shape)
    network = OnnxModel(plain.SerializeToString(), part=part)
    # Integers are 0 and 1, as `hwnas profile` draws them.
    vocabulary = 2 if found[0].type == "tensor(int64)" else None
    drawn = runner.draw(found[0].shape, vocabulary, settings.seed)
    outputs = open_session(plain.SerializeToString()).run(None, {"input": drawn})
    if settings.precision == "int8":
        images = "gaussian" if part else settings.images  # a part gets no images
        run = RunSettings(batch=None, precision="int8", seed=settings.seed, images=images)
        content = load_model_bytes(in_int8(network, run, settings.activations).content)
        plain = onnx.load_from_string(content)
    return _put(folder, name, _as_file(plain, settings), drawn, outputs, vocabulary, settings)


def _finish(
    inside: Path, entries: Sequence[Any], about: tuple[str, str], settings: BundleSettings
) -> None:
    """Write reference network, manifest and programs; `about` are the texts of space and task."""
    spec = TensorSpec((3, 32, 32))
    reference = _write(inside, runner.REFERENCE, reference_network(), spec, settings)
    manifest = {
        "schema": runner.BUNDLE_SCHEMA, "version": runner.VERSION, "metric": "latency",
        "unit": "ms", "space": about[0], "task": about[1],
        "provider": settings.provider, "precision": settings.precision,
        "batch": settings.batch, "threads": settings.threads, "seconds": settings.seconds,
        "seed": settings.seed, "images": settings.images,
        "accepted_error": RELATIVE[settings.precision], "reference": reference,
        "networks": entries, "runtime": settings.runtime,
    }  # fmt: skip
    text = json.dumps(manifest, indent=1, allow_nan=False) + "\n"
    (inside / runner.MANIFEST).write_text(text, encoding="utf-8")
    for name, source in programs(settings.runtime).items():
        (inside / name).write_bytes(Path(source).read_bytes())


def reference_network() -> nn.Module:
    """Make the network that is timed beside every other: 4.0 million MACs, for 3×32×32."""
    with seeded(0):
        return nn.Sequential(
            nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(),
            nn.Conv2d(16, 32, 3, stride=2, padding=1), nn.ReLU(),
            nn.Conv2d(32, 32, 3, padding=1), nn.ReLU(),
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10),
        ).eval()  # fmt: skip


def _modules(
    networks: Networks[Any], archs: Iterable[Any], seed: int
) -> Iterable[tuple[Any, nn.Module]]:
    for arch in archs:
        yield arch, networks.network(arch, networks.seed(arch, seed))


def _write(
    folder: Path, name: str, module: nn.Module, spec: TensorSpec, settings: BundleSettings
) -> dict[str, Any]:
    """Write a model and the outputs that PyTorch gives; what the manifest says of them."""
    run = explicit(
        OnnxRuntime(),
        RunSettings(
            batch=settings.batch, precision=settings.precision, seed=settings.seed,
            images=settings.images if name != runner.REFERENCE else "gaussian",
        ),
    )  # fmt: skip
    content = _content(TorchNetwork(module, spec), run, settings)
    drawn = runner.draw([settings.batch, *spec.shape], spec.vocabulary, settings.seed)
    outputs = torch_outputs(module, [drawn])
    return _put(folder, name, content, drawn, outputs, spec.vocabulary, settings)


def _put(
    folder: Path,
    name: str,
    content: bytes,
    drawn: Any,
    outputs: Sequence[Any],
    vocabulary: int | None,
    settings: BundleSettings,
) -> dict[str, Any]:
    """Write the files of a model; what the manifest says of them."""
    stream = io.BytesIO()
    np.save(stream, np.concatenate([array.ravel() for array in outputs]), allow_pickle=False)
    files = files_of(folder, name, settings.runtime)
    for file, written in zip(files, (content, stream.getvalue()), strict=True):
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(written)
    return {
        "name": name, "input": list(drawn.shape), "vocabulary": vocabulary,
        "outputs": [list(array.shape) for array in outputs],
        "model_sha256": runner.digest(content),
        "expected_sha256": runner.digest(stream.getvalue()),
        "input_sha256": runner.digest(drawn.tobytes()),
    }  # fmt: skip


def _content(network: TorchNetwork, run: RunSettings, settings: BundleSettings) -> bytes:
    """Give the model as the runtime reads it."""
    content, *_ = exported(
        network,
        run,
        activations=settings.activations,
        full_pairs=settings.runtime == "tensorrt",
    )
    return _as_file(content, settings)


def _as_file(model: onnx.ModelProto | bytes, settings: BundleSettings) -> bytes:
    if settings.runtime != "litert":
        return model if isinstance(model, bytes) else bytes(model.SerializeToString())
    from hwnas.runtimes.litert.from_onnx import to_litert

    content, _ = to_litert(onnx.load_from_string(model) if isinstance(model, bytes) else model)
    return content
