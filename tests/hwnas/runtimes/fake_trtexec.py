"""A program that stands in for ``trtexec``: ONNX Runtime computes, and the times are made up.

Its options and files are those of the versions 8.6, 10.2 and 11.0, whose differences it keeps:
before 10 the times of the warm-up are exported too; from 11 on precisions are no options.
"""

from __future__ import annotations

import contextlib
import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

PROGRAM = """#!{python}
import json, os, sys, shutil

NUMBER = {number}
MAJOR = NUMBER // (1000 if NUMBER < 10000 else 10000)
LATENCIES = {latencies}
print("&&&& RUNNING TensorRT.trtexec [TensorRT v%d] # %s" % (NUMBER, " ".join(sys.argv)))
given = dict((a.split("=", 1) + [""])[:2] for a in sys.argv[1:])
with open({log!r}, "a") as log:
    log.write(" ".join(sys.argv[1:]) + "\\n")

def fail(text):
    print("[11/30/2026-10:00:00] [E] " + text)
    print("&&&& FAILED TensorRT.trtexec [TensorRT v%d]" % NUMBER)
    sys.exit(1)

if "--help" in given:
    sys.exit(0)
if MAJOR >= 11 and ("--fp16" in given or "--int8" in given):
    fail("Unknown option: --fp16")
print("[11/30/2026-10:00:00] [I] === Device Information ===")
print("[11/30/2026-10:00:00] [I] Selected Device: Orin")
if "--onnx" in given:
    import onnx
    try:
        model = onnx.load(given["--onnx"])
    except Exception:
        fail("ModelImporter.cpp: Failed to parse ONNX model from file")
    kinds = [node.op_type for node in model.graph.node]
    types = [t.data_type for t in model.graph.initializer]
    if "QuantizeLinear" in kinds and MAJOR < 11 and "--int8" not in given:
        fail("Int8 precision has been set for a layer or layer output, but int8 is not configured")
    if onnx.TensorProto.FLOAT16 in types and MAJOR < 11 and "--fp16" not in given:
        fail("fp16 precision has been set for a layer, but fp16 is not configured")
    shutil.copy(given["--onnx"], given["--saveEngine"])
    sizes = [d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim]
    with open(given["--saveEngine"] + ".size", "w") as file:
        file.write(str(sizes[-1]))
engine = given.get("--loadEngine") or given["--saveEngine"]
if "--loadInputs" in given:
    import numpy as np
    import onnxruntime
    session = onnxruntime.InferenceSession(engine, providers=["CPUExecutionProvider"])
    feeds = {{}}
    for value, text in zip(session.get_inputs(), given["--loadInputs"].split(",")):
        name, file = text.split(":", 1)
        kind = {{"tensor(float)": np.float32, "tensor(int64)": np.int64}}[value.type]
        array = np.fromfile(file, dtype=kind)
        if name != value.name or array.size != np.prod(value.shape):
            fail("Cannot find input tensor with name %s of that size" % name)
        feeds[name] = array.reshape(value.shape)
    names = [value.name for value in session.get_outputs()]
    found = [
        {{"name": n, "dimensions": "x".join(map(str, v.shape)),
          "values": [float("%.6g" % x) for x in v.ravel()]}}
        for n, v in zip(names, session.run(None, feeds))
    ]
    with open(given["--exportOutput"], "w") as file:
        json.dump(found, file)
if "--exportTimes" in given:
    warm, rows, at = float(given["--warmUp"]), [], 0.0
    warm_up = [50.0] * 4 if MAJOR < 10 else []
    at = 0.0 if MAJOR < 10 else warm
    folder = os.path.dirname({log!r})
    factors, factor = os.path.join(folder, "factors"), 1.0
    with open(engine + ".size") as file:
        size = file.read()
    if os.path.exists(factors):
        with open(factors) as file:
            left = json.load(file)
        factor = left[size][0]
        left[size] = left[size][1:] or left[size]
        with open(factors, "w") as file:
            json.dump(left, file)
    for latency in warm_up + [factor * ms for ms in LATENCIES]:
        row = {{"startComputeMs": at, "endComputeMs": at + latency, "h2dMs": 0.1, "d2hMs": 0.05,
               "computeMs": latency - 0.15, "latencyMs": latency}}
        if MAJOR < 10:
            row["endToEndMs"] = 2 * latency
        rows.append(row)
        at += latency
    with open(given["--exportTimes"], "w") as file:
        json.dump(rows, file)
    print("[11/30/2026-10:00:00] [I] === Performance summary ===")
    print("[11/30/2026-10:00:00] [I] Latency: min = 1 ms, max = 9 ms, mean = 2 ms")
if "--exportProfile" in given:
    layers = [{{"count": 10}}] + [
        {{"name": n, "timeMs": 10 * ms, "averageMs": ms, "percentage": 1.0}}
        for n, ms in (("conv1 + relu1", 0.5), ("pool", 0.125), ("fc", 0.25))
    ]
    with open(given["--exportProfile"], "w") as file:
        json.dump(layers, file)
print("&&&& PASSED TensorRT.trtexec [TensorRT v%d]" % NUMBER)
"""


def write_fake(folder: Path, number: int, latencies: list[float]) -> Path:
    """Write the program; what it was called with stands in ``calls`` beside it, a line each.

    Its times are multiplied by what `set_factors` says.
    """
    program = folder / "trtexec"
    filled = {"python": sys.executable, "number": number, "latencies": latencies}
    program.write_text(PROGRAM.format(**filled, log=str(folder / "calls")))
    program.chmod(0o755)
    return program


def run_here(command: list[str], **settings: Any) -> subprocess.CompletedProcess[Any]:
    """Stand in for `subprocess.run`: this process need not import ONNX and its runtime anew."""
    if not Path(command[0]).read_text().startswith(f"#!{sys.executable}"):
        return subprocess.run(command, **settings)
    code, said = 0, io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(said):
        patch.setattr(sys, "argv", command)
        try:
            exec(compile(Path(command[0]).read_text(), command[0], "exec"), {})
        except SystemExit as end:
            code = int(end.code or 0)
    return subprocess.CompletedProcess(command, code, said.getvalue().encode())


def set_factors(folder: Path, factors: dict[int, list[float]]) -> None:
    """Set a factor for each timing to come, by the width of the input; the last one stays."""
    (folder / "factors").write_text(json.dumps(factors))


def calls(folder: Path) -> list[str]:
    """Give the arguments of each call but those that ask for the version."""
    lines = (folder / "calls").read_text().splitlines()
    return [line for line in lines if line != "--help"]
