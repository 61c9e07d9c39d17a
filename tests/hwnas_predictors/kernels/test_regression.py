from __future__ import annotations

import numpy as np
import pytest

from hwnas.errors import DataFormatError
from hwnas.typing import FloatArray
from hwnas_predictors.kernels.features import NAMES, features
from hwnas_predictors.kernels.kernel import Configuration
from hwnas_predictors.kernels.regression import choose
from hwnas_predictors.kernels.regressors import METHODS, RidgeAndTrees, from_arrays, to_arrays


def line(n: int, seed: int = 0) -> tuple[FloatArray, FloatArray]:
    x = np.random.default_rng(seed).normal(size=(n, 4))
    return x, x @ np.array([1.0, -2.0, 0.5, 0.0]) + 3.0


def test_features_are_logarithms_of_sizes() -> None:
    seen = Configuration("conv", 8, 8, 16, 32, 8, 8, (3, 3), activation="Relu")
    (row,) = features([seen])
    found = dict(zip(NAMES, row, strict=True))
    assert found["flops"] == pytest.approx(np.log(2 * 32 * 16 * 9 * 64))
    assert found["intensity"] == pytest.approx(found["flops"] - found["bytes"])
    assert (found["Relu"], found["Clip"], found["other_activation"]) == (1, 0, 0)
    assert features([]).shape == (0, len(NAMES))


@pytest.mark.parametrize("name", METHODS)
def test_a_line_is_learned_and_arrays_keep_the_regressor(name: str) -> None:
    x, y = line(80)
    new, truth = line(40, 1)
    fitted = METHODS[name].fit(x, y)
    assert np.abs(fitted.predict(new) - truth).mean() < 0.02
    again = from_arrays(name, to_arrays(fitted), 4)
    np.testing.assert_array_equal(again.predict(new), fitted.predict(new))


def test_trees_agree_with_those_of_scikit_learn() -> None:
    from sklearn.ensemble import ExtraTreesRegressor

    rng = np.random.default_rng(0)
    x, new = rng.normal(size=(60, 3)), rng.normal(size=(30, 3))
    y = np.sign(x[:, 0]) * np.sign(x[:, 1])
    fitted = RidgeAndTrees.fit(x, y, seed=5)
    line = fitted.line
    residuals = y - ((x - line.mean) / line.scale @ line.weights + line.offset)
    forest = ExtraTreesRegressor(100, min_samples_leaf=2, random_state=5)
    forest.fit(x.astype(np.float32), residuals)
    straight = (new - line.mean) / line.scale @ line.weights + line.offset
    np.testing.assert_allclose(fitted.predict(new) - straight, forest.predict(new), atol=1e-12)


def test_the_method_with_the_least_error_is_chosen() -> None:
    x = np.random.default_rng(0).uniform(-1, 1, size=(150, 2))
    steps = choose(x, np.sign(x[:, 0]))
    assert min(steps.errors, key=lambda name: steps.errors[name]) == steps.method
    assert steps.method == "ridge+trees"
    exact = choose(*line(60))
    assert exact.errors[exact.method] == min(exact.errors.values()) < 1e-3
    assert exact.within_10_percent == 1.0


@pytest.mark.parametrize("n", [1, 2, 5])
def test_few_kernels_are_enough_for_a_guess(n: int) -> None:
    x, y = line(n)
    fitted = choose(x, y)
    assert np.isnan(fitted.within_10_percent)
    assert np.isfinite(fitted.regressor.predict(x)).all()


def sizes(logarithms: list[float]) -> FloatArray:
    """Features of kernels with these logarithms of FLOPs and of bytes, and noise elsewhere."""
    x = np.random.default_rng(0).normal(size=(len(logarithms), len(NAMES)))
    x[:, NAMES.index("flops")] = x[:, NAMES.index("bytes")] = logarithms
    return x


def test_few_kernels_tell_a_power_of_size() -> None:
    (one,) = np.diff(choose(sizes([3.0]), np.array([1.0])).regressor.predict(sizes([3.0, 7.0])))
    assert one == pytest.approx(0.5 * 4)  # nothing is told yet: the root
    x = np.array([0.0, 1.0, 2.0, 4.0, 8.0])
    apart = np.sum((x - x.mean()) ** 2)
    for told, least, most in ((0.8, 0, 1), (1.5, 1, 1), (-1.0, 0, 0)):
        power = np.clip((told * apart + 0.5 * 0.25) / (apart + 0.25), least, most)
        fitted = choose(sizes(list(x)), told * x).regressor
        found = fitted.predict(sizes([1.0, 6.0]))
        np.testing.assert_allclose(found, told * 3 + power * np.array([-2.0, 3.0]))


def test_foreign_arrays_are_refused() -> None:
    with pytest.raises(DataFormatError, match="`method` must be one of ridge"):
        from_arrays("forest", {}, 4)
