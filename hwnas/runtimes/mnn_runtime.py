"""MNN on the CPU, in float32."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import onnx

from hwnas.errors import InvalidValueError
from hwnas.runtimes.base import Array
from hwnas.runtimes.constant_nodes import without_constant_nodes
from hwnas.runtimes.cpu_only import CpuRuntime, Model
from hwnas.runtimes.native_output import quiet

# Its import prints, so that it is imported where that can be kept away.
if find_spec("MNN") is None:
    raise ModuleNotFoundError("No module named 'MNN'", name="MNN")


class MnnRuntime(CpuRuntime):
    """MNN with the precision ``high``, which is float32; the input is in NCHW.

    What does not depend on the input, such as branches of zeros, is computed before: MNN gets batch
    norms of constants wrong, and takes zeros of no stated value from what lies in memory.
    """

    name: ClassVar[str] = "mnn"
    packages: ClassVar[tuple[str, ...]] = ("MNN",)

    @contextmanager
    def load(self, onnx_file: Path, shape: tuple[int, ...], threads: int) -> Iterator[Model]:
        """Convert by MNN's own converter, in this process."""
        converted = onnx_file.with_suffix(".mnn")
        with quiet(1):
            import _tools
            import MNN

            onnx.save(without_constant_nodes(onnx.load(onnx_file)), onnx_file)
            files = ["--modelFile", str(onnx_file), "--MNNModel", str(converted)]
            _tools.mnnconvert(["mnnconvert", "-f", "ONNX", *files, "--bizCode", "hwnas"])
            if not converted.is_file():
                raise InvalidValueError(
                    f"`model` must be a network that MNN {self.version()} can convert, but its "
                    f"converter gave no file."
                )
            settings = {"backend": "CPU", "precision": "high", "numThread": threads}
            manager = MNN.nn.create_runtime_manager((settings,))
            module = MNN.nn.load_module_from_file(
                str(converted), ["input"], ["output"], runtime_manager=manager
            )
        yield _MnnModel(MNN, module, shape)


class _MnnModel(Model):
    def __init__(self, library: Any, module: Any, shape: tuple[int, ...]) -> None:
        self._module = module
        self._input = library.expr.placeholder(list(shape), library.expr.NCHW)

    def set_input(self, images: Array) -> None:
        self._input.write(np.ascontiguousarray(images))

    def run(self) -> None:
        self._module.forward(self._input).read()

    def outputs(self) -> list[Array]:
        # What `read` gives lives no longer than the next run.
        return [np.array(self._module.forward(self._input).read())]
