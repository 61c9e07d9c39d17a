from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock, Timeout

from hwnas.errors import HwnasError, InvalidValueError
from hwnas.evaluation.cache import ResultCache
from hwnas.evaluation.evaluator import Evaluator
from hwnas.evaluation.objectives import ValueObjective
from hwnas.evaluation.sources import Effort
from hwnas.measure.resource_lock import lock_file
from hwnas.spaces.nasbench201 import Cell, NasBench201
from hwnas.tables.result import Result
from hwnas.typing import Constraint, Direction

SPACE = NasBench201()
POOLS = Cell(("avg_pool_3x3",) * 6)
SKIPS = Cell(("skip_connect",) * 6)
CONVS = Cell(("nor_conv_3x3",) * 6)
# The two middle nodes of a NAS-Bench-201 cell: one chain through node 1, one through node 2.
VIA_1 = Cell(("nor_conv_1x1", "none", "none", "none", "nor_conv_3x3", "none"))
VIA_2 = Cell(("none", "nor_conv_1x1", "none", "none", "none", "nor_conv_3x3"))


@dataclass(frozen=True)
class Counting:
    """Counts one operation, and how often it was asked."""

    operation: str
    effort: Effort = Effort.SCORE
    resource: str | None = None
    cached: bool = True
    calls: list[str] = field(default_factory=list, compare=False)

    @property
    def label(self) -> str:
        return self.operation

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.operation,)

    def cache_prefix(self, column: str) -> str | None:
        return f"counting {column}" if self.cached else None

    def precomputed(self, column: str, key: str) -> Result | None:
        del column, key
        return None

    def compute(self, arch: Cell, columns: Sequence[str]) -> dict[str, Result]:
        assert tuple(columns) == self.columns
        self.calls.append(str(arch))
        return {self.operation: Result(float(arch.operations.count(self.operation)))}


@dataclass(frozen=True)
class Failing(Counting):
    def compute(self, arch: Cell, columns: Sequence[str]) -> dict[str, Result]:
        raise HwnasError(f"cannot do {columns[0]} of {arch.operations[0]}")


def objective(source: Counting, direction: Direction = "minimize") -> ValueObjective[Cell]:
    return ValueObjective(source.operation, "", direction, source, source.columns)


def test_values_come_in_the_order_that_was_asked_for() -> None:
    source = Counting("nor_conv_3x3")
    evaluator = Evaluator(SPACE, [objective(source)])
    found = evaluator.evaluate([CONVS, POOLS, CONVS])
    assert [e.values["nor_conv_3x3"] for e in found] == [6.0, 0.0, 6.0]
    assert len(source.calls) == 2


def test_one_class_is_computed_once_but_an_uncached_table_sees_every_cell() -> None:
    assert SPACE.canonical_key(VIA_1) == SPACE.canonical_key(VIA_2)
    cached, table = Counting("nor_conv_1x1"), Counting("none", Effort.LOOKUP, cached=False)
    Evaluator(SPACE, [objective(cached), objective(table)]).evaluate([VIA_1, VIA_2])
    assert len(cached.calls) == 1
    assert len(table.calls) == 2


def test_what_is_cached_is_not_computed_again(tmp_path: Path) -> None:
    for expected in (2, 0):
        with ResultCache(tmp_path / "c.sqlite") as cache:
            source = Counting("nor_conv_3x3")
            found = Evaluator(SPACE, [objective(source)], cache=cache).evaluate([CONVS, POOLS])
            assert len(source.calls) == expected
            assert [e.values["nor_conv_3x3"] for e in found] == [6.0, 0.0]


@dataclass(frozen=True)
class Renamed(Counting):
    def former_prefixes(self, column: str) -> Sequence[str]:
        return (f"newer {column}", f"older {column}")


def test_what_earlier_versions_cached_is_found(tmp_path: Path) -> None:
    with ResultCache(tmp_path / "c.sqlite") as cache:
        keys = [SPACE.canonical_key(cell) for cell in (CONVS, POOLS)]
        cache.put({f"older nor_conv_3x3|{keys[0]}": Result(60.0)})
        cache.put({f"newer nor_conv_3x3|{keys[0]}": Result(61.0)})
        cache.put({f"older nor_conv_3x3|{keys[1]}": Result(62.0)})
        source = Renamed("nor_conv_3x3")
        found = Evaluator(SPACE, [objective(source)], cache=cache).evaluate([CONVS, POOLS, SKIPS])
    assert [e.values["nor_conv_3x3"] for e in found] == [61.0, 62.0, 0.0]
    assert len(source.calls) == 1


def test_infeasible_architectures_never_reach_a_costlier_source() -> None:
    cheap = Counting("avg_pool_3x3", Effort.LOOKUP, cached=False)
    costly = Counting("skip_connect", Effort.MEASURE)
    bound = Constraint(objective(cheap), "<=", 2.0)
    evaluator = Evaluator(SPACE, [objective(costly)], [bound])
    pools, skips = evaluator.evaluate([POOLS, SKIPS])
    assert costly.calls == [str(SKIPS)]
    assert pools.status == "infeasible"
    assert pools.violations == {str(bound): 4.0}
    assert pools.values == {}
    assert skips.status == "complete"


def test_a_network_that_ignores_its_input_is_infeasible_unless_it_is_asked_for() -> None:
    nothing = Cell(("none",) * 6)
    source = Counting("none")
    (refused,) = Evaluator(SPACE, [objective(source)]).evaluate([nothing])
    assert refused.status == "infeasible"
    assert source.calls == []
    (taken,) = Evaluator(SPACE, [objective(source)], require_valid=False).evaluate([nothing])
    assert taken.values == {"none": 6.0}


def test_a_lower_bound_and_a_missing_value_are_violations() -> None:
    source = Counting("avg_pool_3x3")
    lower = Constraint(objective(source), ">=", 1.0)
    assert lower.violation(0.0) == 1.0
    assert lower.violation(3.0) == -2.0
    assert lower.violation(math.nan) == math.inf


def test_a_failure_is_kept_with_its_reason_and_does_not_stop_others() -> None:
    good = Counting("skip_connect")
    evaluator = Evaluator(SPACE, [objective(Failing("none")), objective(good, "maximize")])
    (evaluation,) = evaluator.evaluate([SKIPS])
    assert evaluation.status == "failed"
    assert evaluation.errors == {"none": "cannot do none of skip_connect"}
    assert evaluation.values["skip_connect"] == 6.0
    losses = evaluator.losses([evaluation])
    np.testing.assert_array_equal(losses, [[np.nan, -6.0]])


def test_a_missing_cheap_value_saves_the_costlier_ones() -> None:
    cheap = Failing("none", Effort.LOOKUP, cached=False)
    costly = Counting("skip_connect", Effort.MEASURE)
    evaluator = Evaluator(SPACE, [objective(costly), objective(cheap)])
    (evaluation,) = evaluator.evaluate([SKIPS])
    assert evaluation.status == "failed"
    assert costly.calls == []
    np.testing.assert_array_equal(evaluator.losses([evaluation]), [[np.nan, np.nan]])


@pytest.mark.parametrize("jobs", [1, 2])
def test_processes_do_not_change_the_result(jobs: int) -> None:
    cells = [CONVS, POOLS, SKIPS, VIA_1]
    evaluator = Evaluator(SPACE, [objective(Counting("nor_conv_3x3"))], jobs=jobs)
    assert [e.values["nor_conv_3x3"] for e in evaluator.evaluate(cells)] == [6.0, 0.0, 0.0, 1.0]


def test_finished_values_survive_an_interruption(tmp_path: Path) -> None:
    class InterruptionError(Exception):
        pass

    def stop(label: str, finished: int, total: int) -> None:
        del label, total
        if finished == 2:
            raise InterruptionError

    path = tmp_path / "c.sqlite"
    cells = [CONVS, POOLS, SKIPS]
    with ResultCache(path) as cache:
        evaluator = Evaluator(
            SPACE, [objective(Counting("nor_conv_3x3"))], cache=cache, report=stop
        )
        with pytest.raises(InterruptionError):
            evaluator.evaluate(cells)
    with ResultCache(path) as cache:
        source = Counting("nor_conv_3x3")
        Evaluator(SPACE, [objective(source)], cache=cache).evaluate(cells)
        assert source.calls == [str(SKIPS)]


def test_bad_settings_are_refused() -> None:
    same = objective(Counting("none"))
    with pytest.raises(InvalidValueError, match="different names"):
        Evaluator(SPACE, [same, same])
    with pytest.raises(InvalidValueError, match="at least one"):
        Evaluator(SPACE, [])
    with pytest.raises(InvalidValueError, match="jobs"):
        Evaluator(SPACE, [same], jobs=0)


@dataclass(frozen=True)
class Measuring(Counting):
    """Tells whether its resource is held while it computes."""

    effort: Effort = Effort.MEASURE
    resource: str | None = "bench for test_evaluator"

    def compute(self, arch: Cell, columns: Sequence[str]) -> dict[str, Result]:
        with pytest.raises(Timeout):
            FileLock(lock_file(str(self.resource))).acquire(timeout=0)
        return super().compute(arch, columns)


def test_a_measurement_holds_its_resource() -> None:
    source = Measuring("nor_conv_3x3")
    assert Evaluator(SPACE, [objective(source)])(CONVS).values == {"nor_conv_3x3": 6.0}
    with FileLock(lock_file(str(source.resource))).acquire(timeout=0):
        pass


def test_a_measurement_that_fails_frees_its_resource() -> None:
    source = Failing("nor_conv_3x3", Effort.MEASURE, resource="bench for test_evaluator")
    assert Evaluator(SPACE, [objective(source)])(CONVS).status == "failed"
    with FileLock(lock_file(str(source.resource))).acquire(timeout=0):
        pass
