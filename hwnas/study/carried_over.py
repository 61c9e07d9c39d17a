"""What labels of another data set or space say of the networks of this one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic

import numpy as np

from hwnas.errors import InvalidValueError
from hwnas.files.identity import describe
from hwnas.ranking.accuracy_model import AccuracyModel
from hwnas.ranking.aggregation import normal_places
from hwnas.ranking.label_process import Points
from hwnas.strategies.features import PoolInputs, graphs_of
from hwnas.study.sample import BEGINNING, Belief, Labelled, Sample
from hwnas.typing import Arch, FloatArray


@dataclass(frozen=True, eq=False)
class CarriedOver(Generic[Arch]):
    """A score of one space's networks that was learned from labels of another's.

    The two spaces meet in what both have: ranks of the proxies, each within its own sample; paths
    of operations with the same labels; and the choices where both are the same space.

    Attributes:
        inputs: what is known of a network of this space.
        belief: the ready-made score of the shared proxies; None where there is none.
        model: learned there.
        known: `(n,)` means of this space's sample.
    """

    inputs: PoolInputs[Arch]
    belief: Belief | None
    model: AccuracyModel
    known: FloatArray

    @classmethod
    def of(cls, there: Labelled[Any], here: Sample[Arch], seed: int = 0) -> CarriedOver[Arch]:
        """Learn from a sample that was trained, for the space of another one.

        Args:
            there: the trained networks.
            here: networks drawn from the space that the score is for.
            seed: seed of the trees.

        Raises:
            InvalidValueError: the two have no column in common, so that nothing can be learned.
        """
        names = _shared(there.sample, here)
        inputs, own = _inputs(names, there.sample, here)
        belief, own_belief = (_belief(sample, names) for sample in (there.sample, here))
        learned_from = _points(inputs, belief, there.sample.archs, there.sample.columns)
        model = AccuracyModel(seed).fit(learned_from, there.accuracies)
        means = model.predict(_points(own, own_belief, here.archs, here.columns)).means
        return cls(own, own_belief, model, means)

    def __call__(self, archs: Sequence[Arch], columns: Mapping[str, FloatArray]) -> FloatArray:
        """Give the `(m,)` normal scores of networks among the sample's."""
        points = _points(self.inputs, self.belief, archs, columns)
        return normal_places(self.model.predict(points).means, self.known)


def _shared(there: Sample[Any], here: Sample[Any]) -> list[str]:
    """Name the stable proxies that rank the networks of both samples."""
    names = [
        name
        for name, values in here.stable.items()
        if name in there.stable and all(_ranks(v) for v in (values, there.stable[name]))
    ]
    if not names:
        raise InvalidValueError(
            f"`transfer` must have a proxy in common with {here.space.name}, but the networks of "
            f"{there.space.name} have {', '.join(there.columns)} and those here "
            f"{', '.join(here.columns)}."
        )
    return names


def _ranks(values: FloatArray) -> bool:
    """Tell whether not all values are alike; missing ones are."""
    return len(set(np.where(np.isnan(values), -np.inf, values).tolist())) > 1


def _inputs(names: Sequence[str], *samples: Sample[Any]) -> list[PoolInputs[Any]]:
    """Scale each sample's inputs by itself, with the columns that both have and vary in both."""
    one, other = (describe(sample.space) for sample in samples)
    graphs = [graphs_of(sample.space, sample.archs) for sample in samples]
    both = [] if None in graphs else [graph for some in graphs for graph in some or ()]
    found = []
    for sample in samples:
        columns = {name: sample.columns[name] for name in names}
        found.append(
            PoolInputs.of(sample.space, sample.archs, columns, graphs=both, choices=one == other)
        )
    scales = [inputs.choices for inputs in found if inputs.choices is not None]
    varied = np.all([scale.spread > 0 for scale in scales], axis=0)
    return [
        replace(inputs, choices=inputs.choices and inputs.choices.restricted_to(varied))
        for inputs in found
    ]


def _belief(sample: Sample[Any], names: Sequence[str]) -> Belief | None:
    columns = {name: sample.columns[name] for name in names}
    return Sample(sample.space, sample.archs, columns, sample.agreement).belief(BEGINNING)


def _points(
    inputs: PoolInputs[Any],
    belief: Belief | None,
    archs: Sequence[Any],
    columns: Mapping[str, FloatArray],
) -> Points:
    scores = [] if belief is None else [belief(columns)]
    return Points(inputs(archs, columns), np.array(scores).reshape(len(scores), len(archs)).T)
