#!/usr/bin/env bash
# pnnx 20261020 with ncnn 1.0.20261020: an ONNX Resize whose attribute `axes` says which dimensions its
# sizes or scales are of (operator set 18) is written into the ncnn model as a layer of the type
# `Resize`, which ncnn does not have: pnnx ends without an error, and ncnn refuses to load the model. The
# same Resize with a size or scale for each dimension and no `axes` becomes the layer `Interp`, which
# loads and gives ONNX Runtime's values.
# Expected: that both forms become `Interp`, or that pnnx ends with an error.
#
# The script fails if a form with `axes` is converted, or if those without are not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
  pnnx==20261020 ncnn==1.0.20261020 onnx==1.23.2 onnxruntime==1.32.0 numpy==2.4.6
cat > "$folder/resize.py" <<'PYTHON'
import pathlib
import subprocess
import sys
import tempfile

import ncnn
import numpy as np
import onnx
import onnxruntime
import pnnx
from onnx import helper, numpy_helper

IN, OUT = (1, 3, 8, 8), (1, 3, 20, 20)
FORMS = {
    "sizes": ((*OUT,), np.int64, {}),
    "sizes with axes": ((20, 20), np.int64, {"axes": [2, 3]}),
    "scales": ((1, 1, 2.5, 2.5), np.float32, {}),
    "scales with axes": ((2.5, 2.5), np.float32, {"axes": [2, 3]}),
}


def model(values, dtype, attributes):
    inputs = ["x", "", "", "v"] if dtype is np.int64 else ["x", "", "v"]
    node = helper.make_node(
        "Resize", inputs, ["y"], mode="linear",
        coordinate_transformation_mode="half_pixel", **attributes,
    )
    graph = helper.make_graph(
        [node], "resize",
        [helper.make_tensor_value_info("x", 1, IN)], [helper.make_tensor_value_info("y", 1, OUT)],
        [numpy_helper.from_array(np.array(values, dtype), "v")],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    onnx.checker.check_model(made, full_check=True)
    return made


def in_ncnn(made, x):
    """Give exit code of pnnx, the layer's type, what load_param gave, and the outputs."""
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        onnx.save(made, folder / "model.onnx")
        command = [pnnx.EXEC_PATH, "model.onnx", "inputshape=[1,3,8,8]", "fp16=0"]
        done = subprocess.run(command, cwd=folder, capture_output=True)
        param = folder / "model.ncnn.param"
        layer = param.read_text().splitlines()[3].split()[0]
        net = ncnn.Net()
        code = net.load_param(str(param))
        if code:
            return done.returncode, layer, code, None
        net.load_model(str(folder / "model.ncnn.bin"))
        with net.create_extractor() as extractor:
            image = np.ascontiguousarray(x[0])
            extractor.input("in0", ncnn.Mat(image))
            return done.returncode, layer, code, np.array(extractor.extract("out0")[1])


def main():
    print(f"Python {sys.version.split()[0]}, onnxruntime {onnxruntime.__version__}, "
          f"onnx {onnx.__version__}, numpy {np.__version__}, ncnn {ncnn.__version__}")
    x = np.random.default_rng(0).normal(size=IN).astype(np.float32)
    as_known = True
    for name, form in FORMS.items():
        made = model(*form)
        session = onnxruntime.InferenceSession(
            made.SerializeToString(), providers=["CPUExecutionProvider"]
        )
        expected = session.run(None, {"x": x})[0][0]
        ended, layer, code, found = in_ncnn(made, x)
        off = None if found is None else float(np.abs(found - expected).max())
        print(f"{name:17} pnnx exits {ended}, layer {layer}, load_param {code}, largest "
              f"difference from ONNX Runtime {off}")
        if "axes" in name:
            as_known &= ended == 0 and layer == "Resize" and code != 0
        else:
            as_known &= layer == "Interp" and off is not None and off < 1e-5
    sys.exit(0 if as_known else "The behaviour has changed.")


main()
PYTHON
"$folder/venv/bin/python" "$folder/resize.py"
