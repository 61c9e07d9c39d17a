"""What runtimes share that run torch networks on this host's CPU, through ONNX files."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar

from hwnas.errors import InvalidValueError, unknown_name
from hwnas.runtimes.base import (
    THIS_CPU,
    Array,
    Executable,
    Network,
    Place,
    Prepared,
    RunSettings,
    TorchNetwork,
    device_key,
    explicit,
)
from hwnas.runtimes.examples import input_batch
from hwnas.runtimes.lowering import exported


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
        if not isinstance(network, TorchNetwork):
            raise InvalidValueError(
                f"`runtime` {self.name!r} must get a torch network, but got an ONNX model: use the "
                f"runtime onnxruntime or openvino."
            )
        if network.spec.vocabulary is not None:
            raise InvalidValueError(
                f"`runtime` {self.name!r} must get images or signals, but the network takes "
                f"tokens: use the runtime onnxruntime, openvino or torch."
            )
        chosen = explicit(self, settings)
        images = input_batch(network, chosen)
        batch = 1 if self.one_by_one else len(images)
        with TemporaryDirectory() as folder:
            file = Path(folder) / "model.onnx"
            content, _, examples, facts = exported(network, replace(chosen, batch=batch))
            file.write_bytes(content)
            with self.load(file, (batch, *network.in_shape), chosen.threads) as model:
                model.set_input(images)

                def outputs(*own: Array) -> list[Array]:
                    if own:
                        model.set_input(own[0])
                    try:
                        return model.outputs()
                    finally:
                        model.set_input(images)

                facts |= model.facts
                if self.one_by_one:
                    facts["batch_is"] = "one image after another"
                key = device_key(self, chosen)
                yield Prepared(key, [images], model.run, outputs, None, examples, facts)
