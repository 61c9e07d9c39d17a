"""The regressor beside the Gaussian process of `hwnas-model`: three kinds that err differently."""

from __future__ import annotations

from typing import Any

_TREES = 200


def ensemble(seed: int) -> Any:
    """Make a scikit-learn regressor for ranking with some fifty to about a thousand labels.

    The mean of extremely randomised trees, boosted trees and a support-vector machine.

    Args:
        seed: seed of the trees.
    """
    from sklearn.ensemble import ExtraTreesRegressor, HistGradientBoostingRegressor, VotingRegressor
    from sklearn.feature_selection import VarianceThreshold
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVR

    trees = ExtraTreesRegressor(_TREES, max_features=0.5, random_state=seed)
    boosting = HistGradientBoostingRegressor(
        max_iter=200, learning_rate=0.05, max_leaf_nodes=15, min_samples_leaf=10, random_state=seed
    )
    machine = make_pipeline(VarianceThreshold(), StandardScaler(), SVR(C=10, epsilon=0.05))
    return VotingRegressor([("trees", trees), ("boosting", boosting), ("machine", machine)])
