"""ncnn on the CPU, in float32."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import ncnn
import numpy as np
import pnnx

from hwnas.errors import InvalidValueError
from hwnas.runtimes.base import Array
from hwnas.runtimes.cpu_only import CpuRuntime, Model

_CONVERSION_SECONDS = 300
_CONVERSIONS = 10
"""Of some networks pnnx ends by a segmentation fault in every other conversion."""
_FLOAT32 = ("use_fp16_packed", "use_fp16_storage", "use_fp16_arithmetic", "use_bf16_storage")


class NcnnRuntime(CpuRuntime):
    """ncnn without its half precisions; it has no batches, so that images run one by one."""

    name: ClassVar[str] = "ncnn"
    packages: ClassVar[tuple[str, ...]] = ("ncnn", "pnnx")
    one_by_one: ClassVar[bool] = True

    @contextmanager
    def load(self, onnx_file: Path, shape: tuple[int, ...], threads: int) -> Iterator[Model]:
        """Convert by pnnx, in a process of its own."""
        sizes = ",".join(map(str, shape))
        command = [pnnx.EXEC_PATH, onnx_file.name, f"inputshape=[{sizes}]", "fp16=0"]
        code = _ended(command, onnx_file.parent)
        files = [onnx_file.with_suffix(f".ncnn.{end}") for end in ("param", "bin")]
        net = ncnn.Net()
        net.opt.num_threads = threads
        for setting in _FLOAT32:
            setattr(net.opt, setting, False)
        # It says by a number what went wrong, and raises nothing.
        if (
            code
            or not all(file.is_file() for file in files)
            or net.load_param(str(files[0]))
            or net.load_model(str(files[1]))
        ):
            raise InvalidValueError(
                f"`model` must be a network that ncnn {self.version()} can run, but pnnx and it "
                f"cannot convert and load it."
            )
        try:
            yield _NcnnModel(net)
        finally:
            net.clear()


def _ended(command: list[str], folder: Path) -> int:
    """Give the exit code of a conversion, which begins anew where a signal ends it."""
    for _ in range(_CONVERSIONS):
        code = subprocess.run(
            command, cwd=folder, capture_output=True, timeout=_CONVERSION_SECONDS
        ).returncode
        if code >= 0:
            break
    return code


class _NcnnModel(Model):
    def __init__(self, net: Any) -> None:
        self._net = net
        self._images: list[Array] = []

    def set_input(self, images: Array) -> None:
        # ncnn reads these arrays in place: they must live on.
        self._images = [np.ascontiguousarray(image) for image in images]

    def run(self) -> None:
        for image in self._images:
            self._of(image)

    def outputs(self) -> list[Array]:
        return [np.stack([np.array(self._of(image)) for image in self._images])]

    def _of(self, image: Array) -> Any:
        with self._net.create_extractor() as extractor:
            extractor.input("in0", ncnn.Mat(image))
            failed, found = extractor.extract("out0")
        if failed:
            raise InvalidValueError(f"`model` must run in ncnn, but it gave the code {failed}.")
        return found
