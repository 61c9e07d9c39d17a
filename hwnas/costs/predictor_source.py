"""The costs ``predictor:FILE``: predictors that `hwnas predict` wrote."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol, cast, runtime_checkable

from hwnas import registry
from hwnas.costs.predictor_file import (
    ANY_SPACE,
    PredictorFile,
    insist_on_whole,
    read_predictor_file,
)
from hwnas.costs.source import CostOption, CostRequest
from hwnas.data.datasets import Dataset
from hwnas.errors import InvalidValueError
from hwnas.typing import CostModel, Predictor, SearchSpace


@runtime_checkable
class NetworkCost(Protocol):
    """A predictor that looks at networks, whatever their space."""

    def for_networks(self, space: SearchSpace[Any], dataset: Dataset) -> CostModel[Any]:
        """Give the cost of a space's networks for a data set."""


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
        """Read a predictor; one for any network predicts those of the request.

        Raises:
            DataNotFoundError: there is no such file.
            DataFormatError: the file is something else.
            InvalidValueError: the predictor is for another space, or for no device yet.
        """
        content = read_predictor_file(file)
        if content.facts.space != ANY_SPACE:
            content.require(space=repr(request.space))
        if content.facts.device.device == "any":
            raise InvalidValueError(
                f"`cost` must be a predictor of one device, but {str(file)!r} holds a pool: adapt "
                f"it with `hwnas predict adapt --model {file}`."
            )
        predictor = make_predictor(content)
        if isinstance(predictor, NetworkCost):
            return predictor.for_networks(request.space, request.dataset)
        return predictor
