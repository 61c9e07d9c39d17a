"""The regressor of `hwnas-model`: three kinds of models that err in different ways."""

from __future__ import annotations

from typing import Any

_TREES = 200


def ensemble(seed: int, labels: int) -> Any:
    """Make a scikit-learn regressor for ranking with few to about a thousand labels.

    The mean of extremely randomised trees, boosted trees and a support-vector machine. Accuracies
    are replaced by the normal quantiles of their ranks while it learns, since order is what counts:
    a few hopeless networks would decide everything otherwise.

    Args:
        seed: seed of the trees.
        labels: labelled networks that it will learn from.
    """
    from sklearn.compose import TransformedTargetRegressor
    from sklearn.ensemble import ExtraTreesRegressor, HistGradientBoostingRegressor, VotingRegressor
    from sklearn.feature_selection import VarianceThreshold
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import QuantileTransformer, StandardScaler
    from sklearn.svm import SVR

    trees = ExtraTreesRegressor(_TREES, max_features=0.5, random_state=seed)
    boosting = HistGradientBoostingRegressor(
        max_iter=200, learning_rate=0.05, max_leaf_nodes=15, min_samples_leaf=10, random_state=seed
    )
    machine = make_pipeline(VarianceThreshold(), StandardScaler(), SVR(C=10, epsilon=0.05))
    members = [("trees", trees), ("boosting", boosting), ("machine", machine)]
    return TransformedTargetRegressor(
        VotingRegressor(members),
        transformer=QuantileTransformer(n_quantiles=labels, output_distribution="normal"),
    )
