#!/usr/bin/env bash
# ai-edge-litert 2.3.0: with its default delegate (XNNPACK) an interpreter holds a constant weight once more
# for each operator that reads it. 100 fully connected layers that share one matrix of 1 MiB are a file of
# 1 MiB and take 100 MiB of memory; LiteRT's own kernels, which read the matrix where it is, take almost none.
# So an LSTM or GRU that is written step by step takes its weights times its steps, and is slow as soon as
# these leave the caches. All outputs are right.
# Expected: a tensor of the model is packed once for operators that use it alike.
#
# The script fails if XNNPACK takes less than .9 of that, or LiteRT's own kernels more than ten matrices.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
  ai-edge-litert==2.3.0 flatbuffers numpy==2.4.6
cat > "$folder/shared.py" <<'PYTHON'
import sys
from importlib.metadata import version

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter, OpResolverType

WIDTH, LAYERS = 512, 100
MIB = 2**20


def model(layers):
    """Multiply a vector by one constant matrix, again and again."""
    weight = np.random.default_rng(0).normal(0, WIDTH**-0.5, (WIDTH, WIDTH)).astype(np.float32)
    buffers = [schema.BufferT(), schema.BufferT(data=np.frombuffer(weight.tobytes(), np.uint8))]
    float32 = schema.TensorType.FLOAT32
    tensors = [schema.TensorT(shape=[WIDTH, WIDTH], type=float32, buffer=1, name="weight")]
    tensors += [
        schema.TensorT(shape=[1, WIDTH], type=float32, buffer=0, name=f"x{i}")
        for i in range(layers + 1)
    ]
    operators = [
        schema.OperatorT(
            opcodeIndex=0, inputs=[1 + i, 0], outputs=[2 + i],
            builtinOptionsType=schema.BuiltinOptions.FullyConnectedOptions,
            builtinOptions=schema.FullyConnectedOptionsT(),
        )
        for i in range(layers)
    ]
    graph = schema.SubGraphT(tensors=tensors, inputs=[1], outputs=[1 + layers], operators=operators)
    code = schema.BuiltinOperator.FULLY_CONNECTED
    codes = [schema.OperatorCodeT(deprecatedBuiltinCode=code, builtinCode=code, version=1)]
    made = schema.ModelT(version=3, operatorCodes=codes, subgraphs=[graph], buffers=buffers)
    builder = flatbuffers.Builder(1024)
    builder.Finish(made.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output()), weight


def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096 / MIB


def grown(layers, resolver):
    """Memory in MiB that an interpreter takes beside the file, and its largest error."""
    content, weight = model(layers)
    before = resident()
    interpreter = Interpreter(
        model_content=content, num_threads=1, experimental_op_resolver_type=resolver
    )
    interpreter.allocate_tensors()
    x = np.random.default_rng(1).normal(size=(1, WIDTH)).astype(np.float32)
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x)
    interpreter.invoke()
    took = resident() - before
    found = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    for _ in range(layers):
        x = x @ weight.T
    return took, len(content) / MIB, float(np.abs(found - x).max() / np.abs(x).max())


def main():
    print(f"Python {sys.version.split()[0]}, ai-edge-litert {version('ai-edge-litert')}, "
          f"numpy {np.__version__}")
    took = {}
    for name, resolver in (
        ("its own kernels", OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES),
        ("XNNPACK", OpResolverType.AUTO),
    ):
        for layers in (1, LAYERS):
            took[name, layers], file, error = grown(layers, resolver)
            print(f"{name:15} {layers:3} layers: file {file:.2f} MiB, memory "
                  f"+ {took[name, layers]:6.1f} MiB, relative error {error:.1e}")
            if error > 1e-3:
                sys.exit("The outputs are wrong.")
    weight = WIDTH * WIDTH * 4 / MIB
    print(f"the weight has {weight:.1f} MiB")
    held = took["XNNPACK", LAYERS] > 0.9 * LAYERS * weight
    if not held or took["its own kernels", LAYERS] > 10 * weight:
        sys.exit("The behaviour has changed.")


main()
PYTHON
"$folder/venv/bin/python" "$folder/shared.py"
