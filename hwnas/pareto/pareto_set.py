"""The result of a search: members of the Pareto set, all evaluated points and their origin."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from hwnas import registry
from hwnas.errors import InvalidValueError
from hwnas.pareto.baseline import Baseline
from hwnas.pareto.metrics import is_non_dominated, normalise, to_losses
from hwnas.pareto.provenance import plain
from hwnas.spaces.space_text import written_space
from hwnas.typing import Arch, Direction, FloatArray, SearchSpace

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

Status = Literal["complete", "infeasible", "failed", "pruned"]


@dataclass(frozen=True)
class ObjectiveInfo:
    """What a column of values means.

    Attributes:
        name: name with its unit, e.g. ``edgegpu_energy_mj``.
        unit: unit of the values; empty for a plain number.
        direction: which values are better.
    """

    name: str
    unit: str = ""
    direction: Direction = "minimize"

    def __post_init__(self) -> None:
        """Refuse other directions."""
        if self.direction not in ("minimize", "maximize"):
            raise InvalidValueError(
                f"`direction` must be minimize or maximize, but got {self.direction!r}."
            )

    def __str__(self) -> str:
        """Give name, unit and an arrow: down for values to minimise."""
        arrow = "↓" if self.direction == "minimize" else "↑"
        return f"{self.name}{f' ({self.unit})' if self.unit else ''} {arrow}"


@dataclass(frozen=True)
class Member:
    """An architecture of the Pareto set.

    Attributes:
        arch: text of the architecture; `space.parse` reads it.
        key: canonical key.
        values: `(m,)` finite objective values as the user knows them, not as losses.
        attributes: anything else worth keeping, JSON values.
    """

    arch: str
    key: str
    values: tuple[float, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Evaluated:
    """An architecture that the search evaluated, whatever came out.

    Attributes:
        arch: text of the architecture.
        key: canonical key.
        values: `(m,)` objective values; None where there is none.
        status: `complete`, `infeasible` (a constraint is violated), `failed` (a value is missing)
            or `pruned` (its training was stopped by a pruner of a user's study).
    """

    arch: str
    key: str
    values: tuple[float | None, ...]
    status: Status


@dataclass(frozen=True, repr=False)
class ParetoSet:
    """Non-dominated architectures, the best of the first objective first.

    A notebook shows its first members as a table.

    Example:
        >>> front = ParetoSet.from_values(
        ...     ["small", "large", "worse"], ["s", "l", "w"], [[0.7, 1.5], [0.9, 4.0], [0.8, 5.0]],
        ...     [ObjectiveInfo("score", "", "maximize"), ObjectiveInfo("cpu_latency_ms", "ms")],
        ...     space="mine",
        ... )
        >>> front
        <ParetoSet: 2 of 3 evaluated of mine; score ↑ 0.7 to 0.9, cpu_latency_ms (ms) ↓ 1.5 to 4>
        >>> front.select(maximize="score", where="latency<=2").arch
        'small'
        >>> front.to_dataframe()["cpu_latency_ms"].tolist()
        [4.0, 1.5]

    Attributes:
        space: `repr` of the search space.
        objectives: `(m,)` meaning of the values.
        members: the Pareto set, one member a canonical key.
        provenance: versions, host, seed, data, settings and counts, JSON values.
        evaluated: all evaluated architectures in their order, or empty if they were not kept.
        baseline: the user's present network, which the members are compared with; None without.
    """

    space: str
    objectives: tuple[ObjectiveInfo, ...]
    members: tuple[Member, ...]
    provenance: Mapping[str, Any] = field(default_factory=dict)
    evaluated: tuple[Evaluated, ...] = ()
    baseline: Baseline | None = None

    def __post_init__(self) -> None:
        """Check the objectives' names and the width of each row."""
        names = [objective.name for objective in self.objectives]
        if not names or len(set(names)) < len(names):
            raise InvalidValueError(
                f"`objectives` must be at least one and have different names, but got {names}."
            )
        rows: tuple[Member | Evaluated, ...] = (*self.members, *self.evaluated)
        for row in rows:
            if len(row.values) != len(names):
                raise InvalidValueError(
                    f"`values` must have {len(names)} entries, one an objective, but got "
                    f"{len(row.values)} for {row.arch!r}."
                )
        if self.baseline is not None and len(self.baseline.values) != len(names):
            raise InvalidValueError(
                f"`values` must have {len(names)} entries, one an objective, but got "
                f"{len(self.baseline.values)} for {self.baseline.name!r}."
            )

    def __len__(self) -> int:
        """Count the members."""
        return len(self.members)

    @classmethod
    def from_values(
        cls,
        archs: Sequence[object],
        keys: Sequence[str],
        values: npt.ArrayLike,
        objectives: Sequence[ObjectiveInfo],
        *,
        space: SearchSpace[Arch] | str,
        statuses: Sequence[Status] | None = None,
        attributes: Sequence[Mapping[str, Any]] | None = None,
        provenance: Mapping[str, Any] | None = None,
    ) -> ParetoSet:
        """Keep the non-dominated of the evaluated architectures.

        Infeasible rows and rows with a NaN or an infinity cannot be members. Of several rows
        with one canonical key the first usable one counts: taking the best of repeated
        measurements would favour what was measured often. Members with equal values all stay.

        Args:
            archs: `(n,)` architectures, whose texts are kept.
            keys: `(n,)` canonical keys.
            values: `(n, m)` objective values in the users' directions.
            objectives: `(m,)` meaning of the columns.
            space: the search space, or its text. One that is not registered is opened again
                by ``--space MODULE:CLASS``.
            statuses: `(n,)` outcomes; by default `failed` where a value is not finite and
                `complete` elsewhere.
            attributes: `(n,)` further values of each architecture.
            provenance: what is known of the origin; it is added to the counts `evaluated`,
                `failed`, `infeasible` and `repeated` of these rows, `pruned` where any is, and
                `failures`, how often each of the `errors` of failed rows occurs, and overrides
                them.

        Returns:
            The Pareto set; without members if no row is usable.

        Raises:
            InvalidValueError: the lengths differ or an objective's name occurs twice.
        """
        n = len(archs)
        losses = to_losses(values, [objective.direction for objective in objectives])
        table = np.asarray(values, dtype=np.float64).reshape(losses.shape)
        details = [{}] * n if attributes is None else attributes
        given: Sequence[Status] = ["complete"] * n if statuses is None else statuses
        lengths = {n, len(keys), len(table), len(details), len(given)}
        if len(lengths) > 1:
            raise InvalidValueError(
                f"`archs`, `keys`, `values`, `statuses` and `attributes` must have one row an "
                f"architecture, but their lengths are {sorted(lengths)}."
            )
        complete = [bool(np.isfinite(row).all()) for row in table]
        evaluated = tuple(
            Evaluated(str(a), k, tuple(plain(row.tolist())), _status(s, has_all))
            for a, k, row, s, has_all in zip(archs, keys, table, given, complete, strict=True)
        )
        usable = [i for i, e in enumerate(evaluated) if e.status == "complete"]
        first = list({evaluated[i].key: i for i in reversed(usable)}.values())
        best = [i for i, flag in zip(first, is_non_dominated(losses[first]), strict=True) if flag]
        best.sort(key=lambda i: (*losses[i].tolist(), evaluated[i].key))
        failures = Counter(
            f"{name}: {why}"
            for e, detail in zip(evaluated, details, strict=True)
            if e.status == "failed"
            for name, why in detail.get("errors", {}).items()
        )
        counts = {
            "evaluated": n,
            "failed": sum(e.status == "failed" for e in evaluated),
            "infeasible": sum(e.status == "infeasible" for e in evaluated),
            **({"pruned": pruned} if (pruned := [*given].count("pruned")) else {}),
            "repeated": len(usable) - len(first),
            **({"failures": dict(failures.most_common())} if failures else {}),
        }
        return cls(
            space=space if isinstance(space, str) else written_space(space),
            objectives=tuple(objectives),
            members=tuple(
                Member(str(archs[i]), keys[i], tuple(table[i].tolist()), plain(details[i]))
                for i in best
            ),
            provenance=plain({**counts, **(provenance or {})}),
            evaluated=evaluated,
        )

    @classmethod
    def from_study(
        cls,
        study: Any,
        provenance: Mapping[str, Any] | None = None,
        *,
        space: SearchSpace[Any] | None = None,
    ) -> ParetoSet:
        """Make the set of the finished trials of an Optuna study.

        Args:
            study: an `optuna.Study` that ran a `hwnas_optuna.HardwareAwareObjective`, or any other
                objective over the parameters of `space`.
            provenance: what is to be kept beside versions, host and the study's name.
            space: search space of trials of another objective, whose parameters say their
                architectures; other parameters are attributes of the members.

        Raises:
            InvalidValueError: a completed trial has no architecture.
        """
        make = registry.load("hosts", "optuna")().from_study
        pareto_set: ParetoSet = make(study, provenance, space)
        return pareto_set

    @classmethod
    def from_nni(
        cls, experiment: Any, objectives: Mapping[str, Direction] | None = None
    ) -> ParetoSet:
        """Make the set of the trials of an NNI experiment.

        Args:
            experiment: a `NasExperiment` or another experiment of NNI, or the folder of one that
                has ended, e.g. ``~/nni-experiments/ab12cd34``.
            objectives: direction of each metric; known where a `ParetoStrategy` is at hand.

        Raises:
            InvalidValueError: the objectives are not known.
            DataNotFoundError: the folder holds no data base.
        """
        make = registry.load("hosts", "nni")().from_experiment
        pareto_set: ParetoSet = make(experiment, objectives)
        return pareto_set

    @property
    def directions(self) -> tuple[Direction, ...]:
        """`(m,)` directions of the objectives."""
        return tuple(objective.direction for objective in self.objectives)

    def values(self) -> FloatArray:
        """Give the front: `(n, m)` values of the members."""
        table = np.array([member.values for member in self.members], dtype=np.float64)
        return table.reshape(len(self), len(self.objectives))

    def losses(self) -> FloatArray:
        """Give the front as `(n, m)` losses: maximised objectives negated."""
        return to_losses(self.values(), self.directions)

    def knee(self) -> Member:
        """Pick a compromise: the member nearest to the ideal point.

        Losses are scaled to [0, 1] over the members, so the pick depends on the extent of the
        front; the ideal point has the best value of each objective. The first of equals wins.

        Raises:
            InvalidValueError: the set has no members.
        """
        if not self.members:
            raise InvalidValueError("`members` must not be empty: an empty set has no knee.")
        losses = self.losses()
        scaled = normalise(losses, losses.min(axis=0), losses.max(axis=0))
        return self.members[int(np.argmin(np.linalg.norm(scaled, axis=1)))]

    def select(
        self,
        *,
        maximize: str | None = None,
        minimize: str | None = None,
        where: str | Sequence[str] = (),
    ) -> Member:
        """Give the best member within bounds, e.g. the highest score under 2 ms.

        Names are those of objectives, in full (``cpu_latency_ms``) or by their metric
        (``latency``), or of the members' attributes (``params``).

        Args:
            maximize: what the member has most of; or
            minimize: what it has least of.
            where: bounds such as ``latency<=2``, in the objective's unit.

        Raises:
            UnknownNameError: there are no such numbers.
            InvalidValueError: no member is within the bounds, or a bound has another form.
        """
        from hwnas.pareto.selection import select

        return select(self, maximize, minimize, where)

    def to_dataframe(self, *, evaluated: bool = False) -> pd.DataFrame:
        """Give a table of pandas: a row a member, in the order of the set.

        Args:
            evaluated: a row each evaluated architecture instead, with `status` and `on_front`.

        Returns:
            A column an objective, `architecture`, `key`, and a column an attribute, named as in the
            CSV, without attributes that repeat an objective.
        """
        from hwnas.pareto.display import evaluated_table, members_table

        return evaluated_table(self) if evaluated else members_table(self)

    def plot(self) -> go.Figure:
        """Draw each pair of objectives, with what is dominated behind the members.

        Returns:
            A figure of plotly, which a notebook shows; ``write_html("front.html")`` writes a page.
        """
        from hwnas.pareto.plot import plot

        return plot(self)

    def __repr__(self) -> str:
        """Say in a line what is there; `to_dataframe` and `members` hold everything."""
        from hwnas.pareto.display import one_line

        return one_line(self)

    def _repr_html_(self) -> str:
        """Show the first members in a notebook."""
        from hwnas.pareto.display import table_html

        return table_html(self)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the set as JSON; see `hwnas.pareto.json_csv.write_json`."""
        from hwnas.pareto.json_csv import write_json

        write_json(self, path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> ParetoSet:
        """Read a set written by `save`; see `hwnas.pareto.json_csv.read_json`."""
        from hwnas.pareto.json_csv import read_json

        return read_json(path)


def _status(given: Status, has_all: bool) -> Status:
    return "failed" if given == "complete" and not has_all else given
