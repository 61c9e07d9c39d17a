"""The architectures that scores are compared on, with their raw scores."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Unpack

import numpy as np

from hwnas.errors import InvalidValueError
from hwnas.evaluation.evaluator import EvaluatorOptions
from hwnas.proxies import make_proxies
from hwnas.rank_study.comparison import stability
from hwnas.seeding import derive_seed
from hwnas.study.configuration import EvaluationSetup, reference_sample
from hwnas.study.stability import AGREEMENT_SIZE, scores_of
from hwnas.tables.shipped import ShippedScores
from hwnas.tables.table import Table
from hwnas.typing import Arch, FloatArray, SearchSpace

Scored = tuple[Table[Arch], Mapping[str, float]]
"""Architectures in an order without meaning, so that ties may be taken in this order, with their
raw scores; and how alike two seeds rank, by the name of the score, where that is known."""


def shipped_population(
    space: SearchSpace[Arch],
    scores: ShippedScores,
    members: Sequence[Arch],
    seed: int,
    proxies: Sequence[str] | None = None,
) -> Scored[Arch]:
    """Give architectures of a space the scores of their networks that ship with the package.

    Args:
        space: the space.
        scores: scores of all of its networks.
        members: the architectures of the population.
        seed: seed of the order.
        proxies: the columns wanted; None for every one that is there.

    Raises:
        InvalidValueError: a wanted column is not shipped.
    """
    known = scores.table.columns
    wanted = list(known) if proxies is None else list(proxies)
    if absent := [name for name in wanted if name not in known]:
        raise InvalidValueError(
            f"`proxy` must be shipped with the package to be ranked without scoring, but "
            f"{', '.join(absent)} is not: add --sample 256 to score some networks, or choose among "
            f"{', '.join(known)}."
        )
    chosen = scores.table.select(wanted)
    rows = [chosen.rows[space.canonical_key(arch)] for arch in members]
    origin = f"scores shipped with the package ({scores.provenance['input']})"
    table = Table(members, chosen.take(rows).columns, origin=origin)
    again = scores.again.select(wanted)
    first = chosen.take([chosen.rows[key] for key in again.rows])
    return table.shuffled(seed), stability(first.columns, again.columns)


def scored_sample(
    setup: EvaluationSetup[Arch],
    proxies: Sequence[str],
    n: int,
    known: Collection[str] | None = None,
    *,
    second_seed: int | None = None,
    **options: Unpack[EvaluatorOptions],
) -> Scored[Arch]:
    """Score `n` different networks, or all there are.

    Args:
        setup: space, task, batch size, and the seed of the sample and of the scores.
        proxies: names of the proxies.
        n: networks.
        known: texts of the architectures that may be chosen; None for all. Where the space has
            others, the sample is drawn from these alone.
        second_seed: seed of scores of the same networks, to compare the first ones with; if None,
            the next seed scores the first 24 of them where there are 48 or more.
        options: how they are scored.
    """
    archs = reference_sample(setup.space, n, setup.seed)
    if known is not None and not all(str(arch) in known for arch in archs):
        archs = _sample_of(setup, known, n)

    def scores(seed: int, of: Sequence[Arch] = archs) -> dict[str, FloatArray]:
        source = replace(setup, seed=seed).proxies(make_proxies(proxies))
        return scores_of(source, of, **options)

    origin = (
        f"networks of uniformly drawn architectures, each once, scored with {setup.batch_size} "
        f"{setup.images} images for {setup.task.name}, seed {setup.seed}"
        + ("" if setup.reduced is None else f", reduced to {setup.reduced}")
    )
    first = scores(setup.seed)
    if second_seed is None and len(archs) < 2 * AGREEMENT_SIZE:
        return Table(archs, first, origin=origin), {}
    alike = archs if second_seed is not None else archs[:AGREEMENT_SIZE]
    again = scores(setup.seed + 1 if second_seed is None else second_seed, alike)
    part = {name: values[: len(alike)] for name, values in first.items()}
    return Table(archs, first, origin=origin), stability(part, again)


def _sample_of(setup: EvaluationSetup[Arch], texts: Collection[str], n: int) -> list[Arch]:
    """Choose up to `n` connected architectures of different networks among those given."""
    space, listed = setup.space, sorted(texts)
    order = np.random.default_rng(derive_seed(setup.seed, repr(space), "known")).permutation(
        len(listed)
    )
    found: dict[str, Arch] = {}
    for i in order:
        arch = space.parse(listed[i])
        if len(found) < n and space.is_valid(arch):
            found.setdefault(space.canonical_key(arch), arch)
    return list(found.values())
