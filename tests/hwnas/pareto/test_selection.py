from __future__ import annotations

import pytest

from hwnas.errors import HwnasError
from hwnas.pareto import ObjectiveInfo, ParetoSet

OBJECTIVES = [
    ObjectiveInfo("score", "", "maximize"),
    ObjectiveInfo("cpu_latency_ms", "ms"),
    ObjectiveInfo("gpu_latency_ms", "ms"),
]


def front(rows: int = 3) -> ParetoSet:
    values = [[3.0, 9.0, 2.0], [2.0, 6.0, 1.0], [1.0, 2.0, 1.5]]
    attributes: list[dict[str, object]] = [
        {"params": 50, "trial": 1},
        {"params": 70, "note": "x"},
        {"trial": 2},
    ]
    return ParetoSet.from_values(
        list("abc")[:rows],
        list("abc")[:rows],
        values[:rows],
        OBJECTIVES,
        space="mine",
        attributes=attributes[:rows],
    )


@pytest.mark.parametrize(
    ("settings", "arch"),
    [
        ({"maximize": "score"}, "a"),
        ({"minimize": "cpu_latency_ms"}, "c"),
        ({"minimize": "gpu_latency"}, "b"),
        ({"maximize": "score", "where": "cpu_latency<=6"}, "b"),
        ({"maximize": "score", "where": ["cpu_latency<=6", "gpu_latency_ms>=1.2"]}, "c"),
        ({"maximize": "score", "where": "params<=60"}, "a"),
        ({"maximize": "score", "where": "params>=60"}, "b"),
        ({"minimize": "params"}, "a"),
        ({"maximize": "cpu_latency"}, "a"),
    ],
)
def test_the_best_within_bounds(settings: dict[str, str], arch: str) -> None:
    assert front().select(**settings).arch == arch


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({}, "`maximize` or `minimize` must be given, but got neither"),
        ({"maximize": "score", "minimize": "score"}, "but got both"),
        ({"maximize": "scor"}, "Did you mean 'score'"),
        ({"maximize": "note"}, "`name` must be one of .*params.*but got 'note'"),
        ({"minimize": "latency"}, "cpu_latency_ms, gpu_latency_ms all have that metric"),
        ({"maximize": "score", "where": "cpu_latency<=1"}, "none of 3 has .*: the least is 2"),
        (
            {"maximize": "score", "where": ["cpu_latency<=6", "score>=3"]},
            "none of 2 has score>=3: the greatest is 2",
        ),
        ({"maximize": "score", "where": "cpu_latency<6"}, "NAME<=NUMBER"),
        ({"maximize": "params", "where": "cpu_latency<=2"}, "`params` must have a value in some"),
    ],
)
def test_bad_arguments_are_one_line(settings: dict[str, str], text: str) -> None:
    with pytest.raises(HwnasError, match=text):
        front().select(**settings)


def test_an_empty_set_has_none_to_select() -> None:
    with pytest.raises(HwnasError, match="an empty set has none"):
        front(0).select(maximize="score")
