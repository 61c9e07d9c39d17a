"""TensorRT by its own program: engines are built, run and timed by ``trtexec``.

It needs Python 3.8, numpy and ``trtexec`` of TensorRT 8 to 11, and nothing of hwnas: bundles take
this file along as it is.

What it relies on, from TensorRT's documentation and the sources of ``trtexec``: ``--exportTimes``
gives one object a run, with ``latencyMs`` (copy in, computing, copy out), ``h2dMs``, ``computeMs``
and ``d2hMs``; before version 10 those of the warm-up are among them, and begin before it ends.
``--exportOutput`` gives name, dimensions and values of each output. From version 11 on the model
itself says every precision, and the options for it are gone.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

VARIABLE = "TRTEXEC"
USUAL = "/usr/src/tensorrt/bin/trtexec"
"""Where Debian packages and JetPack put it."""
WARM_UP_MS = 200
_LONGEST_SECONDS = 1800.0
_BANNER = re.compile(r"\[TensorRT v(\d+)\]")
_DEVICE = re.compile(r"Selected Device: (.+)")
_SAID = re.compile(r"^(?:\[[\d/:-]+\] )?\[[EF]\] ?(.*)$", re.MULTILINE)
_WITHOUT_FLAGS = 11
_SHORT = ("--iterations=1", "--warmUp=0", "--duration=0")
_FLAGS = {"float32": "--noTF32", "float16": "--fp16", "int8": "--int8"}


class TrtexecError(RuntimeError):
    """``trtexec`` is not there, or says that something does not work; the text is one line."""


class Timed(NamedTuple):
    """What the runs after the warm-up took, in ms, each `(r,)`."""

    latency: Any
    copy_in: Any
    compute: Any
    copy_out: Any


def find_program() -> str:
    """Give the path of ``trtexec``: the variable TRTEXEC, the path, or where packages put it."""
    given = os.environ.get(VARIABLE)
    for place in [given] if given else ["trtexec", USUAL]:
        found = shutil.which(place)
        if found:
            return found
    raise TrtexecError(
        "needs NVIDIA's program trtexec, but {}: it comes with TensorRT (on a Jetson in {}); put "
        "it on the path, or name it by {}=/path/to/trtexec".format(
            f"{VARIABLE} names {given!r}, which is no program" if given else "there is none",
            os.path.dirname(USUAL), VARIABLE,
        )
    )  # fmt: skip


def version_text(number: str) -> str:
    """Write the version that the banner tells: 8601 is 8.6.1, 100200 is 10.2.0."""
    value = int(number)
    base = 1000 if value < 10_000 else 10_000
    return f"{value // base}.{value % base // 100}.{value % 100}"


class Trtexec:
    """One network as an engine in a folder.

    Args:
        program: the path of ``trtexec``.
        folder: where its files go; they are not removed.
        precision: float32, float16 or int8, the one that the model is written in.
        options: further arguments of each run, e.g. ``--useCudaGraph``.
    """

    def __init__(
        self, program: str, folder: str, precision: str, options: Sequence[str] = ()
    ) -> None:
        self.version, self.device = "", ""
        self._program, self._folder = program, folder
        self._precision, self._options = precision, list(options)

    def ask_version(self) -> str:
        """Give the version of TensorRT, e.g. ``10.2.0``."""
        self._call(["--help"])
        return self.version

    def build(self, model: bytes) -> None:
        """Build the engine of an ONNX model; `TrtexecError` if it cannot be built."""
        self._write("model.onnx", model)
        major = int((self.version or self.ask_version()).partition(".")[0])
        told = self._precision == "float32" or major < _WITHOUT_FLAGS
        flags = [_FLAGS[self._precision]] if told else []
        # How to build alone is spelt otherwise from version to version.
        files = [f"--onnx={self._path('model.onnx')}", f"--saveEngine={self._engine}"]
        self._call([*files, *flags, *_SHORT])

    def outputs(self, inputs: Mapping[str, Any]) -> Mapping[str, Any]:
        """Run once on inputs by name; give the outputs by name, in float32."""
        given = []
        for number, (name, array) in enumerate(inputs.items()):
            self._write(f"input{number}.bin", np.ascontiguousarray(array).tobytes())
            given.append(f"{name}:{self._path(f'input{number}.bin')}")
        file = self._path("outputs.json")
        load = f"--loadInputs={','.join(given)}"
        self._run([load, f"--exportOutput={file}", *_SHORT])
        found = {}
        for entry in self._read(file):
            sizes = [int(size) for size in re.findall(r"\d+", entry["dimensions"])]
            found[entry["name"]] = np.array(entry["values"], dtype=np.float32).reshape(sizes)
        return found

    def times(self, seconds: float) -> Timed:
        """Run for so long, ten times at least, after 200 ms of warm-up."""
        file = self._path("times.json")
        length = [f"--warmUp={WARM_UP_MS}", f"--duration={max(1, round(seconds))}"]
        self._run([f"--exportTimes={file}", *length, "--iterations=10"])
        runs = [run for run in self._read(file) if run["startComputeMs"] >= WARM_UP_MS]
        names = ("latencyMs", "h2dMs", "computeMs", "d2hMs")
        found = Timed(*(np.array([run[name] for run in runs], dtype=np.float64) for name in names))
        if not len(found.latency) or not (found.latency > 0).all():
            raise TrtexecError("gave no time of a run after its warm-up")
        return found

    def layers(self) -> Mapping[str, float]:
        """Give the mean time of each layer in ms, in a run of its own that is slower for it."""
        file = self._path("profile.json")
        self._run(["--dumpProfile", "--separateProfileRun", f"--exportProfile={file}"])
        return {e["name"]: float(e["averageMs"]) for e in self._read(file) if "name" in e}

    @property
    def _engine(self) -> str:
        return self._path("model.engine")

    def _path(self, name: str) -> str:
        return os.path.join(self._folder, name)

    def _write(self, name: str, content: bytes) -> None:
        with open(self._path(name), "wb") as file:
            file.write(content)

    def _read(self, file: str) -> Any:
        try:
            with open(file, encoding="utf-8") as stream:
                return json.load(stream)
        except (OSError, ValueError) as error:
            name = os.path.basename(file)
            raise TrtexecError(f"should have written {name}, but: {error}") from error

    def _run(self, arguments: Sequence[str]) -> None:
        self._call([f"--loadEngine={self._engine}", *self._options, *arguments])

    def _call(self, arguments: Sequence[str]) -> None:
        try:
            done = subprocess.run(
                [self._program, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL, timeout=_LONGEST_SECONDS, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired as error:
            raise TrtexecError(f"took more than {_LONGEST_SECONDS:g} s") from error
        except OSError as error:
            raise TrtexecError(f"cannot be started: {error}") from error
        text = done.stdout.decode("utf-8", "replace")
        banner, device = _BANNER.search(text), _DEVICE.search(text)
        if done.returncode:
            said = [line for line in _SAID.findall(text) if line.strip()]
            last = (text.strip().splitlines() or [f"exit code {done.returncode}"])[-1:]
            raise TrtexecError(f"says: {(said or last)[0].strip()[:300]}")
        if banner is None:
            raise TrtexecError("does not say which version of TensorRT it is of")
        self.version = version_text(banner.group(1))
        if device is not None:
            self.device = device.group(1).strip()
