"""What runtimes share that run networks on this host's CPU, through ONNX files."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar, NamedTuple

import onnx

from hwnas.errors import InvalidValueError, unknown_name
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
    device_key,
    explicit,
)
from hwnas.runtimes.examples import input_batch
from hwnas.runtimes.lowering import exported
from hwnas.runtimes.onnx_facts import precision_of
from hwnas.runtimes.onnxruntime_session import load_model_bytes
from hwnas.runtimes.own_onnx import in_float32, in_int8, with_shape


class Model(ABC):
    """A network in the runtime's hands.

    Attributes:
        facts: what to tell of it beside the key.
    """

    facts: Mapping[str, str] = {}

    @abstractmethod
    def set_input(self, images: Array) -> None:
        """Take the `(B, ...)` input of the runs that follow."""

    @abstractmethod
    def run(self) -> None:
        """Run once."""

    @abstractmethod
    def outputs(self) -> list[Array]:
        """Run once and give the outputs, each `(B, ...)`."""


class CpuRuntime(ABC):
    """A runtime whose only device is ``cpu``, and whose first precision is float32.

    Its library may end the process: what is measured is measured in a child process.
    """

    name: ClassVar[str]
    packages: ClassVar[tuple[str, ...]]
    precisions: ClassVar[tuple[str, ...]] = ("float32",)
    options: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    fragile: ClassVar[bool] = True
    one_by_one: ClassVar[bool] = False
    """Whether the model takes one image at a time."""
    takes_tokens: ClassVar[bool] = False
    """Whether an input may be integers."""

    @abstractmethod
    def load(
        self, onnx_file: Path, shape: tuple[int, ...], threads: int
    ) -> AbstractContextManager[Model]:
        """Convert an ONNX file, in whose folder other files may be written, and load it.

        Raises:
            InvalidValueError: the runtime cannot run it.
        """

    def version(self) -> str:
        """Version of the package."""
        return version(self.packages[0])

    def devices(self) -> list[str]:
        """List the CPU."""
        return ["cpu"]

    def place(self, settings: RunSettings) -> Place:
        """Name the CPU; one thread is the one that calls."""
        if settings.device != "cpu":
            raise unknown_name(f"device of {self.name}", settings.device, self.devices())
        return Place(THIS_CPU, own_thread=settings.threads == 1)

    @contextmanager
    def prepare(self, network: Network, settings: RunSettings) -> Iterator[Executable]:
        """Export, convert and load the network."""
        self.place(settings)
        chosen = explicit(self, settings)
        source = self._source(network, replace(chosen, batch=settings.batch))
        images = source.images
        chosen = replace(chosen, batch=len(images))
        with TemporaryDirectory() as folder:
            file = Path(folder) / "model.onnx"
            file.write_bytes(source.content)
            with self.load(file, source.shape, chosen.threads) as model:
                model.set_input(images)

                def outputs(*own: Array) -> list[Array]:
                    if own:
                        model.set_input(own[0])
                    try:
                        return model.outputs()
                    finally:
                        model.set_input(images)

                facts = {**source.facts, **model.facts}
                if self.one_by_one:
                    facts["batch_is"] = "one image after another"
                key = device_key(self, chosen)
                yield Prepared(
                    key, [images], model.run, outputs, None, source.examples, facts, source.expected
                )

    def _source(self, network: Network, settings: RunSettings) -> _Source:
        """Give a network as an ONNX model from ``input`` to ``output``."""
        if not isinstance(network, TorchNetwork):
            return _own(self, network, settings)
        if network.spec.vocabulary is not None and not self.takes_tokens:
            raise InvalidValueError(
                f"`runtime` {self.name!r} must get real numbers, but the network takes "
                f"tokens: use the runtime litert, onnxruntime, openvino or torch."
            )
        images = input_batch(network, settings)
        batch = 1 if self.one_by_one else len(images)
        content, _, examples, facts = exported(network, replace(settings, batch=batch))
        return _Source(content, images, (batch, *network.in_shape), examples, facts)


class _Source(NamedTuple):
    """A model from ``input`` to ``output``.

    Attributes:
        content: the ONNX model.
        images: what it runs on, `(B, ...)`.
        shape: what it takes at a time.
        examples: inputs that it is compared on beside.
        facts: what to tell of it.
        expected: outputs in float32, where there is no torch network to compute them.
    """

    content: bytes
    images: Array
    shape: tuple[int, ...]
    examples: Sequence[Sequence[Array]]
    facts: Mapping[str, str]
    expected: Sequence[Sequence[Array]] = ()


def _own(runtime: CpuRuntime, network: OnnxModel, settings: RunSettings) -> _Source:
    """Give a user's model of one input and one output, which its own outputs are compared with."""
    if (found := precision_of(load_model_bytes(network.content))) != "float32":
        raise InvalidValueError(
            f"`onnx` must be in float32 for the runtime {runtime.name!r}, but is in {found}: use "
            f"the runtime onnxruntime or openvino, which take it as it is."
        )
    if settings.precision == "int8":
        made = in_int8(network, settings)
    else:
        made = in_float32(network, settings)
    content = made.content
    model = onnx.load_from_string(content) if isinstance(content, bytes) else onnx.load(content)
    images = made.inputs[0]
    kinds = ["float32", *(("int64", "int32") if runtime.takes_tokens else ())]
    if len(made.inputs) > 1 or len(model.graph.output) > 1 or images.dtype.name not in kinds:
        raise InvalidValueError(
            f"`onnx` must have one input in {' or '.join(kinds)} and one output for the runtime "
            f"{runtime.name!r}, but got {len(made.inputs)} ({images.dtype}) and "
            f"{len(model.graph.output)}: use the runtime onnxruntime or openvino."
        )
    if runtime.one_by_one and len(images) > 1:
        raise InvalidValueError(
            f"`batch` of an ONNX model must be 1 for the runtime {runtime.name!r}, but got "
            f"{len(images)}."
        )
    written = with_shape(model, images.shape).SerializeToString()
    return _Source(written, images, images.shape, made.examples, made.facts, made.expected)
