from __future__ import annotations

from pathlib import Path

import pytest

import hwnas
from hwnas.errors import InvalidValueError, UnknownNameError


def test_the_front_of_the_whole_space_without_a_trial() -> None:
    front = hwnas.search(objectives="naswot", costs="count:params", trials=0, note=print)
    assert front.provenance["evaluated"] > 5000
    # The largest naswot of all is a member, and so is the network with the fewest parameters.
    best = max(row.values[0] for row in front.evaluated if row.values[0] is not None)
    least = min(row.values[1] for row in front.evaluated if row.values[1] is not None)
    assert front.members[0].values[0] == best
    assert front.members[-1].values[1] == least


def test_bounds_hold() -> None:
    front = hwnas.search(
        objectives="naswot", costs="count:params", constraints="params<=3e5", trials=0, note=print
    )
    assert front.provenance["infeasible"] > 0
    assert max(member.values[1] for member in front.members) <= 3e5


def test_a_ready_made_score_is_the_default_and_the_results_are_written(tmp_path: Path) -> None:
    front = hwnas.search(costs="count:params", trials=0, out=tmp_path / "out", note=print)
    assert front.objectives[0].name == "hwnas-any"
    assert {path.name for path in (tmp_path / "out").iterdir()} >= {"front.json", "report.html"}


@pytest.mark.data
@pytest.mark.usefixtures("data_folder")
def test_published_accuracies_rate_it() -> None:
    told: list[str] = []
    front = hwnas.search(costs="hw-nas-bench:edgegpu:latency", trials=0, note=told.append)
    assert front.provenance["no_trials"]["tight_hypervolume"] > 0.95
    assert any("tight hypervolume 0.9" in line for line in told)


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"space": "mobilenetv2"}, InvalidValueError, "must be at least 1 for mobilenetv2"),
        ({"space": "nasbench201:cells=1"}, InvalidValueError, "with other settings"),
        ({"costs": "onnxruntime:cpu:latency"}, InvalidValueError, "known without a trial"),
        ({"objectives": "dextr"}, UnknownNameError, "dextr"),
    ],
)
def test_what_is_not_known_beforehand_is_refused(
    options: dict[str, str], error: type[Exception], match: str
) -> None:
    with pytest.raises(error, match=match):
        hwnas.search(**{"costs": "count:params", "trials": 0, **options})  # type: ignore[arg-type]
