from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from hwnas.errors import InvalidValueError
from hwnas.evaluation.cache import ResultCache
from hwnas.measure.measuring import measure
from hwnas.runtimes.base import OnnxModel
from hwnas.typing import FloatArray
from hwnas_predictors.kernels.kernel import Kernel
from hwnas_predictors.kernels.kernel_timer import KernelTimer
from hwnas_predictors.kernels.plain_model import plain_model
from hwnas_predictors.kernels.single_kernels import OneByOne
from hwnas_predictors.kernels.target import Target

INT8 = Target(precision="int8")


def convolution(channels: int, size: int = 16) -> Kernel:
    shape = (1, channels, size, size)
    attributes = (("group", 1), ("kernel_shape", (3, 3)), ("pads", (1, 1, 1, 1)))
    return Kernel("Conv", "", (shape, (channels, channels, 3, 3)), shape, attributes, (1,))


def relu(channels: int) -> Kernel:
    return Kernel("Relu", "", ((1, channels, 8, 8),), (1, channels, 8, 8))


def test_a_timer_tells_heavy_kernels_from_light_ones() -> None:
    light, heavy = KernelTimer(INT8, max_seconds=0.2)([convolution(8), convolution(64, 32)])
    # 256 times the operations: without any doubt more, on a machine however busy.
    assert heavy > 4 * light


def test_kernels_that_cannot_run_leave_the_others_alone(tmp_path: Path) -> None:
    impossible = Kernel("Conv", "", ((1, 3, 8, 8), (4, 5, 3, 3)), (1, 4, 8, 8), (), (1,))
    kernels = [relu(4), impossible, relu(8)]
    with ResultCache(tmp_path / "cache.sqlite") as cache:
        timer = KernelTimer(INT8, max_seconds=0.01, cache=cache)
        first = timer(kernels)
        assert np.isfinite(first).tolist() == [True, False, True]
        assert set(timer.reasons) == {"conv"}
        assert len(cache) == 3
        again = KernelTimer(INT8, max_seconds=0.01, cache=cache)(kernels)
        np.testing.assert_array_equal(again, first)
        assert len(cache) == 3


def test_no_more_of_a_type_are_tried_where_none_can_run(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[str] = []

    def alone(_: OneByOne, kernels: Sequence[Kernel]) -> FloatArray:
        tried.extend(kernel.kind for kernel in kernels if len(kernels) == 1)
        if any(kernel.kind == "relu" for kernel in kernels):
            raise InvalidValueError("it has no relu")
        return np.ones(len(kernels))

    monkeypatch.setattr(OneByOne, "__call__", alone)
    timer = KernelTimer(INT8, max_seconds=0.01)
    relus, others = [relu(c) for c in range(1, 31)], [convolution(c) for c in (8, 16)]
    found = timer([*relus, *others])
    assert np.isnan(found[:30]).all()
    np.testing.assert_array_equal(found[30:], 1)
    assert tried.count("relu") == 8  # those that were measured together with the third
    assert timer.reasons == {"relu": "it has no relu"}
    # One kernel that is asked for again and again is one kernel.
    tried.clear()
    other = KernelTimer(INT8, max_seconds=0.01)
    for _ in range(4):
        other([relu(1)])
    other([relu(2)])
    assert tried.count("relu") == 2


def test_an_average_pool_is_timed_in_int8_as_within_a_network() -> None:
    """By itself ONNX Runtime's tool leaves it in float32, in which it takes a tenth as long."""
    image = (1, 16, 32, 32)
    attributes = (("kernel_shape", (3, 3)), ("pads", (1, 1, 1, 1)))
    pool = Kernel("AveragePool", "", (image,), image, attributes)
    model = OnnxModel(plain_model(pool).SerializeToString(), part=True)
    found = measure(model, INT8.made(), INT8.settings, max_seconds=0.05)
    assert found.key.precision == "int8"
    (alone,) = KernelTimer(INT8, max_seconds=0.2)([pool])
    assert alone > 0.3 * found.value
