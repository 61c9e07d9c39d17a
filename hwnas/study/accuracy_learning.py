"""Accuracies of networks of a space from those of a few: `hwnas-model`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Generic

import numpy as np
import numpy.typing as npt

from hwnas.ranking.accuracy_model import Accuracies, AccuracyModel
from hwnas.ranking.label_process import Points
from hwnas.ranking.recipes import Recipe
from hwnas.strategies.features import PoolInputs
from hwnas.study.carried_over import CarriedOver
from hwnas.study.sample import BEGINNING, Labelled, Sample
from hwnas.typing import Arch, FloatArray


class SpaceModel(Generic[Arch]):
    """The accuracies of any networks of a space, learned from a few.

    It learns from proxies, choices and the paths of the graphs, whatever of these there is, and
    begins with a ready-made score and with what labels of other data sets or spaces say.

    Args:
        sample: networks drawn from the space, by which all inputs are scaled.
        score: what is believed before; those of its proxies that there are columns of. Proxies that
            are known to rank at random are no inputs.
        elsewhere: networks that were trained for other data sets, or of other spaces.
        seed: seed of the trees.

    Raises:
        InvalidValueError: nothing is known both here and elsewhere.
    """

    def __init__(
        self,
        sample: Sample[Arch],
        *,
        score: Recipe = BEGINNING,
        elsewhere: Sequence[Labelled[Any]] = (),
        seed: int = 0,
    ) -> None:
        self._inputs = PoolInputs.of(sample.space, sample.archs, sample.stable)
        self._belief = sample.belief(score)
        self._carried = [CarriedOver.of(known, sample, seed) for known in elsewhere]
        self._model = AccuracyModel(seed)

    def fit(
        self,
        archs: Sequence[Arch],
        columns: Mapping[str, FloatArray],
        accuracies: npt.ArrayLike,
    ) -> SpaceModel[Arch]:
        """Learn from `(k,)` networks, their raw scores and accuracies in percent.

        Raises:
            InvalidValueError: there are fewer than two labels, or one is missing.
        """
        self._model.fit(self._points(archs, columns), accuracies)
        return self

    def predict(self, archs: Sequence[Arch], columns: Mapping[str, FloatArray]) -> Accuracies:
        """Give the distribution of the accuracies of `(n,)` networks."""
        return self._model.predict(self._points(archs, columns))

    def _points(self, archs: Sequence[Arch], columns: Mapping[str, FloatArray]) -> Points:
        known = [] if self._belief is None else [self._belief(columns)]
        scores = [*known, *(carried(archs, columns) for carried in self._carried)]
        table = np.array(scores).reshape(len(scores), len(archs)).T
        return Points(self._inputs(archs, columns), table)


def learn_from(
    sample: Sample[Arch],
    labelled: npt.ArrayLike,
    accuracies: npt.ArrayLike,
    *,
    score: Recipe = BEGINNING,
    elsewhere: Sequence[Labelled[Any]] = (),
    seed: int = 0,
) -> Accuracies:
    """Learn from some networks of a sample the accuracies of all, see `SpaceModel`.

    Args:
        sample: `n` networks.
        labelled: `(k,)` indices of those that are learned from.
        accuracies: `(k,)` their accuracies in percent.
        score: what is believed before.
        elsewhere: networks that were trained for other data sets, or of other spaces.
        seed: seed of the trees.

    Raises:
        InvalidValueError: there are fewer than two labels, or one is missing.
    """
    rows = np.asarray(labelled, dtype=np.intp)
    some = {name: values[rows] for name, values in sample.columns.items()}
    model = SpaceModel(sample, score=score, elsewhere=elsewhere, seed=seed)
    model.fit([sample.archs[row] for row in rows], some, accuracies)
    return model.predict(sample.archs, sample.columns)
