"""Overheads and scales of kernels in whole networks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hwnas.errors import InvalidValueError
from hwnas.typing import DeviceKey
from hwnas_predictors.kernels.calibration import Calibration
from hwnas_predictors.kernels.kernel import Kernel
from hwnas_predictors.kernels.predictor import KernelPredictor
from tests.hwnas_predictors.kernels.conftest import (
    per_byte,
)


def test_calibration_finds_overheads_scale_and_spread(predictor: KernelPredictor[Any]) -> None:
    relus = [Kernel("Relu", "", ((1, c, 8, 8),), (1, c, 8, 8)) for c in (50, 1000, 3000, 6000)]
    numbers = ((0, 1), (1, 8), (2, 3), (3, 20), (1, 30), (2, 11))
    networks = [[relus[i]] * n for i, n in numbers]
    simple = replace(predictor, regressors={"relu": per_byte(2.0)})
    counts = np.array([len(network) for network in networks])
    sums = np.array([float(simple.kernel_ms(network).sum()) for network in networks])
    true = 0.5 + 0.02 * counts + 0.8 * sums
    for measured in (true, np.where(counts == 8, 10 * true, true)):
        # One measurement that went wrong changes nothing but the spread.
        found = simple.calibrate(networks, measured)
        assert found.calibration.overhead_ms == pytest.approx(0.5)
        assert found.calibration.kernel_overhead_ms == pytest.approx(0.02)
        assert found.calibration.scale == pytest.approx(0.8)
        predicted = [found.predict_kernels(network) for network in networks]
        np.testing.assert_allclose(predicted, true)
        error = float(np.sum((measured / true - 1) ** 2))
        assert found.relative_std == pytest.approx(np.sqrt(error / 6), abs=1e-9)
    # Two networks tell the scale and how far it is off, not the overheads.
    few = simple.calibrate(networks[:2], true[:2])
    assert (few.calibration.overhead_ms, few.calibration.kernel_overhead_ms) == (0, 0)
    assert few.relative_std > 0.01
    again = simple.held_out_ms(networks[:2], true[:2])
    scales = true[:2] / sums[:2]
    np.testing.assert_allclose(again, sums[:2] * scales[::-1])
    assert few.relative_std == pytest.approx(np.sqrt(np.mean((true[:2] / again - 1) ** 2)))
    small = float(simple.kernel_ms(relus[:1])[0])
    less = simple.calibrate(networks, 1.2 * sums - 0.1 * small * counts)
    assert less.calibration.kernel_overhead_ms == 0
    # From eight networks on, what was timed with each kernel may have been too much.
    more = [*networks, [relus[0]] * 5, [relus[1]] * 2]
    counts, sums = (np.concatenate(p) for p in ((counts, [5, 2]), (sums, [5 * small, 0.0])))
    sums[-1] = float(simple.kernel_ms(more[-1]).sum())
    less = simple.calibrate(more, 1.2 * sums - 0.1 * small * counts)
    assert less.calibration.kernel_overhead_ms == pytest.approx(-0.1 * small)
    assert less.calibration.scale == pytest.approx(1.2)
    free = replace(less, calibration=Calibration(kernel_overhead_ms=-1e9))
    assert free.predict_kernels(more[0]) == pytest.approx(0.1 * sums[0])


def of_relus(predictor: KernelPredictor[Any]) -> tuple[KernelPredictor[Any], list[list[Kernel]]]:
    """Six networks of different sizes and numbers of kernels, and their predictor."""
    numbers = ((50, 1), (900, 8), (3000, 3), (50, 20), (900, 30), (3000, 11))
    networks = [[Kernel("Relu", "", ((1, c, 8, 8),), (1, c, 8, 8))] * n for c, n in numbers]
    return replace(predictor, regressors={"relu": per_byte(2.0)}), networks


def test_held_out_predictions_do_not_see_their_own_network(
    predictor: KernelPredictor[Any],
) -> None:
    simple, networks = of_relus(predictor)
    rng = np.random.default_rng(0)
    measured = np.array([simple.predict_kernels(network) for network in networks])
    measured *= np.exp(0.1 * rng.normal(size=6))
    found = simple.held_out_ms(networks, measured)
    spread = simple.calibrate(networks, measured).relative_std
    for i in range(6):
        changed = measured.copy()
        changed[i] *= 3
        again = simple.held_out_ms(networks, changed)
        assert again[i] == pytest.approx(found[i])
        assert simple.calibrate(networks, changed).relative_std > spread


def test_five_networks_tell_the_overheads_without_one_of_them(
    predictor: KernelPredictor[Any],
) -> None:
    simple, networks = of_relus(predictor)
    networks = networks[:5]
    measured = np.array([simple.predict_kernels(network) for network in networks])
    np.testing.assert_allclose(simple.held_out_ms(networks, measured), measured, rtol=1e-6)
    four = simple.held_out_ms(networks[:4], measured[:4])
    assert np.abs(four / measured[:4] - 1).max() > 0.1
    for wrong in (np.inf, np.nan, 0.0):
        with pytest.raises(InvalidValueError, match="latencies above 0"):
            simple.calibrate(networks[:2], np.array([1.0, wrong]))


def test_kernels_timed_alone_have_a_cost_of_their_images(
    predictor: KernelPredictor[Any], tmp_path: Path
) -> None:
    """Eight networks tell it, of runtimes whose kernels get their images from outside."""
    alone = replace(
        predictor,
        device=DeviceKey("cpu", "mnn-1", threads=1),
        regressors={"relu": per_byte(2.0), "relu nchwc": per_byte(9.0)},
        methods={"relu": "ridge", "relu nchwc": "ridge"},
    )
    drawn = np.random.default_rng(0).integers(1, 40, (9, 3))
    three = [
        Kernel("Relu", domain, ((1, c, 8, 8),), (1, c, 8, 8))
        for c, domain in ((500, ""), (400, "com.microsoft.nchwc"), (30, "com.microsoft.nchwc"))
    ]
    networks = [[k for k, n in zip(three, row, strict=True) for _ in range(n)] for row in drawn]
    moved = 2 * 64 * drawn @ [500, 400, 30] / 1e6
    sums = np.array([float(alone.kernel_ms(network).sum()) for network in networks])
    counts = drawn.sum(axis=1)
    true = 0.3 + 0.01 * counts + 1.1 * sums - 2.0 * moved
    assert (true > 0).all()
    found = alone.calibrate(networks, true)
    assert found.calibration.element_ms == pytest.approx(-2.0, abs=1e-5)
    assert found.calibration.scale == pytest.approx(1.1, abs=1e-5)
    found.save(tmp_path / "alone.npz")
    loaded = KernelPredictor.load(tmp_path / "alone.npz")
    np.testing.assert_allclose([loaded.predict_kernels(n) for n in networks], true)
    assert replace(alone, calibration=Calibration(element_ms=-1e9)).predict_kernels(networks[0]) > 0
    # Timed within one model of ONNX Runtime they have none.
    assert (
        replace(alone, device=predictor.device).calibrate(networks, true).calibration.element_ms
        == 0
    )


def test_from_sixteen_networks_on_types_of_kernels_have_scales(
    predictor: KernelPredictor[Any], tmp_path: Path
) -> None:
    """A type that takes longer in networks than alone is told from those that do not."""
    operators = ("Relu", "Tanh", "Sigmoid")
    alone = replace(
        predictor,
        device=DeviceKey("cpu", "mnn-1", threads=1),
        regressors={name.lower(): per_byte(2.0 + i) for i, name in enumerate(operators)},
        methods={name.lower(): "ridge" for name in operators},
    )
    drawn = np.random.default_rng(0).integers(1, 40, (24, 3))
    three = [Kernel(name, "", ((1, 300, 8, 8),), (1, 300, 8, 8)) for name in operators]
    networks = [[k for k, n in zip(three, row, strict=True) for _ in range(n)] for row in drawn]
    true = 0.3 + drawn * alone.kernel_ms(three) @ [1.3, 0.8, 1.0]
    found = alone.calibrate(networks, true)
    np.testing.assert_allclose([found.predict_kernels(n) for n in networks], true, rtol=0.01)
    np.testing.assert_allclose(alone.held_out_ms(networks, true), true, rtol=0.02)
    assert found.calibration.kind_scales
    assert found.relative_std < 0.01
    found.save(tmp_path / "alone.npz")
    loaded = KernelPredictor.load(tmp_path / "alone.npz")
    assert loaded.calibration == found.calibration
    assert not alone.calibrate(networks[:15], true[:15]).calibration.kind_scales
    profiled = replace(alone, device=predictor.device)
    assert not profiled.calibrate(networks, true).calibration.kind_scales
