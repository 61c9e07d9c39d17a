"""Facets are found in a space, in its table and in what it wraps; all spaces keep the contract."""

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from hwnas.errors import InvalidValueError
from hwnas.spaces.facets import (
    Drawing,
    Equivalence,
    Facets,
    Graphs,
    Listing,
    Sequences,
    Surrogates,
    Truth,
    facet,
    require_facet,
)
from hwnas.spaces.fbnet import FBNet
from hwnas.spaces.mobilenetv3 import MobileNetV3
from hwnas.spaces.nasbench201 import NasBench201
from hwnas.strategies.each_architecture import each_architecture
from hwnas.testing import FacetsContract
from hwnas.typing import SearchSpace


class TestNasBench201(FacetsContract):
    @pytest.fixture
    def space(self) -> SearchSpace[Any]:
        return NasBench201(channels=4, cells=1)


class TestPublishedAccuracies(FacetsContract):
    datasets = ("cifar10", "cifar100", "ImageNet16-120")

    @pytest.fixture
    def space(self, data_folder: Path) -> SearchSpace[Any]:
        del data_folder
        return NasBench201(channels=4, cells=1)


class TestFBNet(FacetsContract):
    @pytest.fixture
    def space(self) -> SearchSpace[Any]:
        return FBNet()


class TestMobileNetV3(FacetsContract):
    @pytest.fixture
    def space(self) -> SearchSpace[Any]:
        return MobileNetV3()


class TestWrapped(FacetsContract):
    @pytest.fixture
    def space(self) -> SearchSpace[Any]:
        return each_architecture(NasBench201(channels=4, cells=1))


class Pictures:
    def __init__(self, space: Any) -> None:
        self.space = space

    def draw(self, arch: str) -> str:
        return f"{self.space.name} {arch}"


class Own:
    name = "own"
    facets: ClassVar[Facets] = {Drawing: Pictures}

    def to_graph(self, arch: str) -> Any:
        return arch


class Wrapper:
    name = "wrapper"

    def __init__(self, wrapped: Any) -> None:
        self.wrapped = wrapped


def test_a_facet_is_the_space_itself_or_of_its_table() -> None:
    own = Own()
    assert facet(own, Graphs) is own
    assert isinstance(facet(own, Drawing), Pictures)
    assert facet(own, Truth) is None


def test_a_wrapper_has_the_facets_of_what_it_wraps_made_for_that() -> None:
    own = Own()
    twice = Wrapper(Wrapper(own))
    assert facet(twice, Graphs) is own
    assert require_facet(twice, Drawing).draw("a") == "own a"
    assert facet(twice, Surrogates) is None


def test_a_facet_that_is_missing_is_named_with_how_it_is_supplied() -> None:
    with pytest.raises(
        InvalidValueError, match=r"facet Sequences, but own has none: give .*facets"
    ):
        require_facet(Own(), Sequences)


def test_a_wrapped_benchmark_keeps_its_facets() -> None:
    plain = NasBench201()
    space = each_architecture(plain)
    cell = plain.sample(np.random.default_rng(0))
    for kind in (Drawing, Equivalence, Graphs, Surrogates, Truth, Listing):
        assert facet(space, kind) is not None
    assert require_facet(space, Drawing).draw(cell) == require_facet(plain, Drawing).draw(cell)
    assert facet(each_architecture(FBNet()), Listing) is None
