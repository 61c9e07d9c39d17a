"""LiteRT, formerly TensorFlow Lite, on the CPU: float32 and int8."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import ai_edge_litert
import numpy as np
import onnx

from hwnas.errors import InvalidValueError
from hwnas.runtimes.base import Array, RunSettings
from hwnas.runtimes.cpu_only import CpuRuntime, Model
from hwnas.runtimes.litert.from_onnx import to_litert
from hwnas.runtimes.lowering import FLOAT_OPERATORS
from hwnas.runtimes.native_output import quiet

del ai_edge_litert  # imported to know at once whether it is installed


class LiteRt(CpuRuntime):
    """LiteRT with its own kernels and those of XNNPACK, as its interpreter chooses.

    hwnas writes the model itself, with images stored channels last; batch norms are folded before.
    int8 is that of `hwnas.runtimes.lowering`: activations with one scale and zero point, weights
    with one scale a channel. The option ``float_operators`` names what stays in float32.
    """

    name: ClassVar[str] = "litert"
    packages: ClassVar[tuple[str, ...]] = ("ai-edge-litert",)
    precisions: ClassVar[tuple[str, ...]] = ("float32", "int8")
    takes_tokens: ClassVar[bool] = True
    options: ClassVar[Mapping[str, tuple[str, ...]]] = {"float_operators": FLOAT_OPERATORS}

    def written(self, settings: RunSettings) -> str:
        """Name how int8 is written where it was written otherwise before; else nothing."""
        return "activations by conversion" if settings.precision == "int8" else ""

    @contextmanager
    def load(self, onnx_file: Path, shape: tuple[int, ...], threads: int) -> Iterator[Model]:
        """Write the model and give it to an interpreter."""
        from ai_edge_litert.interpreter import Interpreter

        content, facts = to_litert(onnx.load(onnx_file))
        try:
            # It tells the standard error that it uses XNNPACK.
            with quiet(2):
                interpreter = Interpreter(model_content=content, num_threads=threads)
                interpreter.allocate_tensors()
        except (RuntimeError, ValueError) as error:
            raise InvalidValueError(
                f"`model` must be a network that LiteRT {self.version()} can run, but it says: "
                f"{(str(error).strip() or type(error).__name__).splitlines()[0]}"
            ) from error
        yield _LiteRtModel(interpreter, shape, facts)


class _LiteRtModel(Model):
    def __init__(self, interpreter: Any, shape: tuple[int, ...], facts: Mapping[str, str]) -> None:
        self._interpreter = interpreter
        (source,), (result,) = interpreter.get_input_details(), interpreter.get_output_details()
        self._source, self._result = int(source["index"]), int(result["index"])
        self._dtype = source["dtype"]
        self._shape, self.facts = shape, facts

    def set_input(self, images: Array) -> None:
        if images.shape != self._shape:
            raise InvalidValueError(f"`images` must be {self._shape}, but got {images.shape}.")
        stored = np.moveaxis(images, 1, -1) if images.ndim == 4 else images
        self._interpreter.set_tensor(self._source, np.ascontiguousarray(stored, self._dtype))

    def run(self) -> None:
        self._interpreter.invoke()

    def outputs(self) -> list[Array]:
        self._interpreter.invoke()
        return [self._interpreter.get_tensor(self._result)]
