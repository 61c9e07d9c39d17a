"""Regressors of log latency over features: ridge, trees on its residuals, a Gaussian process.

scikit-learn fits; a fitted regressor keeps plain arrays and predicts from them, so that a file of
it is read without pickle.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from hwnas.errors import DataFormatError
from hwnas.process_state import unwarned
from hwnas.typing import FloatArray

Arrays = Mapping[str, npt.NDArray[Any]]

_GP_LIMIT = 800
"""A Gaussian process costs the cube of the number of kernels."""
_GP_TUNED_ON = 200
_TREES = 100
_PENALTIES = tuple(10.0**e for e in range(-4, 3))


class Regressor(Protocol):
    """A fitted map from `(n, f)` features to `(n,)` log latencies."""

    def predict(self, features: FloatArray) -> FloatArray:
        """Predict `(n,)` log latencies."""


@dataclass(frozen=True)
class Ridge:
    """A linear model of standardised features.

    Attributes:
        mean: `(f,)` means of the features.
        scale: `(f,)` their standard deviations; 1 for a constant feature.
        weights: `(f,)` weights.
        offset: `(1,)` value at the mean.
    """

    mean: FloatArray
    scale: FloatArray
    weights: FloatArray
    offset: FloatArray

    @classmethod
    def fit(cls, features: FloatArray, targets: FloatArray, seed: int = 0) -> Ridge:
        """Fit; the penalty is chosen by leave-one-out error."""
        from sklearn.linear_model import RidgeCV

        del seed
        mean, scale = _standard(features)
        model = RidgeCV(alphas=_PENALTIES).fit((features - mean) / scale, targets)
        return cls(mean, scale, model.coef_, np.atleast_1d(model.intercept_))

    def predict(self, features: FloatArray) -> FloatArray:
        """Predict `(n,)` values."""
        value: FloatArray = (features - self.mean) / self.scale @ self.weights + self.offset[0]
        return value


@dataclass(frozen=True)
class Trees:
    """The mean of regression trees, as one list of nodes.

    Attributes:
        roots: `(t,)` index of each tree's root.
        feature: `(m,)` feature that a node splits by; -1 at a leaf.
        threshold: `(m,)` values up to it go left.
        left: `(m,)` left child; a leaf is its own child.
        right: `(m,)` right child.
        value: `(m,)` mean target at a node.
    """

    roots: npt.NDArray[np.int64]
    feature: npt.NDArray[np.int64]
    threshold: FloatArray
    left: npt.NDArray[np.int64]
    right: npt.NDArray[np.int64]
    value: FloatArray

    def __post_init__(self) -> None:
        nodes, leaf = np.arange(len(self.feature)), self.feature < 0
        if (
            len({len(a) for a in (self.feature, self.threshold, self.left, self.right, self.value)})
            > 1
        ):
            raise ValueError("the nodes of the trees have arrays of different lengths")
        if np.any(self.roots < 0) or np.any(self.roots >= len(nodes)):
            raise ValueError("a root of the trees is none of their nodes")
        # Children stand after their node, and a leaf stays: every descent ends.
        for child in (self.left, self.right):
            right = np.where(leaf, child == nodes, (child > nodes) & (child < len(nodes)))
            if not right.all():
                raise ValueError("a node of the trees has a child that is none")
        if np.isnan(self.value).any() or np.isnan(self.threshold).any():
            raise ValueError("a value of the trees is NaN")

    @classmethod
    def join(cls, nodes: Sequence[npt.NDArray[Any]], values: Sequence[FloatArray]) -> Trees:
        """Join trees, each with its nodes in scikit-learn's record format and `(m,)` values."""
        counts = [len(tree) for tree in nodes]
        roots = np.concatenate([[0], np.cumsum(counts)[:-1]]).astype(np.int64)
        shift, own = np.repeat(roots, counts), np.arange(sum(counts))

        def joined(name: str) -> npt.NDArray[Any]:
            return np.concatenate([tree[name] for tree in nodes])

        leaf = joined("left_child") < 0
        return cls(
            roots=roots,
            feature=np.where(leaf, -1, joined("feature")).astype(np.int64),
            threshold=joined("threshold").astype(np.float64),
            left=np.where(leaf, own, joined("left_child") + shift).astype(np.int64),
            right=np.where(leaf, own, joined("right_child") + shift).astype(np.int64),
            value=np.concatenate(list(values)),
        )

    def predict(self, features: FloatArray) -> FloatArray:
        """Predict `(n,)` values; features are compared in float32, as scikit-learn does."""
        rows = features.astype(np.float32).astype(np.float64)
        at = np.repeat(self.roots[None, :], len(rows), axis=0)
        while np.any(self.feature[at] >= 0):
            tested = np.take_along_axis(rows, np.maximum(self.feature[at], 0), axis=1)
            at = np.where(tested <= self.threshold[at], self.left[at], self.right[at])
        value: FloatArray = self.value[at].mean(axis=1)
        return value


@dataclass(frozen=True)
class RidgeAndTrees:
    """Extremely randomised trees on the residuals of a ridge regression.

    The linear part extrapolates to kernels larger than any measured one, which trees cannot.

    Attributes:
        line: the ridge regression.
        trees: the trees, of its residuals.
    """

    line: Ridge
    trees: Trees

    @classmethod
    def fit(cls, features: FloatArray, targets: FloatArray, seed: int = 0) -> RidgeAndTrees:
        """Fit both."""
        from sklearn.ensemble import ExtraTreesRegressor

        line = Ridge.fit(features, targets)
        forest = ExtraTreesRegressor(_TREES, min_samples_leaf=2, random_state=seed)
        # scikit-learn's trees compare features in float32.
        forest.fit(features.astype(np.float32), targets - line.predict(features))
        states = [estimator.tree_.__getstate__() for estimator in forest.estimators_]
        trees = Trees.join([s["nodes"] for s in states], [s["values"][:, 0, 0] for s in states])
        return cls(line, trees)

    def predict(self, features: FloatArray) -> FloatArray:
        """Predict `(n,)` values."""
        return self.line.predict(features) + self.trees.predict(features)

    @classmethod
    def of_arrays(cls, **arrays: npt.NDArray[Any]) -> RidgeAndTrees:
        """Make it of the arrays of both, whose names differ."""
        line = Ridge(**{name: arrays.pop(name) for name in (f.name for f in fields(Ridge))})
        trees = Trees(**arrays)
        if np.any(trees.feature >= len(line.mean)):
            raise ValueError("a node of the trees splits by a feature that there is not")
        return cls(line, trees)


@dataclass(frozen=True)
class GaussianProcess:
    """A Gaussian process with a linear and an RBF kernel over standardised features.

    Attributes:
        mean: as in `Ridge`.
        scale: as in `Ridge`.
        points: `(n, f)` standardised features that were learned from.
        dual: `(n,)` weights of the points.
        theta: logarithms of the covariance's settings, in the order of `_covariance`.
        offset: `(2,)` mean and standard deviation of the targets.
    """

    mean: FloatArray
    scale: FloatArray
    points: FloatArray
    dual: FloatArray
    theta: FloatArray
    offset: FloatArray

    @classmethod
    def fit(cls, features: FloatArray, targets: FloatArray, seed: int = 0) -> GaussianProcess:
        """Fit; the settings maximise the evidence of a part of the kernels."""
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.gaussian_process import GaussianProcessRegressor

        mean, scale = _standard(features)
        points = (features - mean) / scale
        offset = np.array([targets.mean(), targets.std() or 1.0])
        scaled = (targets - offset[0]) / offset[1]
        order = np.random.default_rng(seed).permutation(len(points))
        part, kept = order[:_GP_TUNED_ON], np.sort(order[:_GP_LIMIT])
        # Settings at the end of their range are what the data say.
        with unwarned(ConvergenceWarning):
            tuned = GaussianProcessRegressor(_covariance(), random_state=seed)
            tuned.fit(points[part], scaled[part])
        model = GaussianProcessRegressor(tuned.kernel_, optimizer=None)
        model.fit(points[kept], scaled[kept])
        return cls(mean, scale, points[kept], model.alpha_, tuned.kernel_.theta, offset)

    def predict(self, features: FloatArray) -> FloatArray:
        """Predict `(n,)` values."""
        covariance = _covariance().clone_with_theta(self.theta)
        points = (features - self.mean) / self.scale
        value: FloatArray = covariance(points, self.points) @ self.dual
        final: FloatArray = self.offset[0] + self.offset[1] * value
        return final


METHODS: Mapping[str, type[Ridge] | type[RidgeAndTrees] | type[GaussianProcess]] = {
    "ridge": Ridge,
    "ridge+trees": RidgeAndTrees,
    "gaussian-process": GaussianProcess,
}


def to_arrays(regressor: Regressor) -> dict[str, npt.NDArray[Any]]:
    """Give what a fitted regressor consists of."""
    found: dict[str, npt.NDArray[Any]] = {}
    for name, value in vars(regressor).items():
        found |= to_arrays(value) if isinstance(value, Ridge | Trees) else {name: value}
    return found


def from_arrays(method: str, arrays: Arrays, width: int) -> Regressor:
    """Make a regressor of its arrays; `DataFormatError` if they are none of `width` features."""
    try:
        make: Callable[..., Regressor] = getattr(METHODS[method], "of_arrays", METHODS[method])
        found = make(**arrays)
        value = found.predict(np.zeros((1, _width(arrays, width))))
        if value.shape != (1,) or not np.isfinite(value).all():
            raise ValueError("it predicts no number")
        return found
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise DataFormatError(
            f"`method` must be one of {', '.join(METHODS)} with its arrays, but got {method!r} "
            f"with {', '.join(sorted(arrays))}: the file is damaged."
        ) from error


def _width(arrays: Arrays, width: int) -> int:
    """Give the number of features, which have a mean and a scale each."""
    mean, scale = arrays["mean"], arrays["scale"]
    if mean.shape != (width,) or scale.shape != (width,) or not (scale > 0).all():
        raise ValueError(f"its features are not {width}, with positive scales")
    return width


def _standard(features: FloatArray) -> tuple[FloatArray, FloatArray]:
    scale = features.std(axis=0)
    return features.mean(axis=0), np.where(scale > 1e-9, scale, 1.0)


def _covariance() -> Any:
    from sklearn.gaussian_process.kernels import (
        RBF,
        ConstantKernel,
        DotProduct,
        WhiteKernel,
    )

    return (
        ConstantKernel(0.1, (1e-4, 1e2)) * DotProduct(1.0, (1e-2, 1e2))
        + ConstantKernel(1.0, (1e-3, 1e3)) * RBF(3.0, (0.3, 1e2))
        + WhiteKernel(1e-2, (1e-5, 1.0))
    )
