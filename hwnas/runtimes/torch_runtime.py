"""PyTorch, eager or compiled, on the CPU and on CUDA devices.

Eager latency ranks deployed latency badly; `benchmarks/latency/runtimes.py` prints how badly. It is
the right cost for what runs in eager PyTorch. Compiling takes from seconds to minutes a network.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar

from hwnas.errors import InvalidValueError, unknown_name
from hwnas.networks.copying import copy_model
from hwnas.process_state import PROCESS_STATE
from hwnas.runtimes.base import (
    THIS_CPU,
    Array,
    Executable,
    Network,
    OnnxModel,
    Place,
    Prepared,
    RunSettings,
    device_key,
    explicit,
)
from hwnas.runtimes.examples import compared, input_batch
from hwnas.seeding import torch_state_kept

if TYPE_CHECKING:
    import torch


class TorchRuntime:
    """PyTorch, operator by operator, which ranks deployed latency badly, or compiled.

    A copy of the network runs in evaluation mode and without gradients. On a CUDA device a run ends
    when the device has finished; it is timed there, by CUDA events around it. The images are there
    before, float32 is no TF32, and the most memory that was in use is told. The option
    ``compile=on`` compiles the copy by `torch.compile`, which needs a C++ compiler and takes from
    seconds to minutes a network.
    """

    name: ClassVar[str] = "torch"
    packages: ClassVar[tuple[str, ...]] = ("torch",)
    precisions: ClassVar[tuple[str, ...]] = ("float32", "float16", "bfloat16")
    options: ClassVar[Mapping[str, tuple[str, ...]]] = {"compile": ("off", "on")}

    def version(self) -> str:
        """Version of the package."""
        import torch

        return str(torch.__version__)

    def devices(self) -> list[str]:
        """List ``cpu``, ``cuda`` for the first GPU, and ``cuda1`` and so on for others."""
        import torch

        return ["cpu", *(f"cuda{i or ''}" for i in range(torch.cuda.device_count()))]

    def place(self, settings: RunSettings) -> Place:
        """Name the GPU, or the CPU."""
        import torch

        if settings.device not in (known := self.devices()):
            raise unknown_name(f"device of {self.name}", settings.device, known)
        if settings.device == "cpu":
            return Place(THIS_CPU, own_thread=settings.threads == 1)
        number = _number(settings.device)
        return Place(f"gpu{number}", torch.cuda.get_device_name(number), clock=_on_devices.read)

    @contextmanager
    def prepare(self, network: Network, settings: RunSettings) -> Iterator[Executable]:
        """Copy the network to the device, and use the wanted number of threads meanwhile."""
        import torch

        if isinstance(network, OnnxModel):
            raise InvalidValueError(
                "`runtime` 'torch' must get a torch network, but got an ONNX model: use the "
                "runtime onnxruntime."
            )
        chosen = explicit(self, settings)
        on_gpu = self.place(chosen).resource != THIS_CPU
        device, drawn = torch_device(chosen.device), input_batch(network, chosen)
        convert = _converter(device, getattr(torch, str(chosen.precision)))
        module: Callable[..., Any] = copy_model(network.module, convert).eval()
        if dict(chosen.options).get("compile") == "on":
            module = torch.compile(module)
        facts: dict[str, str | float] = {}
        run = _forward_once(module, convert(torch.from_numpy(drawn)))

        def outputs(*own: Array) -> list[Array]:
            found = forward(module, *(convert(torch.from_numpy(a)) for a in own or [drawn]))
            if on_gpu:
                facts["peak_memory_bytes"] = torch.cuda.max_memory_allocated(device)
            return found

        if on_gpu:
            torch.cuda.reset_peak_memory_stats(device)
            run = _on_devices.timed(run, device)
        with _computing(chosen.threads):
            examples, told = compared(network, chosen)
            facts |= told
            yield Prepared(device_key(self, chosen), [drawn], run, outputs, None, examples, facts)


def _converter(device: torch.device, dtype: torch.dtype) -> Callable[[torch.Tensor], torch.Tensor]:
    def convert(tensor: torch.Tensor) -> torch.Tensor:
        # Counts and tokens stay integers.
        kind = dtype if tensor.is_floating_point() else tensor.dtype
        return tensor.to(device, kind, copy=True)

    return convert


def _forward_once(module: Callable[..., Any], images: torch.Tensor) -> Callable[[], None]:
    import torch

    def forward_once() -> None:
        with torch.inference_mode():
            module(images)

    return forward_once


@contextmanager
def _computing(threads: int) -> Iterator[None]:
    """Use so many threads, and no TF32 for float32, meanwhile."""
    import torch

    with PROCESS_STATE:
        before = torch.get_num_threads()
        tf32 = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
        torch.set_num_threads(threads)
        _allow_tf32(False, False)
        try:
            yield
        finally:
            torch.set_num_threads(before)
            _allow_tf32(*tf32)


class _OnDevices:
    """The time that CUDA devices spent on runs of this process, by events."""

    def __init__(self) -> None:
        self._ms = 0.0

    def read(self) -> float:
        """Give it in ms."""
        return self._ms

    def timed(self, run: Callable[[], None], device: torch.device) -> Callable[[], None]:
        """Give a run that ends when the device has finished, and is counted."""
        import torch

        make: Callable[..., torch.cuda.Event] = torch.cuda.Event
        start, end = make(enable_timing=True), make(enable_timing=True)

        def run_and_count() -> None:
            stream = torch.cuda.current_stream(device)
            start.record(stream)
            run()
            end.record(stream)
            end.synchronize()
            self._ms += start.elapsed_time(end)

        return run_and_count


_on_devices = _OnDevices()


def torch_device(name: str) -> torch.device:
    """Give the device that torch calls otherwise."""
    import torch

    return torch.device("cpu" if name == "cpu" else f"cuda:{_number(name)}")


def _allow_tf32(convolutions: bool, products: bool) -> None:
    import torch

    torch.backends.cudnn.allow_tf32 = convolutions
    torch.backends.cuda.matmul.allow_tf32 = products


def _number(device: str) -> int:
    return int(device.removeprefix("cuda") or 0)


def forward(module: Callable[..., Any], *images: torch.Tensor) -> list[Array]:
    """Run a network as it stands, and give its outputs as float32 arrays.

    Raises:
        InvalidValueError: it does not run on such images, or gives something else than tensors.
    """
    import torch

    try:
        with torch.inference_mode(), torch_state_kept():
            found = module(*images)
    except Exception as error:
        # A network of a user may raise anything.
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InvalidValueError(
            f"`model` must run on inputs of shapes {[tuple(i.shape) for i in images]}, but "
            f"{type(module).__name__} says: {reason}"
        ) from error
    tensors = list(found) if isinstance(found, tuple | list) else [found]
    if not all(isinstance(tensor, torch.Tensor) for tensor in tensors):
        raise InvalidValueError(
            f"`model` must give tensors, but {type(module).__name__} gives {type(found).__name__}."
        )
    return [tensor.float().cpu().numpy() for tensor in tensors]
