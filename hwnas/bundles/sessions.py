"""LiteRT and TensorRT, called as ONNX Runtime is; a bundle for them has this file.

It needs Python 3.8, numpy and the runtime: for LiteRT the package ai-edge-litert or tflite-runtime,
for TensorRT its program ``trtexec`` and the file ``trtexec.py``.
"""

from __future__ import annotations

import contextlib
import importlib
import tempfile
from typing import Any

import numpy as np


def interpreter_class() -> Any:
    """Give LiteRT's interpreter, by its present package or by the older one."""
    for package in ("ai_edge_litert", "tflite_runtime"):
        with contextlib.suppress(ImportError):
            return importlib.import_module(package + ".interpreter").Interpreter
    raise RuntimeError("LiteRT is not installed: pip install ai-edge-litert (or tflite-runtime)")


class LiteRt:
    """LiteRT, called as ONNX Runtime is; images are stored channels last."""

    def __init__(self, model: bytes, manifest: dict[str, Any]) -> None:
        interpreter = interpreter_class()(model_content=model, num_threads=manifest["threads"])
        interpreter.allocate_tensors()
        formats = {np.dtype(d["dtype"]).name for d in interpreter.get_tensor_details()}
        if manifest["precision"] == "int8" and "int8" not in formats:
            raise RuntimeError("int8 is not computed in here, but {}".format(", ".join(formats)))
        self._interpreter = interpreter
        self._given: Any = None
        source = interpreter.get_input_details()[0]
        # Tokens have 64 bits in other runtimes.
        self._input, self._format = source["index"], source["dtype"]
        self._outputs = [d["index"] for d in interpreter.get_output_details()]

    @staticmethod
    def version() -> str:
        """Version of LiteRT's package; `RuntimeError` if there is none."""
        from importlib import metadata

        interpreter_class()
        for name in ("ai-edge-litert", "tflite-runtime"):
            with contextlib.suppress(metadata.PackageNotFoundError):
                return metadata.version(name)
        return "0"

    def run(self, _: None, feeds: dict[str, Any]) -> list[Any]:
        """Run once; an input that stays is not copied again."""
        if feeds is not self._given:
            (array,) = feeds.values()
            array = np.moveaxis(array, 1, -1) if array.ndim == 4 else array
            self._interpreter.set_tensor(self._input, np.ascontiguousarray(array, self._format))
            self._given = feeds
        self._interpreter.invoke()
        return [self._interpreter.get_tensor(index) for index in self._outputs]


class TensorRt:
    """An engine of TensorRT, which its own program builds, runs and times."""

    def __init__(self, model: bytes, manifest: dict[str, Any]) -> None:
        trtexec = importlib.import_module("trtexec")
        self._folder = tempfile.TemporaryDirectory()
        program = trtexec.find_program()
        self._engine = trtexec.Trtexec(program, self._folder.name, manifest["precision"])
        self._engine.build(model)

    @staticmethod
    def version() -> str:
        """Version of TensorRT that its program tells; `RuntimeError` if there is none."""
        trtexec = importlib.import_module("trtexec")
        return str(trtexec.Trtexec(trtexec.find_program(), "", "float32").ask_version())

    def run(self, _: None, feeds: dict[str, Any]) -> list[Any]:
        """Run once."""
        return list(self._engine.outputs(feeds).values())

    def times(self, seconds: float) -> Any:
        """Give latencies in ms of runs after a warm-up."""
        return self._engine.times(seconds).latency.tolist()


SESSIONS: dict[str, Any] = {"litert": LiteRt, "tensorrt": TensorRt}
