"""ONNX Runtime: one device an execution provider."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, ClassVar

from hwnas.errors import InvalidValueError
from hwnas.onnx_export.export import export_onnx
from hwnas.runtimes.base import (
    THIS_CPU,
    Array,
    Executable,
    Network,
    OnnxModel,
    Place,
    Prepared,
    RunSettings,
    TorchNetwork,
    check_options,
    device_key,
    explicit,
)
from hwnas.runtimes.input_shapes import batch_of
from hwnas.runtimes.onnx_facts import precision_of, undeclared_inputs
from hwnas.runtimes.onnxruntime_session import (
    Feeds,
    available_providers,
    load_model_bytes,
    open_session,
    provider_name,
    random_feeds,
)

_ON_GPU = ("CUDA", "Tensorrt", "NvTensorRTRTX", "ROCM", "MIGraphX", "Dml", "WebGpu")


class OnnxRuntime:
    """ONNX Runtime: torch networks exported by hwnas, and ONNX models as they are.

    Runs are sequential and optimised at the highest level; copies to and from a GPU are part of
    them. The option ``spinning`` says whether idle threads wait actively.
    """

    name: ClassVar[str] = "onnxruntime"
    packages: ClassVar[tuple[str, ...]] = ("onnxruntime", "onnxruntime-gpu")
    precisions: ClassVar[tuple[str, ...]] = ("float32",)
    options: ClassVar[Mapping[str, tuple[str, ...]]] = {"spinning": ("on", "off")}

    def version(self) -> str:
        """Version of the package."""
        import onnxruntime

        return str(onnxruntime.__version__)

    def devices(self) -> list[str]:
        """List the execution providers of this installation, the CPU first."""
        return list(available_providers())

    def place(self, settings: RunSettings) -> Place:
        """Tell a GPU's provider from those that run on the CPU."""
        name = provider_name(settings.device)
        if name.startswith(_ON_GPU):
            return Place("gpu0", _gpu_name())
        in_this_thread = settings.threads == 1 and name == "CPUExecutionProvider"
        return Place(THIS_CPU, own_thread=in_this_thread)

    @contextmanager
    def prepare(self, network: Network, settings: RunSettings) -> Iterator[Executable]:
        """Open a session and draw its inputs."""
        from onnxruntime import RunOptions

        options = dict(check_options(self, settings))
        content, precision = self._model(network, settings)
        session = open_session(
            content, settings.device, settings.threads, options.get("spinning", "on") == "on"
        )
        shapes = dict(network.shapes) if isinstance(network, OnnxModel) else {}
        batch = settings.batch or batch_of(session.get_inputs(), shapes) or 1
        feeds = random_feeds(
            session, batch, network.in_shape, settings.seed, shapes, undeclared_inputs(content)
        )
        first_run = RunOptions()
        key = device_key(self, replace(settings, batch=batch, precision=precision))
        yield Prepared(
            key,
            list(feeds.values()),
            lambda: session.run(None, feeds),
            lambda: _outputs(session, feeds, first_run),
            lambda: setattr(first_run, "terminate", True),
        )

    def _model(self, network: Network, settings: RunSettings) -> tuple[bytes | str, str]:
        """Give the model and the precision that it is in."""
        if isinstance(network, TorchNetwork):
            chosen = explicit(self, settings)
            assert chosen.batch is not None
            proto = export_onnx(network.module, network.in_shape, batch=chosen.batch)
            return proto.SerializeToString(), str(chosen.precision)
        content = load_model_bytes(network.content)
        precision = precision_of(content)
        if settings.precision not in (None, precision):
            raise InvalidValueError(
                f"`precision` of an ONNX model must be its own, {precision}, but got "
                f"{settings.precision!r}: leave it out."
            )
        return content, precision


def _outputs(session: Any, feeds: Feeds, options: Any) -> list[Array]:
    try:
        return list(session.run(None, feeds, options))
    except Exception as error:
        # ONNX Runtime's errors have no common class other than Exception.
        raise InvalidValueError(
            f"`onnx` must run on random inputs of shapes "
            f"{[list(array.shape) for array in feeds.values()]}, but ONNX Runtime says: "
            f"{str(error).splitlines()[0]}"
        ) from error


def _gpu_name() -> str:
    """Name the GPU as the driver does; ONNX Runtime itself does not tell."""
    import torch

    return torch.cuda.get_device_name(0) if torch.cuda.is_available() else "GPU"
