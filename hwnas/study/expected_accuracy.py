"""The accuracies that a front's members are expected to have, from labels of its space."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hwnas.errors import InvalidValueError
from hwnas.evaluation.cache import ResultCache
from hwnas.evaluation.evaluator import Report
from hwnas.pareto.expected import with_expectations
from hwnas.pareto.pareto_set import ParetoSet
from hwnas.proxies import make_proxies
from hwnas.ranking.recipes import RECIPES, Recipe
from hwnas.study.accuracy_learning import BEGINNING, learn_from
from hwnas.study.configuration import (
    REFERENCE_SIZE,
    EvaluationSetup,
    bounded,
    reference_sample,
)
from hwnas.study.settings import SearchSettings
from hwnas.study.stability import scores_of, seed_agreement
from hwnas.tables.shipped.table import shipped_columns
from hwnas.typing import SearchSpace

LEAST_LABELS = 5
"""Labels from which on accuracies are stated."""


def with_expected_accuracy(
    front: ParetoSet,
    space: SearchSpace[Any],
    labels: Mapping[str, float],
    *,
    origin: Mapping[str, Any] | None = None,
    drawn: int = REFERENCE_SIZE,
    cache: ResultCache | None = None,
    jobs: int = 1,
    report: Report | None = None,
) -> ParetoSet:
    """State what each member's accuracy is expected to be.

    The model of `hwnas.study.accuracy_learning` begins with the score that the front was found by,
    and sees the members, the labelled networks and as many drawn from the space; where scores ship
    with hwnas, those of `hwnas-any` too.

    Args:
        front: of `hwnas.search` or ``hwnas search``.
        space: its space.
        labels: accuracy in percent by the text of the architecture, members or not.
        origin: what the labels are, for the provenance.
        drawn: networks drawn from the space.
        cache: where scores are kept.
        jobs: worker processes.
        report: progress.

    Raises:
        InvalidValueError: there are fewer than `LEAST_LABELS` labels of different networks, or the
            front does not say how it was found.
    """
    known: dict[str, list[float]] = {}
    archs: dict[str, Any] = {}
    for text, accuracy in labels.items():
        arch = space.parse(text)
        archs.setdefault(space.canonical_key(arch), space.representative(arch))
        known.setdefault(space.canonical_key(arch), []).append(accuracy)
    if len(known) < LEAST_LABELS:
        raise InvalidValueError(
            f"`labels` must be accuracies of at least {LEAST_LABELS} different networks, but got "
            f"{len(known)}."
        )
    setup, score = _found_by(front, space)
    reference = reference_sample(space, drawn, setup.seed)
    for arch in (*(space.parse(member.arch) for member in front.members), *reference):
        archs.setdefault(space.canonical_key(arch), space.representative(arch))
    places = {key: i for i, key in enumerate(archs)}
    source = setup.proxies(make_proxies(_inputs(setup, score)))
    limits = bounded(space)
    networks = list(archs.values())
    columns = scores_of(source, networks, cache, jobs, limits, report)
    told = learn_from(
        space,
        networks,
        columns,
        [places[key] for key in known],
        [float(np.mean(values)) for values in known.values()],
        score=score if set(RECIPES[BEGINNING].proxies) - set(columns) else RECIPES[BEGINNING],
        agreement=seed_agreement(source, cache=cache, jobs=jobs, limits=limits, report=report),
        seed=setup.seed,
    )
    members = [places[member.key] for member in front.members]
    population = [places[space.canonical_key(arch)] for arch in reference]
    return with_expectations(front, told, members, population, origin)


def _found_by(front: ParetoSet, space: SearchSpace[Any]) -> tuple[EvaluationSetup[Any], Recipe]:
    """Find how a front's networks were scored, and by what."""
    settings = front.provenance.get("settings")
    if not isinstance(settings, Mapping) or not settings.get("objectives"):
        raise InvalidValueError(
            "`front` must be one of `hwnas search`, which says its objectives, but this one does "
            "not: learn with `hwnas rank --truth FILE --labels N` instead."
        )
    s = SearchSettings.from_identity({k: v for k, v in settings.items() if k != "trials"})
    name = s.objectives[0]
    score = RECIPES.get(name) or Recipe(name, tuple(p.name for p in make_proxies([name])), "")
    return EvaluationSetup.of(s, space), score


def _inputs(setup: EvaluationSetup[Any], score: Recipe) -> Sequence[str]:
    """Name the proxies that are learned from: the score's, and what needs no passes."""
    free = RECIPES[BEGINNING].proxies
    source = setup.proxies(make_proxies(free))
    shipped = shipped_columns(setup.space.name)
    known = [n for n in free if shipped.get(source.cache_prefix(n)) is not None]
    return tuple(dict.fromkeys((*score.needed, *known, "params")))
