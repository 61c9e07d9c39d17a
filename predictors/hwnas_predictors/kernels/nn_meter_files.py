"""nn-Meter's own predictors, read from its cache without running what their pickles hold.

Its files are random forests pickled by scikit-learn 0.23.1, which later versions cannot load. The
arrays inside are all that is needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hwnas.data.safe_pickle import load_pickle
from hwnas.errors import DataFormatError, DataNotFoundError
from hwnas.typing import FloatArray
from hwnas_predictors.kernels.regressors import Trees

RULES = "fusion_rules.json"
_RELEASE = "https://github.com/microsoft/nn-Meter/releases/download/v1.0-data"


class _Part:
    """Takes the place of a class of scikit-learn: keeps what was pickled."""

    def __init__(self, *args: Any) -> None:
        del args

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)


_STAND_INS = {
    ("sklearn.ensemble._forest", "RandomForestRegressor"): _Part,
    ("sklearn.tree._classes", "DecisionTreeRegressor"): _Part,
    ("sklearn.tree._tree", "Tree"): _Part,
}


class Forest:
    """A random forest with scikit-learn's `predict`, evaluated from its arrays.

    Args:
        path: pickle of a `RandomForestRegressor`.

    Raises:
        DataFormatError: the file holds something else.
    """

    def __init__(self, path: Path) -> None:
        forest = load_pickle(path, _STAND_INS)
        try:
            trees = [estimator.tree_ for estimator in forest.estimators_]
            self._trees = Trees.join([t.nodes for t in trees], [t.values[:, 0, 0] for t in trees])
        except (AttributeError, TypeError, ValueError, KeyError, IndexError) as error:
            raise DataFormatError(
                f"`{path}` must be the random forest of a kernel, but has other parts: {error}. "
                "Fetch the file again."
            ) from error

    def predict(self, features: npt.ArrayLike) -> FloatArray:
        """Predict `(n,)` latencies in ms from `(n, f)` features in nn-Meter's order."""
        return self._trees.predict(np.asarray(features, dtype=np.float64))


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
