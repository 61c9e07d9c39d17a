from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
from torch import nn

import hwnas
from hwnas.onnx_export.export import export_onnx

NETWORK = nn.Conv2d(1, 2, 3, bias=False)


def profile(model: Any, *arguments: Any, **settings: Any) -> hwnas.Profile:
    return hwnas.profile(model, *arguments, **{"max_seconds": 0.03, **settings})


def test_a_torch_network_is_measured_and_counted() -> None:
    found = profile(NETWORK, (1, 5, 6), batch=2)
    assert found.latency_ms == found.measurement.value > 0
    row = found.as_dict()
    assert (row["params"], row["macs"], row["flops"]) == (18, 9 * 2 * 12, 2 * 9 * 2 * 12)
    assert (row["batch"], row["latency_ms"]) == (2, found.latency_ms)
    assert "params 18; macs 216" in repr(found)
    assert repr(found).startswith(f"{found.latency_ms:.4g} ms (95 %: ")


def test_that_one_of_several_outputs_is_timed_is_said(caplog: pytest.LogCaptureFixture) -> None:
    class Heads(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Conv2d(1, 2, 3)

        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return self.layer(x), x

    profile(Heads(), (1, 5, 6), output=0)
    assert "is what this output needs" in caplog.text
    caplog.clear()
    profile(NETWORK, (1, 5, 6))
    assert not caplog.text

    class Named(Heads):
        def forward(self, x: torch.Tensor) -> Any:
            return {"logits": self.layer(x)}

    profile(Named(), (1, 5, 6))
    assert "is what this output needs" not in caplog.text


def test_eager_torch_is_a_runtime() -> None:
    found = profile(NETWORK, (1, 5, 6), "torch", meter="wall")
    assert found.measurement.key.runtime == f"torch-{torch.__version__}"
    assert found.measurement.relative_error == 0


def test_onnx_models_are_files_or_protos(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    export_onnx(NETWORK, (1, 5, 6), path, dynamic_batch=True)
    for model in (path, str(path), onnx.load(path)):
        found = profile(model, batch=3)
        assert found.counts is None
        assert (found.as_dict()["params"], found.as_dict()["batch"]) == (None, 3)
        assert "params" not in repr(found)


def test_what_is_not_known_well_is_said() -> None:
    found = profile(NETWORK, (1, 5, 6), reference=False)
    few = dataclasses.replace(found.measurement, ci_low=math.nan, runs=4)
    assert "4 runs are too few" in repr(dataclasses.replace(found, measurement=few))
    few = dataclasses.replace(few, facts={"rounds": 3})
    assert "3 rounds are too few" in repr(dataclasses.replace(found, measurement=few))
    value = found.measurement.value
    narrow = dataclasses.replace(
        found.measurement, converged=False, ci_low=0.999 * value, ci_high=1.001 * value
    )
    (line,) = dataclasses.replace(found, measurement=narrow).remarks()
    assert "is narrow, 0.2 %, but time was up before it was sure to stay so" in line
    wide = dataclasses.replace(narrow, ci_high=1.1 * value)
    (line,) = dataclasses.replace(found, measurement=wide).remarks()
    assert "is wider than 2 %" in line
    sure = dataclasses.replace(found.measurement, converged=True)
    assert not [*dataclasses.replace(found, measurement=sure).remarks()]
    poor = dataclasses.replace(sure, correlation=0.9)
    (line,) = dataclasses.replace(found, measurement=poor).remarks()
    assert line.endswith("correlation 0.900, below 0.99.")


def test_precision_and_options_are_the_runtimes() -> None:
    kept = {"float_operators": "AveragePool", "spinning": "off"}
    found = profile(NETWORK, (1, 5, 6), precision="int8", options=kept, max_seconds=0.05)
    assert found.measurement.key.precision == "int8"
    assert found.measurement.key.runtime.endswith("[float_operators=AveragePool,spinning=off]")
    assert found.as_dict()["calibrated_with"] == "32 images, gaussian, seed 0"


@pytest.mark.parametrize(
    ("arguments", "settings", "text"),
    [
        ((nn.Conv2d, (1, 5, 6)), {}, "got the class Conv2d: call it"),
        ((NETWORK,), {}, "`input` must be given with a torch network"),
        ((NETWORK, (3, 5, 6)), {}, "must run on inputs of shape"),
        ((NETWORK, (1, 5, 6), "onnxruntim"), {}, "Did you mean 'onnxruntime'"),
        ((NETWORK, (1, 5, 6)), {"threads": 0}, "`threads` must be at least 1"),
        ((NETWORK, (1, 5, 6)), {"max_seconds": 0}, "`max_seconds` must be above 0"),
        (("absent.onnx",), {}, "absent.onnx"),
    ],
)
def test_bad_arguments_are_one_line(
    arguments: tuple[Any, ...], settings: dict[str, Any], text: str
) -> None:
    with pytest.raises(hwnas.HwnasError, match=text) as error:
        profile(*arguments, **settings)
    assert "\n" not in str(error.value)
