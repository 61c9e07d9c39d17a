#!/usr/bin/env bash
# OpenVINO 2026.4.1, CPU, `compile_model(path)` with `CACHE_DIR`: what is compiled is kept by the path of the model's
# file, its time in whole seconds and its size. The weights' file beside it is not looked at. So a compiled model
# with other weights is given out, `LOADED_FROM_CACHE` is true, and nothing is reported:
#
# - an ONNX file that is written again within a second, as in a loop over networks or steps of training, or with
#   its time kept (`cp -p`, `rsync -a`, archives of a build): networks of one shape have one size;
# - OpenVINO's own format of which the weights (`.bin`) are new, at any time: the `.xml` of two
#   trainings is the same;
# - an ONNX file whose external weights are new, at any time.
#
# `compile_model(read_model(path))` is right in all of them, and so is the path after a second for one file.
# Expected: the model that is in the files, as by their content.
# The script fails if one of the old models becomes the new one, or one of the right ones an old one.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
  openvino==2026.4.1 onnx==1.23.2 numpy==2.4.6
cat > "$folder/cache.py" <<'PYTHON'
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import onnx
import openvino
from onnx import TensorProto, helper, numpy_helper

IMAGE = np.ones((1, 16, 8, 8), np.float32)


def write(path, weight, outside=False):
    weights = numpy_helper.from_array(np.full((16, 16, 3, 3), weight, np.float32), "w")
    values = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 16, side, side])
        for name, side in (("x", 8), ("y", 6))
    ]
    node = helper.make_node("Conv", ["x", "w"], ["y"])
    graph = helper.make_graph([node], "g", values[:1], values[1:], [weights])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    place = f"{path.name}.data"
    path.with_name(place).unlink(missing_ok=True)
    onnx.save(
        model, path, save_as_external_data=outside, location=place if outside else None, size_threshold=0
    )


def in_second(path, weight):
    write(path, weight)
    os.utime(path, (1e9, 1e9 + weight / 10))  # 0.1 and 0.2 seconds after the same second


def later(path, weight):
    write(path, weight)
    os.utime(path, (1e9 + 60 * weight,) * 2)


def outside(path, weight):
    if weight == 1:
        write(path, weight, outside=True)
    else:  # the weights alone, a minute later
        data = path.with_name(f"{path.name}.data")
        data.write_bytes(np.full((16, 16, 3, 3), weight, np.float32).tobytes())
        os.utime(data, (time.time() + 60,) * 2)


def own_format(path, weight):
    write(path.with_suffix(".onnx"), weight)
    model = openvino.Core().read_model(path.with_suffix(".onnx"))
    target = path if weight == 1 else path.with_name("other.xml")
    openvino.save_model(model, target, compress_to_fp16=False)
    if weight != 1:  # the weights alone: the graphs are the same
        assert target.read_bytes() == path.read_bytes()
        path.with_suffix(".bin").write_bytes(target.with_suffix(".bin").read_bytes())
        os.utime(path.with_suffix(".bin"), (time.time() + 60,) * 2)


CASES = [
    ("ONNX, within a second", "m.onnx", in_second, False, True),
    ("ONNX, a minute later", "m.onnx", later, False, False),
    ("ONNX, external weights new", "m.onnx", outside, False, True),
    ("xml and bin, bin new", "m.xml", own_format, False, True),
    ("ONNX, within a second, read_model", "m.onnx", in_second, True, False),
    ("ONNX, external weights new, read_model", "m.onnx", outside, True, False),
    ("xml and bin, bin new, read_model", "m.xml", own_format, True, False),
]


def main():
    print(f"openvino {openvino.__version__}")
    same = True
    for name, file, make, read, old in CASES:
        with tempfile.TemporaryDirectory() as folder:
            path, core, found = Path(folder) / file, openvino.Core(), []
            core.set_property({"CACHE_DIR": f"{folder}/cache"})
            for weight in (1, 2):
                make(path, weight)
                model = core.read_model(path) if read else path
                compiled = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
                cached = compiled.get_property("LOADED_FROM_CACHE")
                value = float(compiled(IMAGE)[0].ravel()[0]) / (16 * 9)
                found.append(value)
            print(f"{name}: weights 1 and 2 give {found[0]:g} and {found[1]:g}, from the cache: {cached}")
            same &= found == [1, 1 if old else 2] and cached == old
    if not same:
        sys.exit("Changed: see above.")
    print("The cache gives old weights.")


main()
PYTHON
"$folder/venv/bin/python" "$folder/cache.py"
