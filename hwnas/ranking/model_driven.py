"""Ranking with a few labels: a regressor learns accuracies from proxies and graph features."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from hwnas.errors import InvalidValueError
from hwnas.typing import FloatArray


class ModelRanking:
    """Rank architectures by the accuracy that a regressor predicts.

    This is no training-free score: state `n_labels_`, the number of trained networks behind it, and
    measure it on other architectures than those. Every input is replaced by its rank among the
    labelled architectures, so that scores of any scale and infinite ones can be used; a missing one
    (NaN) ranks below all others, at -1.

    Týbl and Neumann (VKDNW, CVPR 2025, Sec. V) use a random forest and 1,024 labels.

    Args:
        regressor: a scikit-learn regressor, which is copied; None for a random forest.
        seed: seed of the random forest.

    Attributes:
        regressor_: the fitted regressor.
        n_labels_: labelled architectures that it was fitted to.
    """

    regressor_: Any
    n_labels_: int

    def __init__(self, regressor: Any = None, *, seed: int = 0) -> None:
        self.regressor = regressor
        self.seed = seed

    def fit(self, X: npt.ArrayLike, y: npt.ArrayLike) -> ModelRanking:
        """Learn from (s, f) proxies and features and (s,) accuracies of labelled architectures.

        Raises:
            InvalidValueError: the shapes do not fit, there is no label, or an accuracy is missing.
        """
        from sklearn.base import clone
        from sklearn.ensemble import RandomForestRegressor

        inputs, labels = _table(X), np.asarray(y, dtype=np.float64)
        if labels.shape != inputs.shape[:1] or not labels.size or not np.isfinite(labels).all():
            raise InvalidValueError(
                f"`y` must hold a finite accuracy for each of the {len(inputs)} rows of `X`, at "
                f"least one, but got shape {labels.shape} with "
                f"{int((~np.isfinite(labels)).sum())} missing."
            )
        regressor = (
            RandomForestRegressor(random_state=self.seed)
            if self.regressor is None
            else clone(self.regressor)
        )
        self._known = [np.sort(column[~np.isnan(column)]) for column in inputs.T]
        self.regressor_ = regressor.fit(self._ranks(inputs), labels)
        self.n_labels_ = len(labels)
        return self

    def predict(self, X: npt.ArrayLike) -> FloatArray:
        """Predict the accuracies of (n, f) proxies and features.

        Returns:
            (n,) accuracies; larger is better.

        Raises:
            NotFittedError: `fit` was not called.
            InvalidValueError: there are not as many columns as in `fit`.
        """
        if not hasattr(self, "regressor_"):
            from sklearn.exceptions import NotFittedError

            raise NotFittedError("`fit` must be called before `predict`: give it accuracies.")
        inputs = _table(X)
        if inputs.shape[1] != len(self._known):
            raise InvalidValueError(
                f"`X` must have {len(self._known)} columns as in `fit`, but got {inputs.shape[1]}."
            )
        return np.asarray(self.regressor_.predict(self._ranks(inputs)), dtype=np.float64)

    def _ranks(self, inputs: FloatArray) -> FloatArray:
        """Replace values by the share of the labelled ones below them, ties counted half."""
        ranks = np.full(inputs.shape, -1.0)
        for column, known, rank in zip(inputs.T, self._known, ranks.T, strict=True):
            here = ~np.isnan(column)
            below = np.searchsorted(known, column[here], side="left")
            up_to = np.searchsorted(known, column[here], side="right")
            rank[here] = (below + up_to) / (2 * max(len(known), 1))
        return ranks


def _table(X: npt.ArrayLike) -> FloatArray:
    array = np.asarray(X, dtype=np.float64)
    if array.ndim != 2:
        raise InvalidValueError(f"`X` must have shape (n, f), but got {array.shape}.")
    return array
