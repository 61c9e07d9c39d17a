"""Another prediction as a column of a linear model: of another cost, device or predictor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, Self

import numpy as np

from hwnas.costs.predictor_source import make_predictor
from hwnas.errors import InvalidValueError
from hwnas.evaluation.sources import Effort
from hwnas.files.npz import Arrays
from hwnas.files.predictor_columns import nested, unnested
from hwnas.files.predictor_file import PredictorFile
from hwnas.typing import Arch, FloatArray, SearchSpace
from hwnas_predictors.power_transform import transform


class Beside(Protocol[Arch]):
    """A predictor that can be kept in the file of another one."""

    @property
    def space(self) -> SearchSpace[Arch]:
        """Search space of `predict`."""

    def predict(self, archs: Sequence[Arch]) -> FloatArray:
        """Give `(n,)` costs."""

    def to_file(self) -> PredictorFile:
        """Give the content of a predictor file."""


@dataclass(frozen=True, eq=False)
class Companion(Generic[Arch]):
    """What another predictor says, over its mean; its transform is that of the costs.

    Attributes:
        predictor: predictor of positive costs in the same space.
        centre: its mean prediction of the architectures that were measured.
    """

    predictor: Beside[Arch]
    centre: float

    @classmethod
    def of(cls, predictor: Beside[Arch], space: SearchSpace[Arch], archs: Sequence[Arch]) -> Self:
        """Scale predictions to `(s,)` measured architectures.

        Raises:
            InvalidValueError: the predictor is of another space, of no device yet, or predicts
                something else than positive costs.
        """
        if repr(predictor.space) != repr(space):
            raise InvalidValueError(
                f"`companion` must predict networks of {space!r}, but got a predictor for "
                f"{predictor.space!r}: adapt or build one for this space."
            )
        found = predictor.predict(archs)
        if not (found > 0).all():
            raise InvalidValueError(
                f"`companion` must predict positive costs, but got {found.min():g}: leave it out."
            )
        return cls(predictor, float(found.mean()))

    def __call__(self, archs: Sequence[Arch], power: float) -> FloatArray:
        """Give the `(n, 1)` column, with the transform of this power."""
        ratios = np.asarray(self.predictor.predict(archs)) / self.centre
        return transform(np.maximum(ratios, np.finfo(np.float64).tiny), power)[:, None]

    @property
    def effort(self) -> Effort:
        """How costly a prediction is; a look-up if the predictor does not say."""
        found: Effort = getattr(self.predictor, "effort", Effort.LOOKUP)
        return found

    def unscored(self, archs: Sequence[Arch]) -> list[Arch]:
        """Give the architectures that it cannot predict, since a proxy has no entry for them."""
        found: Any = getattr(self.predictor, "unscored", None)
        return [] if found is None else list(found(archs))

    def to_parts(self, name: str) -> tuple[dict[str, Any], dict[str, Any]]:
        """Give a header as a JSON value and arrays, which begin with a name, for a file."""
        header, arrays = nested(self.predictor.to_file(), name)
        return header, {**arrays, f"{name}_centre": np.array(self.centre)}

    @classmethod
    def from_parts(
        cls, file: PredictorFile, header: dict[str, Any], name: str
    ) -> tuple[Self, Arrays]:
        """Make what `to_parts` gave, and give the other arrays of the file.

        Raises:
            ValueError: the mean is not positive.
            DataFormatError: the predictor lacks something.
        """
        inner, arrays = unnested(file, header, name)
        centre = float(arrays[f"{name}_centre"])
        if not centre > 0:
            raise ValueError(f"the mean of its companion is {centre}")
        made: Any = make_predictor(inner)
        return cls(made, centre), arrays
