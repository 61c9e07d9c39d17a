from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from hwnas.errors import InvalidArchitectureError, InvalidValueError
from hwnas.spaces.facets import Features, Graphs, facet
from hwnas.strategies import AskTell, Problem, make_proposer
from hwnas.testing import ArchitecturesContract, StrategyContract, draw
from hwnas.typing import FloatArray
from hwnas_nni.dimensions import Dimension, DimensionSpace

# An optimiser of which one kind has a momentum, a list of layers, and numbers.
DIMENSIONS = [
    Dimension("optimizer", ("adam", "sgd")),
    Dimension("optimizer/sgd/momentum", (0.0, 0.9, 0.99), ("optimizer", 1)),
    Dimension("width", (16, 32), ordered=True),
    Dimension("inputs", ([0], [1], [0, 1])),
]


@pytest.fixture
def space() -> DimensionSpace:
    return DimensionSpace("toy", DIMENSIONS)


def test_what_does_not_exist_is_not_counted(space: DimensionSpace) -> None:
    # (1 + 3) optimisers × 2 widths × 3 inputs.
    members = space.members(24)
    assert members is not None
    assert len(members) == len(set(members)) == 24
    first = members[0]
    assert space.asked(first) == {"optimizer": "adam", "width": 16, "inputs": [0]}


def test_values_keep_their_types_and_have_an_inverse(space: DimensionSpace) -> None:
    values = {"optimizer": "sgd", "optimizer/sgd/momentum": 0.9, "width": 32, "inputs": [0, 1]}
    arch = space.assign(values)
    assert space.asked(arch) == values
    assert space.parse(str(arch)) == arch
    assert space.decode(space.encode(arch)) == arch
    assert space.assign({**values, "optimizer": "adam"}) == space.assign(
        {k: v for k, v in values.items() if "/" not in k} | {"optimizer": "adam"}
    )


def test_neighbours_differ_in_one_choice(space: DimensionSpace) -> None:
    adam = space.assign({"optimizer": "adam", "width": 16, "inputs": [0]})
    assert {str(space.asked(n)) for n in space.neighbours(adam)} == {
        *(
            str({"optimizer": "sgd", "optimizer/sgd/momentum": m, "width": 16, "inputs": [0]})
            for m in (0.0, 0.9, 0.99)
        ),
        str({"optimizer": "adam", "width": 32, "inputs": [0]}),
        str({"optimizer": "adam", "width": 16, "inputs": [1]}),
        str({"optimizer": "adam", "width": 16, "inputs": [0, 1]}),
    }


def test_samples_are_uniform_over_the_choices(space: DimensionSpace) -> None:
    rng = np.random.default_rng(0)
    drawn = [space.asked(space.sample(rng)) for _ in range(600)]
    share = np.mean([v["optimizer"] == "sgd" for v in drawn])
    # Three standard errors of a share of 600 draws.
    assert abs(share - 1 / 2) < 3 * 0.5 / 600**0.5


def test_a_predicate_makes_architectures_invalid() -> None:
    space = DimensionSpace("toy", DIMENSIONS, lambda values: values["width"] == 16)
    assert sum(map(space.is_valid, space.members(24) or [])) == 12


def test_a_space_that_is_too_large_is_not_listed() -> None:
    space = DimensionSpace("large", [Dimension(f"d{i}", tuple(range(10))) for i in range(80)])
    assert space.members(100_000) is None
    assert len(space.neighbours(space.sample(np.random.default_rng(0)))) == 80 * 9


@pytest.mark.parametrize("text", ["", "nothing", "{}", '{"optimizer": "lion"}', "[1]"])
def test_foreign_texts_are_refused(space: DimensionSpace, text: str) -> None:
    with pytest.raises(InvalidArchitectureError):
        space.parse(text)


def test_bad_dimensions_are_refused() -> None:
    for values in ((), (1, 1), (1, "1")):
        with pytest.raises(InvalidValueError, match="no value twice"):
            Dimension("d", values)
    for dimensions in ([], [Dimension("d", (1,)), Dimension("d", (2,))]):
        with pytest.raises(InvalidValueError, match="different names"):
            DimensionSpace("none", dimensions)


def test_texts_of_numbers_are_read(space: DimensionSpace) -> None:
    """Checkpoints of before have every choice as text."""
    old = '{"optimizer": "sgd", "optimizer/sgd/momentum": "0.9", "width": "32", "inputs": "[0]"}'
    assert str(space.parse(old)) == old.replace('"32"', "32")


class TestContract(ArchitecturesContract):
    @pytest.fixture
    def archs(self, space: DimensionSpace) -> Any:
        return draw(space, 20)

    @pytest.fixture
    def space(self) -> DimensionSpace:
        return DimensionSpace("toy", DIMENSIONS)


class TestStrategiesOnDimensions(StrategyContract):
    @pytest.fixture(params=["pareto-evolution", "predictor-guided", "random-search"])
    def make_strategy(self, request: pytest.FixtureRequest, space: DimensionSpace) -> Any:
        return lambda seed: AskTell(make_proposer(request.param, Problem(space)), space, seed)


def test_facets_of_a_model_space_are_those_of_its_dimensions() -> None:
    space = DimensionSpace("toy", DIMENSIONS, facets={Features: _Numbers})
    found = facet(space, Features)
    assert found is not None
    assert found.features([space.sample(np.random.default_rng(0))]).shape == (1, 1)
    assert facet(space, Graphs) is None


class _Numbers:
    def __init__(self, space: DimensionSpace) -> None:
        self.space = space

    def features(self, archs: Sequence[Any]) -> FloatArray:
        return np.array([[float(len(self.space.values(arch)))] for arch in archs])
