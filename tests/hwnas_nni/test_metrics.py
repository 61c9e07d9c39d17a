from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from hwnas.errors import InvalidValueError
from hwnas_nni.metrics import complaint, losses_of, status_of, with_default

OBJECTIVES: Any = {"accuracy": "maximize", "latency_ms": "minimize"}


def test_scalars_of_numpy_and_torch_are_numbers() -> None:
    reported = with_default({"accuracy": np.float32(0.5), "latency_ms": torch.tensor(4.0)})
    assert reported == {"default": 0.5, "accuracy": 0.5, "latency_ms": 4.0}
    assert {type(value) for value in reported.values()} == {float}
    assert losses_of({"accuracy": np.float32(0.5), "latency_ms": 4}, OBJECTIVES) == [-0.5, 4.0]


def test_what_is_not_finite_is_left_out() -> None:
    reported = with_default({"accuracy": math.nan, "latency_ms": 4.0, "x": math.inf})
    assert reported == {"default": 4.0, "latency_ms": 4.0}
    assert status_of(reported, OBJECTIVES) == "failed"


def test_the_default_is_the_one_that_is_named() -> None:
    assert with_default({"a": 1.0, "b": 2.0}, "b")["default"] == 2.0
    assert with_default({"a": 1.0, "default": 7.0})["default"] == 7.0


@pytest.mark.parametrize(
    ("metrics", "default", "text"),
    [
        ({}, None, "`metrics` must have a finite number"),
        ({"a": math.nan}, None, "`metrics` must have a finite number"),
        ({"a": "fast"}, None, "`a` is 'fast'"),
        ({"a": 1.0}, "b", "`default` must be one of \\['a'\\], but got 'b'"),
        ({"a": 1.0, "b": math.nan}, "b", "`default` must be one of"),
    ],
)
def test_bad_reports_are_refused_in_one_line(metrics: Any, default: Any, text: str) -> None:
    with pytest.raises(InvalidValueError, match=text) as caught:
        with_default(metrics, default)
    assert "\n" not in str(caught.value)


def test_a_misspelt_metric_is_explained() -> None:
    text = complaint({"default": 1.0, "acuracy": 0.9, "latency_ms": 3.0}, OBJECTIVES)
    assert text is not None
    assert "accuracy is missing" in text
    assert "Did you mean 'acuracy'?" in text
    assert "\n" not in text
    text = complaint(0.9, OBJECTIVES)
    assert text is not None
    assert "accuracy, latency_ms is missing" in text


@pytest.mark.parametrize(
    "metrics", [None, {"accuracy": 1, "latency_ms": 2}, {"default": 0.0, "infeasible": 1.0}]
)
def test_there_is_nothing_to_explain_where_nothing_is_wrong(metrics: Any) -> None:
    assert complaint(metrics, OBJECTIVES) is None
