"""Ranges of which a few numbers are drawn, and all between them are read."""

from __future__ import annotations

from typing import Any

import pytest
from torch import Tensor, nn

from hwnas.errors import InvalidArchitectureError
from hwnas.spaces.functions import FunctionSpace
from hwnas.spaces.options import Options
from hwnas.strategies.features import describe_exactly


class Scaled(nn.Module):
    def __init__(self, by: float) -> None:
        super().__init__()
        self.by = by

    def forward(self, x: Tensor) -> Tensor:
        return x * self.by


@pytest.mark.parametrize(
    ("low", "high", "log", "expected"),
    [
        (0.0, 1.5, False, [i / 10 for i in range(16)]),
        (2.0**-10, 32.0, True, [2.0**-10, *(float(f"{2.0**i:.4g}") for i in range(-9, 5)), 32.0]),
        (0.25, 0.25, False, [0.25]),
    ],
)
def test_floats_of_a_range_are_sixteen_and_those_between_are_read(
    low: float, high: float, log: bool, expected: list[float]
) -> None:
    def build(trial: Any) -> nn.Module:
        return nn.Sequential(nn.Linear(2, 2), Scaled(trial.suggest_float("by", low, high, log=log)))

    space = FunctionSpace(build, (2,), 2)
    assert list(space.parameters["by"]) == pytest.approx(expected, rel=1e-12)
    inside = (low * high) ** 0.5 * 1.001 if log else (low + high) / 2
    arch = space.decode({"by": inside})
    assert space.parse(str(arch)) == arch
    network = space.build(arch)
    assert isinstance(network, nn.Sequential)
    assert network[1].by == inside
    with pytest.raises(InvalidArchitectureError, match="`by` must be one of"):
        space.decode({"by": high * 1.01})


def test_a_number_between_two_options_is_near_both_and_placed_between_them() -> None:
    options = Options((1, 2, 4, 8), ordered=True, between=True)
    assert options.read("width", 3) == 3
    assert [options.place(value) for value in (1, 3, 8)] == [0, 1.5, 3]
    assert list(options.near(3)) == [1, 2, 4, 8]
    assert list(options.near(4)) == [1, 2, 8]
    for foreign in (2.5, 0, 9, True, "3"):
        with pytest.raises(InvalidArchitectureError):
            options.read("width", foreign)
    with pytest.raises(InvalidArchitectureError):
        Options((1, 2, 4, 8), ordered=True).read("width", 3)


def test_features_of_a_number_between_lie_between() -> None:
    def build(trial: Any) -> nn.Module:
        return nn.Linear(2, trial.suggest_int("width", 1, 4**15, log=True))

    space = FunctionSpace(build, (2,), 2)  # 1, 4, 16, ...
    archs = [space.decode({"width": width}) for width in (4, 10, 16)]
    assert describe_exactly(space, archs).tolist() == [[1.0], [1.5], [2.0]]
