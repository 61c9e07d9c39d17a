"""nn-Meter's own predictors, read from its cache without running what their pickles hold.

Its files are random forests pickled by scikit-learn 0.23.1, which later versions cannot load. The
arrays inside are all that is needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hwnas.data.safe_pickle import load_pickle
from hwnas.errors import DataFormatError, DataNotFoundError
from hwnas.typing import FloatArray
from hwnas_predictors.kernels.regressors import Trees

RULES = "fusion_rules.json"
_RELEASE = "https://github.com/microsoft/nn-Meter/releases/download/v1.0-data"


_CLASSES = (
    ("sklearn.ensemble._forest", "RandomForestRegressor"),
    ("sklearn.tree._classes", "DecisionTreeRegressor"),
    ("sklearn.tree._tree", "Tree"),
)


class Forest:
    """A random forest with scikit-learn's `predict`, evaluated from its arrays.

    Args:
        path: pickle of a `RandomForestRegressor`.

    Raises:
        DataFormatError: the file holds something else.
    """

    def __init__(self, path: Path) -> None:
        forest = load_pickle(path, _CLASSES)
        try:
            parts = [estimator.state["tree_"] for estimator in forest.state["estimators_"]]
            self._features: int = parts[0].args[0]
            trees = [part.state for part in parts]
            self._trees = Trees.join(
                [tree["nodes"] for tree in trees], [tree["values"][:, 0, 0] for tree in trees]
            )
            if self._trees.feature.max() >= self._features:
                raise ValueError("it splits by a feature that there is not")
        except (AttributeError, TypeError, ValueError, KeyError, IndexError) as error:
            raise DataFormatError(
                f"`{path}` must be the random forest of a kernel, but has other parts: {error}. "
                "Fetch the file again."
            ) from error

    def predict(self, features: npt.ArrayLike) -> FloatArray:
        """Predict `(n,)` latencies in ms from `(n, f)` features in nn-Meter's order.

        Raises:
            DataFormatError: the forest was learned from another number of features.
        """
        rows = np.asarray(features, dtype=np.float64)
        if rows.shape[1] != self._features:
            raise DataFormatError(
                f"The forest of a kernel must have {rows.shape[1]} features, but the file has one "
                f"of {self._features} features. Fetch it again."
            )
        return self._trees.predict(rows)


def read_predictors(folder: Path, kernels: Sequence[str]) -> dict[str, Forest]:
    """Read the predictors of a device.

    Args:
        folder: the device's folder, named after it.
        kernels: kernels that the device has predictors of.

    Raises:
        DataNotFoundError: a file is absent; says where to get it.
        DataFormatError: a file holds something else.
    """
    names = [*(f"{kernel}.pkl" for kernel in kernels), RULES]
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        raise DataNotFoundError(
            f"`{folder}` must hold nn-Meter's predictors, but {', '.join(missing)} "
            f"{'is' if len(missing) == 1 else 'are'} absent: fetch {_RELEASE}/{folder.name}.zip "
            f"and unpack it in {folder.parent}."
        )
    return {kernel: Forest(folder / f"{kernel}.pkl") for kernel in kernels}
