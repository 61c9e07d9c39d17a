"""ncnn on the CPU, in float32."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import ncnn
import numpy as np
import onnx
import pnnx

from hwnas.errors import InvalidValueError
from hwnas.runtimes.base import Array
from hwnas.runtimes.cpu_only import CpuRuntime, Model
from hwnas.runtimes.decomposed import decomposed

_CONVERSION_SECONDS = 300
_CONVERSIONS = 10
"""Of some networks pnnx ends by a segmentation fault in every other conversion."""
_LACKING = re.compile(r"^ignore (\S+) \S+ param ", re.MULTILINE)
_LACKING_OR_WRONG = ("Einsum", "ReduceMax", "ReduceMean", "ReduceSum")
_BATCH = re.compile(r"batch_index=(\d+)")
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
        onnx.save(decomposed(onnx.load(onnx_file), _LACKING_OR_WRONG), onnx_file)
        command = [pnnx.EXEC_PATH, onnx_file.name, f"inputshape=[{sizes}]", "fp16=0"]
        done = _ended(command, onnx_file.parent)
        files = [onnx_file.with_suffix(f".ncnn.{end}") for end in ("param", "bin")]
        net = ncnn.Net()
        net.opt.num_threads = threads
        for setting in _FLOAT32:
            setattr(net.opt, setting, False)
        # It says by a number what went wrong, and raises nothing.
        if (
            done.returncode
            or not all(file.is_file() for file in files)
            or net.load_param(str(files[0]))
            or net.load_model(str(files[1]))
        ):
            # pnnx names the operators, settings of which it has no place for.
            lacking = _LACKING.findall((done.stderr or b"").decode(errors="replace"))
            why = f", which lack {', '.join(dict.fromkeys(lacking))}" if lacking else ""
            raise InvalidValueError(
                f"`model` must be a network that ncnn {self.version()} can run, but pnnx and it "
                f"cannot convert and load it{why}: use the runtime onnxruntime or openvino."
            )
        # pnnx writes beside it how it is to be called: which dimension is the batch, if one is.
        called = onnx_file.with_name(f"{onnx_file.stem}_ncnn.py").read_text()
        batches = [int(number) for number in _BATCH.findall(called)]
        try:
            yield _NcnnModel(net, *batches)
        finally:
            net.clear()


def _ended(command: list[str], folder: Path) -> subprocess.CompletedProcess[bytes]:
    """Convert, and begin anew where a signal ends the conversion."""
    for _ in range(_CONVERSIONS):
        done = subprocess.run(command, cwd=folder, capture_output=True, timeout=_CONVERSION_SECONDS)
        if done.returncode >= 0:
            break
    return done


class _NcnnModel(Model):
    """A network, and the number of the batch's dimension in its input and output, 233 for none."""

    def __init__(self, net: Any, input_batch: int, output_batch: int) -> None:
        self._net = net
        self._batches = input_batch, output_batch
        self._images: list[Array] = []

    def set_input(self, images: Array) -> None:
        # ncnn reads these arrays in place: they must live on.
        self._images = [np.ascontiguousarray(image[None]) for image in images]

    def run(self) -> None:
        for image in self._images:
            self._of(image)

    def outputs(self) -> list[Array]:
        found = [self._of(image).numpy(batch_index=self._batches[1]) for image in self._images]
        return [np.concatenate([np.array(one) for one in found])]

    def _of(self, image: Array) -> Any:
        with self._net.create_extractor() as extractor:
            extractor.input("in0", ncnn.Mat(image, batch_index=self._batches[0]))
            failed, found = extractor.extract("out0")
        if failed:
            raise InvalidValueError(f"`model` must run in ncnn, but it gave the code {failed}.")
        return found
