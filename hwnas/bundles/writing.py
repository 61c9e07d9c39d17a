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
from hwnas.errors import InvalidValueError
from hwnas.files.atomic import whole_folder
from hwnas.files.csv_table import ARCHITECTURE
from hwnas.runtimes.agreement import RELATIVE, torch_outputs
from hwnas.runtimes.base import RunSettings, TorchNetwork, explicit
from hwnas.runtimes.lowering import exported
from hwnas.runtimes.onnxruntime_runtime import OnnxRuntime
from hwnas.seeding import seeded
from hwnas.spaces.networks import Networks
from hwnas.tasks.task import TensorSpec


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
        spec = TensorSpec((3, 32, 32))
        reference = _write(inside, runner.REFERENCE, reference_network(), spec, settings)
        manifest = {
            "schema": runner.BUNDLE_SCHEMA, "version": runner.VERSION, "metric": "latency",
            "unit": "ms", "space": repr(space), "task": str(task.settings),
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
    equal = len(archs) - len(unique)
    return [f"{equal} of {len(archs)} are equal to others as networks."] if equal else []


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
    shape = [settings.batch, *spec.shape]
    drawn = runner.draw(shape, spec.vocabulary, settings.seed)
    outputs = torch_outputs(module, [drawn])
    stream = io.BytesIO()
    np.save(stream, np.concatenate([array.ravel() for array in outputs]), allow_pickle=False)
    files = files_of(folder, name, settings.runtime)
    for file, written in zip(files, (content, stream.getvalue()), strict=True):
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(written)
    return {
        "name": name, "input": shape, "vocabulary": spec.vocabulary,
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
    if settings.runtime == "litert":
        from hwnas.runtimes.litert.from_onnx import to_litert

        content, _ = to_litert(onnx.load_from_string(content))
    return content
