"""NATS-Bench's size space: texts, counts by hand, and the topology space at its channels."""

from __future__ import annotations

import pytest
import torch

from hwnas.costs.counters import count
from hwnas.errors import InvalidArchitectureError, InvalidValueError
from hwnas.spaces.nasbench201 import parse_cell
from hwnas.spaces.nasbench201.space import NasBench201
from hwnas.spaces.natsbench_size import CELL, NatsBenchSize, SizeArch
from hwnas.tasks.catalogue import get_task
from hwnas.tasks.task import image_task
from hwnas.testing import FacetsContract, SearchSpaceContract

SPACE = NatsBenchSize()


class TestContract(SearchSpaceContract):
    @pytest.fixture
    def space(self) -> NatsBenchSize:
        return SPACE


class TestFacets(FacetsContract):
    @pytest.fixture
    def space(self) -> NatsBenchSize:
        return SPACE


def test_every_network_is_another_one() -> None:
    archs = list(SPACE)
    assert len(archs) == len(SPACE) == len(set(map(SPACE.canonical_key, archs))) == 32_768
    assert str(archs[0]) == "8:8:8:8:8"
    assert str(archs[-1]) == "64:64:64:64:64"


def test_doubled_channels_are_a_network_of_the_topology_space() -> None:
    # One cell a stage of 16, 32 and 64 channels: what NAS-Bench-201 builds for N = 1.
    task = get_task("cifar100")
    mine = SPACE.build(SPACE.parse("16:32:32:64:64"), task)
    theirs = NasBench201(channels=16, cells=1).build(parse_cell(CELL), task)
    weights = dict(zip(mine.state_dict(), theirs.state_dict().values(), strict=True))
    mine.load_state_dict(weights)
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(mine.eval()(images), theirs.eval()(images))


@pytest.mark.parametrize("text", ["8:16:24:32:40", "64:8:8:8:8", "8:8:8:8:64", "40:40:56:8:24"])
def test_parameters_by_hand(text: str) -> None:
    c = [int(part) for part in text.split(":")]

    def cell(a: int, b: int) -> int:  # three convolutions out of the input, three inside
        skip = 0 if a == b else a * b + 2 * b
        return 2 * (9 * a * b + 2 * b) + 3 * (9 * b * b + 2 * b) + skip

    def reduction(a: int, b: int) -> int:
        return (9 * a * b + 2 * b) + (9 * b * b + 2 * b) + a * b

    layers = cell(c[0], c[0]) + reduction(c[0], c[1]) + cell(c[1], c[2])
    layers += reduction(c[2], c[3]) + cell(c[3], c[4])
    ends = 27 * c[0] + 2 * c[0] + 2 * c[4] + 10 * c[4] + 10
    with torch.device("meta"):
        network = SPACE.build(SPACE.parse(text))
    assert count(network, (3, 32, 32)).params == layers + ends


@pytest.mark.parametrize("text", ["8:16:24:32", "8:16:24:32:41", "8:16:24:32:72", "8,16,24,32,40"])
def test_other_texts_are_one_line(text: str) -> None:
    with pytest.raises(InvalidArchitectureError, match="8:16:32:48:64") as raised:
        SPACE.parse(text)
    assert "\n" not in str(raised.value)


def test_images_must_be_halved_twice() -> None:
    with pytest.raises(InvalidValueError, match="multiples of 4"):
        SPACE.build(SizeArch((8,) * 5), image_task(10, (3, 30, 32)))
