"""The costs ``predictor:FILE``: predictors that `hwnas predict` wrote."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, cast, runtime_checkable

import numpy as np

from hwnas import registry
from hwnas.costs.published import provenance_of
from hwnas.costs.source import CostOption, CostRequest
from hwnas.errors import InvalidValueError
from hwnas.files.named_column import file_and_column
from hwnas.files.predictor_columns import read_column
from hwnas.files.predictor_file import ANY_SPACE, PredictorFile, insist_on_whole
from hwnas.seeding import derive_seed
from hwnas.tasks.task import Task
from hwnas.typing import Arch, CostModel, Predictor, SearchSpace

_DRAWN = 100


@runtime_checkable
class NetworkCost(Protocol):
    """A predictor that looks at networks, whatever their space."""

    def for_networks(self, space: SearchSpace[Arch], task: Task) -> CostModel[Arch]:
        """Give the cost of a space's networks for a task."""


@runtime_checkable
class ScoreReader(Protocol):
    """A predictor that looks up zero-cost scores of the architectures."""

    def unscored(self, archs: Sequence[Any]) -> list[Any]:
        """Give the architectures that have no scores."""


def make_predictor(file: PredictorFile) -> Predictor[Any]:
    """Make the predictor of a file's content.

    Raises:
        UnknownNameError: its kind is not known.
        DataFormatError: an array or a setting is missing or unfit.
    """
    kind = registry.load("predictors", file.kind)
    with insist_on_whole(file):
        return cast(Predictor[Any], kind.from_file(file))


class PredictorSource:
    """Predictor files as costs: a `FileCostSource`."""

    def options(self) -> list[CostOption]:
        """List nothing: what there is stands in the files."""
        return []

    def make(self, request: object) -> CostModel[Any]:
        """Refuse: a file must be named."""
        raise InvalidValueError(f"`cost` must be predictor:FILE, but got {request!r}.")

    def open(self, file: Path, request: CostRequest) -> CostModel[Any]:
        """Read a predictor, ``FILE:COLUMN`` where the file holds several costs.

        One for any network predicts those of the request.

        Raises:
            DataNotFoundError: there is no such file.
            DataFormatError: the file is something else.
            UnknownNameError: the file has no such column.
            InvalidValueError: the predictor is for another space, for no device yet, or knows
                scores of a part of the space alone; or no column is named and there are several.
        """
        content = read_column(file)
        if content.facts.space != ANY_SPACE:
            content.require(space=repr(request.space))
        if content.facts.device.device == "any":
            raise InvalidValueError(
                f"`cost` must be a predictor of one device, but {str(file)!r} holds a pool: adapt "
                f"it with `hwnas predict adapt --model {file}`."
            )
        predictor = make_predictor(content)
        cost: CostModel[Any] = predictor
        if isinstance(predictor, NetworkCost):
            cost = predictor.for_networks(request.space, request.task)
        elif isinstance(predictor, ScoreReader):
            _insist_on_scores(predictor, request.space, file)
        # A study tells by it a file that has been written anew.
        own = provenance_of("predictor", file_and_column(file)[0])
        object.__setattr__(cost, "provenance", own)  # it may be frozen
        return cost


def _insist_on_scores(predictor: ScoreReader, space: SearchSpace[Arch], file: Path) -> None:
    """Refuse a predictor that most evaluations of a search would fail with."""
    # Not the draws of `hwnas score --sample`.
    rng = np.random.default_rng(derive_seed(0, repr(space), "scores"))
    drawn = [arch for arch in (space.sample(rng) for _ in range(_DRAWN)) if space.is_valid(arch)]
    if missing := predictor.unscored(drawn):
        raise InvalidValueError(
            f"`cost` must be a predictor of all architectures, but {str(file)!r} has no zero-cost "
            f"scores of {len(missing)} of {len(drawn)} random ones, e.g. {missing[0]}: score the "
            f"whole space and train again with the table, or search without these scores."
        )
