"""What every predictor of one device has: facts, files, and costs that are checked."""

from __future__ import annotations

import hashlib
import os
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Generic, Self

import numpy as np
import numpy.typing as npt

from hwnas.errors import InvalidValueError, unknown_name
from hwnas.evaluation.sources import Effort
from hwnas.files.predictor_file import (
    Facts,
    PredictorFile,
    insist_on_whole,
    read_predictor_file,
)
from hwnas.spaces.space_text import read_space
from hwnas.typing import Arch, DeviceKey, Direction, FloatArray, SearchSpace
from hwnas_predictors.extra_columns import ExtraColumns, Scores, check_names

ANY_DEVICE = DeviceKey("any")
_TRIED = 2
_ROWS = "learned_rows"
_FEWEST_COSTS = 2


class DevicePredictor(ABC, Generic[Arch]):
    """Predicts a cost of a space's architectures on one device, and can be kept in a file.

    Args:
        space: search space.
        metric: what is counted.
        unit: unit of the costs.
        direction: which costs are better.
        extra: counts and proxies whose values are features too, e.g. ``("macs", "jacob_cov")``: a
            proxy in `scores`, else a count of `hwnas.costs.counters`, else a proxy whose scores
            ship with hwnas.
        dataset: data set whose classes and image size the networks of these features are for.
        scores: by name of a proxy, the score by canonical key.
        data: text that tells the data that is learned from, kept in files.
    """

    kind: ClassVar[str]
    """What files call it."""
    settings: ClassVar[tuple[str, ...]]
    """Names of its own arguments, which are attributes and JSON values."""
    power: float = 0.0
    """Exponent of the transform that costs and counts get; 0 takes logarithms."""

    def __init__(
        self,
        space: SearchSpace[Arch],
        metric: str,
        unit: str,
        direction: Direction,
        *,
        extra: Sequence[str],
        dataset: str,
        scores: Scores | None,
        data: str,
    ) -> None:
        self.space, self.metric, self.unit, self.data = space, metric, unit, data
        self.direction: Direction = direction
        self.extra, self.dataset, self.scores = extra, dataset, scores
        self.device = ANY_DEVICE
        self._extra: ExtraColumns[Arch] | None = None
        self._learned: dict[str, Any] | None = None
        self._rows: npt.NDArray[np.uint64] = _digests(())

    def _note_rows(self, archs: Sequence[Arch]) -> None:
        """Note the architectures whose costs a device's predictor learned from."""
        self._rows = _digests(archs)

    def _add_rows(self, archs: Sequence[Arch]) -> None:
        """Note further ones, in this object alone."""
        self._rows = np.concatenate([self._rows, _digests(archs)])

    def learned_from(self, archs: Sequence[Arch]) -> npt.NDArray[np.bool_]:
        """Tell which of `(n,)` architectures the device's costs were learned from.

        Predictors of files that an earlier version wrote know of none.
        """
        found: npt.NDArray[np.bool_] = np.isin(_digests(archs), self._rows)
        return found

    @abstractmethod
    def predict(self, archs: Sequence[Arch]) -> FloatArray:
        """Give `(n,)` costs in `unit`."""

    @abstractmethod
    def to_file(self) -> PredictorFile:
        """Give the content of a predictor file."""

    @classmethod
    @abstractmethod
    def _of_file(cls, file: PredictorFile) -> Self:
        """Make the predictor of a file's content, whatever it will say."""

    @classmethod
    def from_file(cls, file: PredictorFile) -> Self:
        """Make the predictor of a file's content, and try it.

        Raises:
            ValueError: it predicts something else than numbers.
        """
        made = cls._of_file(file)
        rng = np.random.default_rng(0)
        archs = [made.space.sample(rng) for _ in range(_TRIED)]
        unscored = made.unscored(archs)
        found = made._try([arch for arch in archs if arch not in unscored])
        if not np.isfinite(found).all():
            raise ValueError("it predicts something else than numbers")
        return made

    def _try(self, archs: Sequence[Arch]) -> FloatArray:
        """Give numbers that are finite if what was learned makes sense."""
        found = self.predict(archs)
        if found.shape != (len(archs),):
            raise ValueError(f"it predicts {found.shape} numbers of {len(archs)} architectures")
        return found

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write what was learned, settings, unit and device key without pickle."""
        self.to_file().write(path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read a file written by `save`; `DataFormatError` if it is not one."""
        file = read_predictor_file(path, cls.kind)
        with insist_on_whole(file):
            return cls.from_file(file)

    def set_device(self, device: DeviceKey) -> None:
        """Name the device that was learned.

        Raises:
            InvalidValueError: its name is ``any``, which marks pools.
        """
        if device.device == ANY_DEVICE.device:
            raise InvalidValueError(
                f"`device` must be the name of one device, but got {device.device!r}, which marks "
                f"a pool of devices."
            )
        self.device = device

    def get_settings(self) -> dict[str, Any]:
        """Give the arguments that are settings by name."""
        return {name: getattr(self, name) for name in ("extra", "dataset", *self.settings)}

    def __repr__(self) -> str:
        """State every setting and the device."""
        settings = ", ".join(f"{k}={v!r}" for k, v in self.get_settings().items())
        return (
            f"{type(self).__name__}({self.space!r}, {self.metric!r}, {self.unit!r}, "
            f"device={self.device!r}, data={self.data!r}, {settings})"
        )

    def get_params(self, deep: bool = True) -> dict[str, Any]:  # noqa: ARG002
        """Give the arguments of the constructor, as scikit-learn's estimators do."""
        names = ("space", "metric", "unit", "direction", "scores", "data")
        return {**{name: getattr(self, name) for name in names}, **self.get_settings()}

    def set_params(self, **params: Any) -> Self:
        """Set arguments of the constructor, as scikit-learn's estimators do.

        Raises:
            UnknownNameError: there is no such argument.
        """
        known = self.get_params()
        for name, value in params.items():
            if name not in known:
                raise unknown_name("params", name, known)
            setattr(self, name, value)
        return self

    def _fit_extra(self, archs: Sequence[Arch]) -> None:
        """Scale the extra columns to architectures that are learned from; note the settings."""
        check_names(self.extra)
        self._extra = (
            ExtraColumns.fit(self.space, archs, self.extra, self.dataset, self.scores, self.power)
            if self.extra
            else None
        )
        self._learned = self.get_settings()

    def _extra_columns(self, archs: Sequence[Arch]) -> FloatArray:
        """Give `(n, c)` extra columns; c is 0 without any."""
        return np.zeros((len(archs), 0)) if self._extra is None else self._extra(archs)

    @property
    def effort(self) -> Effort:
        """A look-up, unless networks are built to be counted."""
        builds = self._extra is not None and self._extra.builds_networks
        return Effort.SCORE if builds else Effort.LOOKUP

    def unscored(self, archs: Sequence[Arch]) -> list[Arch]:
        """Give the architectures that cannot be predicted, since a proxy has no entry for them."""
        return [] if self._extra is None else self._extra.unscored(archs)

    def _file(self, arrays: dict[str, npt.NDArray[Any]], **more: Any) -> PredictorFile:
        """Give a file of arrays, with `more` beside the settings."""
        facts = Facts(
            repr(self.space), self.metric, self.unit, self.direction, self.device, self.data
        )
        # What was learned, whatever was set since.
        settings = {**(self._learned or self.get_settings()), **more, "extra": []}
        if len(self._rows):
            arrays = {**arrays, _ROWS: self._rows}
        if self._extra is not None:
            settings["extra"] = list(self._extra.names)
            arrays = {**arrays, **self._extra.to_arrays()}
        return PredictorFile(self.kind, facts, settings, arrays)

    @classmethod
    def _unfitted(cls, file: PredictorFile, **settings: Any) -> Self:
        """Make a predictor with a file's facts that has learned nothing."""
        if missing := [name for name in cls.settings if name not in settings]:
            raise KeyError(f"the setting {missing[0]} is missing")
        facts = file.facts
        space: SearchSpace[Any] = read_space(facts.space)
        made = cls(space, facts.metric, facts.unit, facts.direction, data=facts.data, **settings)
        made.device, made._learned = facts.device, made.get_settings()
        made._rows = _read_rows(file.arrays)
        if made.extra:
            extra = ExtraColumns.from_arrays(space, made.dataset, made.power, file.arrays)
            if extra.names != tuple(made.extra):
                raise ValueError(f"its extra columns are {extra.names}, not {made.extra}")
            made._extra = extra
            made.scores = {name: extra.scores[name] for name in extra.own} or None
        return made


def _digests(archs: Sequence[Any]) -> npt.NDArray[np.uint64]:
    """Give 64 bits of the text of each architecture."""
    texts = (hashlib.blake2b(str(arch).encode(), digest_size=8).digest() for arch in archs)
    return np.array([int.from_bytes(text) for text in texts], dtype=np.uint64)


def _read_rows(arrays: Mapping[str, npt.NDArray[Any]]) -> npt.NDArray[np.uint64]:
    """Read the digests of a file; `ValueError` if they are something else."""
    rows = arrays.get(_ROWS, _digests(()))
    if rows.ndim != 1 or rows.dtype != np.uint64:
        raise ValueError("its digests of architectures are none")
    return rows


def cost_array(costs: npt.ArrayLike) -> FloatArray:
    """Give costs as numbers.

    Raises:
        InvalidValueError: there are none, there is something else among them, or rows differ in
            length.
    """
    try:
        values = np.asarray(costs, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InvalidValueError(
            f"`costs` must be numbers, as many for every device, but are not: {error}."
        ) from error
    if not values.size:
        raise InvalidValueError(f"`costs` must hold values, but has the shape {values.shape}.")
    return values


def known_costs(
    costs: npt.ArrayLike, n: int, fewest: int = _FEWEST_COSTS
) -> tuple[FloatArray, npt.NDArray[np.bool_]]:
    """Give costs of one device as `(n,)`, and which of them are there.

    Raises:
        InvalidValueError: the shape differs, a cost is not positive, or fewer than `fewest` are
            there.
    """
    values = cost_array(costs)
    if values.shape != (n,):
        raise InvalidValueError(
            f"`costs` must have one value an architecture, ({n},), but got {values.shape}."
        )
    known = ~np.isnan(values)
    wrong = np.flatnonzero(known & ~(np.isfinite(values) & (values > 0)))
    if len(wrong):
        raise InvalidValueError(
            f"`costs` must be positive, but got {values[wrong[0]]} at {wrong[0]}: give NaN where a "
            f"measurement failed."
        )
    if known.sum() < fewest:
        raise InvalidValueError(
            f"`costs` must hold at least {fewest} values, but got {known.sum()} and "
            f"{n - known.sum()} missing ones: measure more architectures."
        )
    return values, known


def device_rows(archs: Sequence[Arch], costs: npt.ArrayLike) -> tuple[list[Arch], FloatArray, bool]:
    """Check the costs of a pool or of one device.

    Args:
        archs: `(n,)` architectures.
        costs: `(d, n)` costs of devices, or `(n,)` of one, NaN where there is none.

    Returns:
        The architectures that a device has a cost of, their costs by device, and whether it is one
        device that was given.

    Raises:
        InvalidValueError: as `known_costs`.
    """
    table = cost_array(costs)
    rows = np.stack([known_costs(row, len(archs))[0] for row in np.atleast_2d(table)])
    there = np.flatnonzero(np.isfinite(rows).any(axis=0)).tolist()
    return [archs[i] for i in there], rows[:, there], table.ndim == 1


def refuse_std(predictor: object, return_std: bool) -> None:
    """Say that a predictor gives no standard deviations if they are wanted.

    Raises:
        InvalidValueError: they are.
    """
    if return_std:
        raise InvalidValueError(
            f"`return_std` must be False, since {type(predictor).__name__} gives costs alone: use "
            f"TransferPredictor for standard deviations."
        )
