"""What a runtime is: it makes a network executable; what is measured and how often is not its part.

How known things are spelled in these terms:

- ONNX Runtime is a `Runtime` whose devices are its execution providers; what it prepares holds a
  session and its inputs.
- Eager PyTorch is one whose devices are the CPU and each CUDA device.
- A process on another machine is a `Runtime` around another one.
- "4 images, 2 threads, int8" are `RunSettings`; "idle threads sleep" and "average pools stay in
  float" are options of one runtime.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from hwnas.errors import InvalidValueError, unknown_name
from hwnas.files.identity import LATER
from hwnas.tasks.task import TensorSpec
from hwnas.typing import DeviceKey, FloatArray

if TYPE_CHECKING:
    import onnx
    from torch import nn

Array = npt.NDArray[Any]
THIS_CPU = "this-cpu"
"""The resource of everything that the host's CPU computes."""
Activations = Literal["unsigned", "signed", "symmetric"]
"""How int8 stores activations: uint8, int8, or int8 without zero points; weights are int8.

On x86 ONNX Runtime's CPU kernels are for uint8. It turns int8 into that by itself, but not where
two operators read a tensor; an operator between both kinds is computed in float32 then.
"""
_SHORT = {"fp32": "float32", "fp16": "float16", "bf16": "bfloat16"}


class Several(tuple[str, ...]):
    """Choices of an option that may be joined by ``+``, all but the first, the default."""


@dataclass(frozen=True)
class TorchNetwork:
    """A torch module to run; it is left as it is.

    Attributes:
        module: the network.
        input: what it gets, without the batch; a shape stands for an image, signal or vector.
    """

    module: nn.Module
    input: TensorSpec | tuple[int, ...]

    def __getstate__(self) -> dict[str, Any]:
        """Give what another process gets: plain weights, as parametrised ones cannot be sent."""
        from hwnas.networks.plain import plain_network

        return {**vars(self), "module": plain_network(self.module)}

    @property
    def spec(self) -> TensorSpec:
        """The input."""
        return self.input if isinstance(self.input, TensorSpec) else TensorSpec.of(self.input)

    @property
    def in_shape(self) -> tuple[int, ...]:
        """Shape of the input without the batch."""
        return self.spec.shape

    def draw(self, batch: int, seed: int) -> Array:
        """Draw a batch of inputs: standard normal in float32, or tokens uniformly in int64."""
        rng, shape = np.random.default_rng(seed), (batch, *self.in_shape)
        if self.spec.vocabulary is not None:
            return rng.integers(self.spec.vocabulary, size=shape)
        return rng.standard_normal(shape).astype(np.float32)


@dataclass(frozen=True)
class OnnxModel:
    """An ONNX model to run, with any number of inputs.

    Attributes:
        content: the model, its bytes, or its file, which may have data files beside it.
        in_shape: the first input's dimensions beside the batch, where they are free.
        shapes: whole shapes of inputs, with their names.
        part: whether it is a part of a network, which gives it images in int8 where that is the
            precision: then no operator stays in float32 since the one before it is in float32.
    """

    content: onnx.ModelProto | bytes | str | os.PathLike[str]
    in_shape: tuple[int, ...] | None = None
    shapes: tuple[tuple[str, tuple[int, ...]], ...] = ()
    part: bool = False


Network = TorchNetwork | OnnxModel


@dataclass(frozen=True)
class RunSettings:
    """How a network is run.

    Attributes:
        device: one of the runtime's devices.
        threads: CPU threads inside an operator; operators run one after another.
        batch: images a run; None for the model's, or 1 where that is free.
        precision: number format, e.g. ``float32`` or ``fp32``; None for the model's, or float32.
        options: the runtime's own options, by name.
        seed: seed of the inputs, Gaussian for real numbers.
        images: what int8 is calibrated with and what runs: ``gaussian``, ``cifar10-sample`` or the
            user's own, see `hwnas.data.own_images.OwnImages`.

    Raises:
        InvalidValueError: a number is below 1.
    """

    device: str = "cpu"
    threads: int = 1
    batch: int | None = None
    precision: str | None = None
    options: tuple[tuple[str, str], ...] = ()
    seed: int = 0
    images: str = field(default="gaussian", metadata=LATER)

    def __post_init__(self) -> None:
        """Check the numbers, and write the precision out."""
        if self.precision in _SHORT:
            object.__setattr__(self, "precision", _SHORT[self.precision])
        for name, value in (("threads", self.threads), ("batch", self.batch)):
            if value is not None and (not isinstance(value, int) or value < 1):
                raise InvalidValueError(f"`{name}` must be at least 1, but got {value}.")


class Place(NamedTuple):
    """Where a network runs.

    Attributes:
        resource: what two measurements cannot share, e.g. ``this-cpu`` or ``gpu0``.
        hardware: name of a device that is not the host's CPU, e.g. of a GPU; else empty.
        own_thread: whether all the work happens in the thread that calls.
        clock: reads the time in ms that the device spent on runs, where it counts that itself.
    """

    resource: str
    hardware: str = ""
    own_thread: bool = False
    clock: Callable[[], float] | None = None


class PrecisionError(InvalidValueError):
    """A runtime does not compute in a precision here, whatever the network."""


class Executable(Protocol):
    """A network that is ready to run, with its inputs."""

    @property
    def key(self) -> DeviceKey:
        """What really runs: device, runtime with version, precision, batch, threads."""

    @property
    def inputs(self) -> Sequence[Array]:
        """The arrays that it runs on, in the network's order."""

    def run(self) -> None:
        """Run once, and return when the outputs are there; nothing else may be done here."""

    def outputs(self, *inputs: Array) -> list[Array]:
        """Run once, on other inputs if there are any, and give the outputs.

        Raises:
            InvalidValueError: the network cannot be run.
        """


class Runtime(Protocol):
    """What executes networks.

    Its name is that in the registry; the class is made without arguments. One whose library may
    end the process has an attribute `fragile` that is true: it is used in child processes only.
    One that only a program of its own can time has an attribute `times_itself` that is true, and
    what it prepares has `times`: the reference network is timed before and after it, not in rounds.
    Options that change nothing but what is told have their names in `telling_options`. One that
    writes a precision otherwise than an earlier version says so by a method `written(settings)`:
    what was measured before is another value. One whose latency of a network differs from process
    to process has `differs_between_processes`: `hwnas profile` measures in several.
    """

    @property
    def name(self) -> str:
        """Name in the table of runtimes."""

    @property
    def packages(self) -> tuple[str, ...]:
        """Distributions whose versions change a latency."""

    @property
    def precisions(self) -> tuple[str, ...]:
        """Number formats that a torch network can be run in, the default first."""

    @property
    def options(self) -> Mapping[str, tuple[str, ...]]:
        """The runtime's own options: what each may be, the default first; see `Several`."""

    def version(self) -> str:
        """Version of the software."""

    def devices(self) -> list[str]:
        """List the devices of this host, the default first, without ``:``."""

    def place(self, settings: RunSettings) -> Place:
        """Tell where these settings run; `UnknownNameError` for a device that is not there."""

    def prepare(
        self, network: Network, settings: RunSettings
    ) -> AbstractContextManager[Executable]:
        """Make a network executable; what that took is given back at the end of the context.

        Raises:
            UnknownNameError: no such device, precision or option.
            InvalidValueError: the runtime cannot run such a network.
        """


@dataclass(frozen=True)
class Prepared:
    """An `Executable` made of functions.

    Attributes:
        stop: called in another thread, ends `outputs` with an error; None where nothing can.
        examples: further inputs on which the outputs are compared with PyTorch's, e.g. those that
            int8 was calibrated with.
        facts: what a reader of the latency must know beside the key, by name.
        expected: outputs in float32 for `inputs` and then each of `examples`, where there is no
            torch network to compute them.
        times: gives the `(r,)` latencies in ms of runs after a warm-up, for about so many seconds,
            where nothing but the runtime can tell them; None where `run` is timed.
    """

    key: DeviceKey
    inputs: Sequence[Array]
    run: Callable[[], None]
    outputs: Callable[..., list[Array]]
    stop: Callable[[], None] | None = None
    examples: Sequence[Sequence[Array]] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    expected: Sequence[Sequence[Array]] = ()
    times: Callable[[float], FloatArray] | None = None


def written(runtime: Runtime, settings: RunSettings) -> str:
    """Name how a precision is written where an earlier version did it otherwise; else nothing."""
    tell: Callable[[RunSettings], str] = getattr(runtime, "written", lambda _: "")
    return tell(settings)


def explicit(runtime: Runtime, settings: RunSettings) -> RunSettings:
    """Check settings for a torch network, and say what they leave open.

    Returns:
        The same settings with batch and precision, and without options that are the default.

    Raises:
        UnknownNameError: the runtime has no such precision or option; lists what there is.
    """
    precision = settings.precision or runtime.precisions[0]
    if precision not in runtime.precisions:
        raise unknown_name(f"precision of {runtime.name}", precision, runtime.precisions)
    options = check_options(runtime, settings)
    return replace(settings, batch=settings.batch or 1, precision=precision, options=options)


def check_options(runtime: Runtime, settings: RunSettings) -> tuple[tuple[str, str], ...]:
    """Give the options that are not the default, in the order of their names.

    Raises:
        UnknownNameError: the runtime has no such option; lists what there is.
    """
    found = {}
    for name, value in settings.options:
        if name not in runtime.options:
            raise unknown_name(f"option of {runtime.name}", name, runtime.options)
        choices = runtime.options[name]
        parts = sorted(set(value.split("+"))) if isinstance(choices, Several) else [value]
        for part in parts:
            if part not in choices or (part == choices[0] and len(parts) > 1):
                raise unknown_name(f"{name} of {runtime.name}", part, choices)
        if value != choices[0]:
            found[name] = "+".join(parts)
    return tuple(sorted(found.items()))


def device_key(runtime: Runtime, settings: RunSettings) -> DeviceKey:
    """Name what `explicit` settings ask for, the options that are not the default included."""
    assert settings.precision is not None
    assert settings.batch is not None
    options = ",".join(f"{name}={value}" for name, value in settings.options)
    software = f"{runtime.name}-{runtime.version()}" + (f"[{options}]" if options else "")
    return DeviceKey(
        settings.device, software, settings.precision, settings.batch, settings.threads
    )
