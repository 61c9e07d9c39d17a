"""TensorRT on the first GPU, by its own program ``trtexec``.

Written from TensorRT's documentation and tried against a program that stands in for it: nobody has
seen it on a GPU.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar

import numpy as np

from hwnas.errors import InvalidValueError, MissingDependencyError, unknown_name
from hwnas.runtimes.base import (
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
from hwnas.runtimes.lowering import FLOAT_OPERATORS, between_int8, exported
from hwnas.runtimes.trtexec import Trtexec, TrtexecError, find_program
from hwnas.typing import FloatArray

_BOARD = Path("/proc/device-tree/model")
_EXAMPLES = 3
"""Each comparison starts the program anew."""
_LAYERS = 5


class TensorRt:
    """TensorRT of ``trtexec`` 8 to 11: networks of one input, in engines built for it.

    The model is written in its precision: int8 with scales and without zero points, float16 as
    such. A latency is that of copying in, computing and copying out, by the device's own clock, run
    by run after 200 ms of warm-up; the program times itself, and the reference network before and
    after. TF32 is off.

    Options: ``cuda_graph``; ``layers=on`` tells the slowest layers; and ``float_operators`` names
    what int8 leaves in float32.
    """

    name: ClassVar[str] = "tensorrt"
    packages: ClassVar[tuple[str, ...]] = ("tensorrt",)
    precisions: ClassVar[tuple[str, ...]] = ("float32", "float16", "int8")
    options: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "cuda_graph": ("off", "on"), "layers": ("off", "on"), "float_operators": FLOAT_OPERATORS,
    }  # fmt: skip
    telling_options: ClassVar[frozenset[str]] = frozenset({"layers"})
    times_itself: ClassVar[bool] = True

    def __init__(self) -> None:
        """Find the program."""
        try:
            self._program = find_program()
            self._version = Trtexec(self._program, "", "float32").ask_version()
        except TrtexecError as error:
            raise MissingDependencyError(f"`runtime` 'tensorrt' {error}.") from None

    def version(self) -> str:
        """Version of TensorRT."""
        return self._version

    def devices(self) -> list[str]:
        """List the first GPU."""
        return ["cuda"]

    def place(self, settings: RunSettings) -> Place:
        """Name the GPU as its driver does, or the board, with the version of TensorRT."""
        if settings.device not in (known := self.devices()):
            raise unknown_name(f"device of {self.name}", settings.device, known)
        return Place("gpu0", f"{_gpu_name()}, TensorRT {self._version}")

    @contextmanager
    def prepare(self, network: Network, settings: RunSettings) -> Iterator[Executable]:
        """Build an engine, which takes from seconds to minutes."""
        self.place(settings)
        if not isinstance(network, TorchNetwork):
            raise InvalidValueError(
                f"`runtime` {self.name!r} must get a torch network, but got an ONNX model: use "
                f"trtexec itself, or the runtime onnxruntime with the device tensorrt."
            )
        chosen = explicit(self, settings)
        content, _, examples, facts = exported(
            network, chosen, activations="symmetric", full_pairs=True
        )
        if dict(chosen.options).get("float_operators") and (wrong := between_int8(content)):
            raise InvalidValueError(
                f"`float_operators` must stay in float32, but TensorRT may compute "
                f"{', '.join(sorted(set(wrong.values())))} in int8, as all around is, and trtexec "
                f"does not say: leave the option out, or add what is around them."
            )
        images, options = input_batch(network, chosen), dict(chosen.options)
        flags = ["--useCudaGraph"] if options.get("cuda_graph") == "on" else []
        with TemporaryDirectory() as folder:
            engine = Trtexec(self._program, folder, str(chosen.precision), flags)
            with _told():
                engine.build(content)
            more = _Facts(engine, options.get("layers") == "on")
            yield Prepared(
                device_key(self, chosen),
                [images],
                more.run,
                lambda *own: _outputs(engine, own[0] if own else images),
                None,
                examples[:_EXAMPLES],
                more.found(facts),
                times=more.times,
            )


class _Facts:
    """Times an engine, and keeps what is to be told of it."""

    def __init__(self, engine: Trtexec, layers: bool) -> None:
        self._engine, self._layers = engine, layers
        self._told: dict[str, str | float] = {}

    def found(self, facts: Mapping[str, str]) -> Mapping[str, str | float]:
        """Give facts that grow as times are measured."""
        self._told |= {**facts, "timed_by": "trtexec", "gpu": self._engine.device}
        return self._told

    def run(self) -> None:
        """Run for as short as the program can time it."""
        self.times(1.0)

    def times(self, seconds: float) -> FloatArray:
        """Give `(r,)` latencies in ms."""
        with _told():
            timed = self._engine.times(seconds)
            for name in ("copy_in", "compute", "copy_out"):
                self._told[f"{name}_ms"] = float(np.median(getattr(timed, name)))
            if self._layers:
                slowest = sorted(self._engine.layers().items(), key=lambda item: -item[1])
                shown = (f"{name} {ms:.3g} ms" for name, ms in slowest[:_LAYERS])
                self._told["slowest_layers"] = ", ".join(shown)
        found: FloatArray = timed.latency
        return found


def _outputs(engine: Trtexec, images: Array) -> list[Array]:
    with _told():
        return list(engine.outputs({"input": images}).values())


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except TrtexecError as error:
        raise InvalidValueError(
            f"`model` must be a network that TensorRT can run, but trtexec {error}"
        ) from error


def _gpu_name() -> str:
    """Ask the driver's program; a Jetson has none, and its board says what it is."""
    program = shutil.which("nvidia-smi")
    if program is not None:
        command = [program, "--query-gpu=name", "--format=csv,noheader"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        if done.returncode == 0 and done.stdout.strip():
            return done.stdout.strip().splitlines()[0]
    if _BOARD.is_file():
        return _BOARD.read_text(encoding="utf-8", errors="replace").strip("\x00 \n")
    return "GPU"
