"""Which values are better, by the names of columns."""

from __future__ import annotations

import pytest

from hwnas.tables.directions import larger_is_better


@pytest.mark.parametrize(
    "name",
    ["accuracy_b", "f1_w", "acc1", "test mAP50", "img/s", "throughput_img_s", "Images per second"],
)
def test_accuracies_and_rates_are_known_by_their_words(name: str) -> None:
    assert larger_is_better(name)


@pytest.mark.parametrize(
    "name",
    ["accuracy_std", "top5_errors", "fps_drop", "latency/ms", "delay/s", "map_ms", "mape", "macs"],
)
def test_costs_are_no_accuracies(name: str) -> None:
    assert not larger_is_better(name)
