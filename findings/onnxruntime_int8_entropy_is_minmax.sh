#!/usr/bin/env bash
# ONNX Runtime 1.32.0, `quantize_static(calibrate_method=CalibrationMethod.Entropy)`: every scale and zero
# point is that of `MinMax`, whatever the values. The method looks for the threshold with the least
# KL divergence, from 128 bins upwards, in a histogram that has 128 bins: there is one candidate, the
# largest value, and no option of `quantize_static` sets the number of bins. Nothing is reported. With 2,048 bins, by
# `create_calibrator`, an outlier of 100 among normal values is cut off, as by `Percentile` with 99.9.
#
# Who tries Entropy and finds the accuracy of MinMax takes the network for one that calibration does not help.
# Expected: more bins in the histogram than in the quantised range, as in the paper (2,048 and 128).
# The script fails if Entropy's scales differ from MinMax's, or if 2,048 bins cut nothing off.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
  onnxruntime==1.32.0 onnx==1.23.2 numpy==2.4.6 sympy==1.14.0
cat > "$folder/entropy.py" <<'PYTHON'
import contextlib
import io
import logging
import sys
import tempfile

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, quantize_static
from onnxruntime.quantization.calibrate import create_calibrator

SHAPE = (1, 8, 32, 32)
RNG = np.random.default_rng(0)
IMAGES = RNG.normal(size=(16, *SHAPE)).astype(np.float32)
IMAGES[3, 0, 0, 0, 0] = 100.0


class Images(CalibrationDataReader):
    def __init__(self):
        self.left = [{"x": image} for image in IMAGES]

    def get_next(self):
        return self.left.pop(0) if self.left else None


def model():
    weight = RNG.normal(size=(8, 8, 3, 3)).astype(np.float32) / 8
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["x", "w"], ["a"], name="conv"),
            helper.make_node("Relu", ["a"], ["y"], name="relu"),
        ],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, SHAPE)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(weight, "w")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


def scales(path, folder, method, **options):
    quantize_static(
        path, f"{folder}/q.onnx", Images(), calibrate_method=method, extra_options=options
    )
    constants = {t.name: numpy_helper.to_array(t) for t in onnx.load(f"{folder}/q.onnx").graph.initializer}
    return {n: v.item() for n, v in sorted(constants.items()) if "scale" in n or "zero" in n and v.size == 1}


def main():
    logging.disable()
    print(f"Python {sys.version.split()[0]}, onnxruntime {onnxruntime.__version__}")
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        path = f"{folder}/m.onnx"
        onnx.save(model(), path)
        extremes = scales(path, folder, CalibrationMethod.MinMax)
        entropy = scales(path, folder, CalibrationMethod.Entropy)
        percentile = scales(path, folder, CalibrationMethod.Percentile, CalibPercentile=99.9)
        calibrator = create_calibrator(
            path,
            augmented_model_path=f"{folder}/a.onnx",
            calibrate_method=CalibrationMethod.Entropy,
            extra_options={"num_bins": 2048},
        )
        calibrator.collect_data(Images())
        finer = float(calibrator.compute_data()["x"].range_value[1])
    for name, value in extremes.items():
        print(f"  {name}: MinMax {value:.5g}, Entropy {entropy[name]:.5g}, Percentile {percentile[name]:.5g}")
    print(f"largest value of x: {IMAGES.max():.1f}; by 2,048 bins {finer:.1f}")
    if entropy != extremes or percentile == extremes or not finer < 50:
        sys.exit("Changed: see above.")
    print("Entropy is MinMax.")


main()
PYTHON
"$folder/venv/bin/python" "$folder/entropy.py"
