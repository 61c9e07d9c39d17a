"""What is searched: space, hard constraints, and what is known before anything is evaluated."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any, Generic, cast

import numpy as np
import numpy.typing as npt

from hwnas.errors import InvalidValueError
from hwnas.spaces.choices import members_of
from hwnas.spaces.space_text import insist_on_space
from hwnas.typing import Arch, FloatArray, SearchSpace

BoolArray = npt.NDArray[np.bool_]
LARGEST_LISTED = 100_000
"""Spaces with at most so many architectures are listed instead of drawn from."""
Measure = Callable[[Sequence[Arch]], FloatArray]
"""Gives `(n,)` numbers or `(n, f)` columns of `(n,)` architectures."""


@dataclass(frozen=True)
class Knowledge(Generic[Arch]):
    """Cheap knowledge of architectures, for searches whose evaluations are costly.

    Attributes:
        features: gives `(n, f)` inputs of a model beside those that the space gives: proxies,
            counts. Scales do not matter, since a model sees ranks. None if there are none.
        scores: gives `(n, p)` numbers that grow with the expected quality in the unknown
            objectives, e.g. proxies; their ranks are joined (`log_rank`). None if there are none.
        known_losses: objectives whose values a table or a counter gives, by their index among the
            m objectives: gives `(n,)` losses, so maximised ones negated; NaN where there is none.
    """

    features: Measure[Arch] | None = None
    scores: Measure[Arch] | None = None
    known_losses: Mapping[int, Measure[Arch]] = field(default_factory=dict)

    @property
    def is_empty(self) -> bool:
        """Whether nothing is known."""
        return self.features is None and self.scores is None and not self.known_losses


@dataclass(frozen=True)
class Problem(Generic[Arch]):
    """What every algorithm is made for.

    Attributes:
        space: search space.
        feasible: gives `(n,)` flags of `(n,)` architectures, by bounds that are cheap to check;
            None if there are no bounds. An infeasible architecture is never proposed.
        knowledge: cheap knowledge, or None.
        candidates: the architectures that may be proposed, if not all representatives. Several
            may share a class, of which still only one is proposed. Invalid ones are left out.
        violation: gives `(n,)` by how much `(n,)` architectures break the bounds: 0 where they are
            feasible, infinite where that is unknown. With it those are found that random ones
            hardly ever are; None leaves that to chance.

    Raises:
        InvalidValueError: the space is its name or its class.
    """

    space: SearchSpace[Arch]
    feasible: Callable[[Sequence[Arch]], BoolArray] | None = None
    knowledge: Knowledge[Arch] | None = None
    candidates: Sequence[Arch] | None = None
    violation: Measure[Arch] | None = None

    def __post_init__(self) -> None:
        """Refuse what only stands for a space."""
        insist_on_space(self.space)

    @cached_property
    def listed(self) -> Sequence[tuple[str, Arch]] | None:
        """(canonical key, architecture) of every candidate, in a fixed order; None if too many."""
        space, given = self.space, self.candidates
        if given is not None:
            return [(space.canonical_key(a), a) for a in dict.fromkeys(given) if space.is_valid(a)]
        return (_classes if _is_value(space) else _classes.__wrapped__)(cast(Any, space))

    def require_scores(self, purpose: str) -> Measure[Arch]:
        """Give the scores; `InvalidValueError` says what they are needed for if there are none."""
        if self.knowledge is None or self.knowledge.scores is None:
            raise InvalidValueError(
                f"`knowledge` must have scores for {purpose}, but it has none: give proxies."
            )
        scores = self.knowledge.scores
        return lambda archs: columns_of(scores, archs, "scores")


def columns_of(measure: Measure[Arch], archs: Sequence[Arch], name: str) -> FloatArray:
    """Give the `(n, f)` columns of architectures; one column may come as `(n,)` numbers.

    Raises:
        InvalidValueError: the measure gives another number of rows, or no column.
    """
    table = np.asarray(measure(archs), dtype=np.float64)
    columns = table[:, None] if table.ndim == 1 else table
    if columns.ndim != 2 or len(columns) != len(archs) or not columns.shape[1]:
        raise InvalidValueError(
            f"`{name}` of the knowledge must give a row of numbers for each of {len(archs)} "
            f"architectures, but gave the shape {table.shape}."
        )
    return columns


def known_columns(measure: Measure[Arch], archs: Sequence[Arch], name: str) -> FloatArray:
    """Give the `(n, f)` columns of which something is known.

    Raises:
        InvalidValueError: as `columns_of`, or every value is NaN.
    """
    columns = columns_of(measure, archs, name)
    known = np.isfinite(columns).any(axis=0)
    if len(archs) and not known.any():
        raise InvalidValueError(
            f"`{name}` of the knowledge must be known for some of the {len(archs)} architectures, "
            f"but is for none: were its keys those of another space?"
        )
    return columns[:, known] if len(archs) else columns


def _is_value(space: object) -> bool:
    """Tell whether settings are all that there is to a space, so that equal ones have equal lists.

    Of a function of the user's they are not: what it reads beside them, as a global variable of a
    notebook, may change between two studies.
    """
    settings = getattr(getattr(space, "wrapped", space), "__dataclass_params__", None)
    if settings is None or not settings.frozen:
        return False
    try:
        hash(space)
    except TypeError:
        return False
    return True


@lru_cache(maxsize=2)
def _classes(space: SearchSpace[Arch]) -> Sequence[tuple[str, Arch]] | None:
    """List the classes of a space by key and representative, None if it has too many.

    Studies of one process share the list of a space that is a value.
    """
    members = members_of(space, LARGEST_LISTED)
    if members is None:
        return None
    classes: dict[str, Arch] = {}
    for arch in members:
        if space.is_valid(arch):
            key = space.canonical_key(arch)
            if key not in classes:
                classes[key] = space.representative(arch)
    return list(classes.items())
