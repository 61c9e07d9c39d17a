"""nn-Meter's own predictors, read from its cache without running what their pickles hold.

Its files are random forests pickled by scikit-learn 0.23.1, which later versions cannot load. The
arrays inside are all that is needed.
"""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hwnas.data.safe_pickle import ADMITTED
from hwnas.errors import DataFormatError, DataNotFoundError
from hwnas.typing import FloatArray
from hwnas_predictors.kernels.regression import Trees

RULES = "fusion_rules.json"
_CLASSES = frozenset({"RandomForestRegressor", "DecisionTreeRegressor", "Tree"})
_RELEASE = "https://github.com/microsoft/nn-Meter/releases/download/v1.0-data"


class _Part:
    """Takes the place of a class of scikit-learn: keeps what was pickled."""

    def __init__(self, *args: Any) -> None:
        del args

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)


class _Unpickler(pickle.Unpickler):
    def find_class(self, module_name: str, global_name: str) -> Any:
        """Give a stand-in for the forest's classes, and plain numpy; nothing else."""
        if module_name.startswith("sklearn.") and global_name in _CLASSES:
            return _Part
        if (module_name, global_name) in ADMITTED:
            return ADMITTED[module_name, global_name]
        raise pickle.UnpicklingError(f"it names {module_name}.{global_name}, not admitted")


class Forest:
    """A random forest with scikit-learn's `predict`, evaluated from its arrays.

    Args:
        path: pickle of a `RandomForestRegressor`.

    Raises:
        DataFormatError: the file holds something else.
    """

    def __init__(self, path: Path) -> None:
        try:
            with path.open("rb") as stream:
                trees = [estimator.tree_ for estimator in _Unpickler(stream).load().estimators_]
            self._trees = Trees.join([t.nodes for t in trees], [t.values[:, 0, 0] for t in trees])
        except Exception as error:  # a damaged pickle can raise nearly anything
            raise DataFormatError(
                f"`{path}` must be the random forest of a kernel, but reading it failed: "
                f"{error or type(error).__name__}. Fetch the file again."
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
