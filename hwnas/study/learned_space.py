"""`hwnas-model` fitted to labels of a space: an objective of a search, and what a front states."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, Unpack

import numpy as np

from hwnas.errors import InvalidValueError
from hwnas.evaluation.evaluator import EvaluatorOptions
from hwnas.evaluation.objectives import ValueObjective
from hwnas.evaluation.sources import ProxyValues
from hwnas.pareto.expected import with_expectations
from hwnas.pareto.pareto_set import ParetoSet
from hwnas.ranking.accuracy_model import Accuracies
from hwnas.ranking.recipes import Recipe
from hwnas.study.accuracy_learning import SpaceModel
from hwnas.study.configuration import reference_sample
from hwnas.study.sample import BEGINNING, Labelled, Sample
from hwnas.study.stability import scores_of, seed_agreement
from hwnas.typing import Arch, FloatArray, SearchSpace

LEAST_LABELS = 5
"""Labels from which on accuracies are stated."""


@dataclass(frozen=True, eq=False)
class Lesson(Generic[Arch]):
    """What accuracies of a space's networks are learned from.

    Attributes:
        sample: the labelled networks, and those drawn from the space.
        labelled: `(k,)` which of them are labelled.
        accuracies: `(k,)` their accuracies in percent.
        score: what is believed before.
        elsewhere: networks trained for other data sets, or of other spaces.
        seed: seed of the trees.
    """

    sample: Sample[Arch]
    labelled: Sequence[int]
    accuracies: Sequence[float]
    score: Recipe
    elsewhere: Sequence[Labelled[Any]]
    seed: int

    def learned(self) -> SpaceModel[Arch]:
        """Fit a model."""
        model = SpaceModel(self.sample, score=self.score, elsewhere=self.elsewhere, seed=self.seed)
        return model.fit(*self.some(self.labelled), self.accuracies)

    def some(self, rows: Sequence[int]) -> tuple[list[Arch], dict[str, FloatArray]]:
        """Give networks of the sample and their raw scores."""
        columns = {name: values[rows] for name, values in self.sample.columns.items()}
        return [self.sample.archs[i] for i in rows], columns


@dataclass(frozen=True, eq=False)
class LearnedSpace(Generic[Arch]):
    """A model of a space's accuracies with the networks that it is measured by.

    Attributes:
        source: proxies.
        lesson: what is learned from.
        model: learned from it.
        reference: `(n,)` networks drawn from the space.
        told: what is expected of these.
    """

    source: ProxyValues[Arch]
    lesson: Lesson[Arch]
    model: SpaceModel[Arch]
    reference: Sequence[Arch]
    told: Accuracies

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the proxies that it learns from."""
        return tuple(self.lesson.sample.columns)

    def __call__(self, arch: Arch, raw: Mapping[str, float]) -> float:
        """Give the expected accuracy of one network in percent."""
        columns = {name: np.array([raw[name]]) for name in self.columns}
        return float(self.model.predict([arch], columns).expected()[0])

    def for_network(self, space: SearchSpace[Any], arch: Any) -> LearnedSpace[Any]:
        """Learn from the scores alone, for a network of another space.

        The sample is one of a space where nothing but scores is known: its choices and paths, which
        the network has not, are not learned from, rather than guessed.

        Args:
            space: of the network.
            arch: the network.
        """
        sample = self.lesson.sample
        unknown = replace(sample, space=space, archs=[arch] * len(sample.archs))
        lesson = replace(self.lesson, sample=unknown)
        return replace(
            self, source=replace(self.source, space=space), lesson=lesson, model=lesson.learned()
        )

    def objective(self, name: str) -> ValueObjective[Arch]:
        """Give the expected accuracy as an objective."""
        return ValueObjective(
            name,
            "%",
            "maximize",
            self.source,
            self.columns,
            reference=tuple(self.told.expected().tolist()),
            learned=self,
        )

    def state(
        self, front: ParetoSet, columns: Mapping[str, FloatArray], origin: Mapping[str, Any]
    ) -> ParetoSet:
        """State what each member's accuracy is expected to be.

        Args:
            front: the front.
            columns: `(m,)` raw scores of the members.
            origin: what the labels are.
        """
        space, known = self.source.space, self.told
        members = [space.representative(space.parse(member.arch)) for member in front.members]
        own = self.model.predict(members, columns)
        told = Accuracies(
            np.concatenate([own.means, known.means]),
            np.concatenate([own.deviations, known.deviations]),
            known.scale,
            known.labels,
        )
        rows = range(len(members))
        population = np.arange(len(members), len(told.means))
        return with_expectations(front, told, rows, population, origin)


def learn_space(
    source: ProxyValues[Arch],
    labels: Mapping[str, float],
    drawn: int,
    *,
    names: Sequence[str] | None = None,
    score: Recipe = BEGINNING,
    elsewhere: Sequence[Labelled[Any]] = (),
    **options: Unpack[EvaluatorOptions],
) -> LearnedSpace[Arch]:
    """Fit `hwnas-model` to labels; networks are scored where that is not done.

    All inputs are scaled by the labelled networks and by as many drawn from the space.

    Args:
        source: proxies.
        labels: accuracy in percent by the text of the architecture; those of one network count as
            their mean.
        drawn: networks drawn from the space.
        names: those of its proxies that are learned from; all if None.
        score: what is believed before.
        elsewhere: networks trained for other data sets, or of other spaces.
        options: how networks are scored.

    Raises:
        InvalidValueError: there are fewer than `LEAST_LABELS` labels of different networks, or all
            accuracies are equal.
    """
    space = source.space
    known, archs = different_networks(space, labels)
    reference = reference_sample(space, drawn, source.seed)
    for arch in reference:
        archs.setdefault(space.canonical_key(arch), arch)
    networks, places = list(archs.values()), {key: i for i, key in enumerate(archs)}
    wanted = source.columns if names is None else tuple(names)
    used = replace(source, proxies=tuple(p for p in source.proxies if p.name in wanted))
    columns, alike = scores_of(used, networks, **options), seed_agreement(used, **options)
    lesson = Lesson(
        Sample(space, networks, columns, alike),
        [places[key] for key in known],
        [float(np.mean(values)) for values in known.values()],
        score,
        elsewhere,
        source.seed,
    )
    model = lesson.learned()
    told = model.predict(*lesson.some([places[space.canonical_key(arch)] for arch in reference]))
    return LearnedSpace(source, lesson, model, reference, told)


def different_networks(
    space: SearchSpace[Arch], labels: Mapping[str, float]
) -> tuple[dict[str, list[float]], dict[str, Arch]]:
    """Gather accuracies and a representative by canonical key.

    Raises:
        InvalidValueError: there are fewer than `LEAST_LABELS` different networks, or all accuracies
            are equal.
    """
    known: dict[str, list[float]] = {}
    archs: dict[str, Arch] = {}
    for text, accuracy in labels.items():
        arch = space.parse(text)
        key = space.canonical_key(arch)
        archs.setdefault(key, space.representative(arch))
        known.setdefault(key, []).append(accuracy)
    if len(known) < LEAST_LABELS:
        raise InvalidValueError(
            f"`labels` must be accuracies of at least {LEAST_LABELS} different networks, but got "
            f"{len(known)}."
        )
    if len(values := {value for of_one in known.values() for value in of_one}) == 1:
        raise InvalidValueError(
            f"`labels` must differ for something to be learned, but each is {values.pop():g}."
        )
    return known, archs
