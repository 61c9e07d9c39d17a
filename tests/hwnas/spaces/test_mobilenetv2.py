"""MobileNetV2-like chains: texts, and the published size of the network of the paper."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hwnas.costs.counters import count
from hwnas.errors import InvalidArchitectureError
from hwnas.spaces.mobilenetv2 import MOBILENETV2, MobileNetV2, Stage
from hwnas.spaces.mobilenetv2_network import InvertedResidual
from hwnas.tasks.task import image_task
from hwnas.testing import FacetsContract, SearchSpaceContract

SPACE = MobileNetV2()


class TestContract(SearchSpaceContract):
    task = image_task(7, (3, 32, 32))

    @pytest.fixture
    def space(self) -> MobileNetV2:
        return SPACE


class TestFacets(FacetsContract):
    @pytest.fixture
    def space(self) -> MobileNetV2:
        return SPACE


def test_the_network_of_the_paper_has_its_published_size() -> None:
    # 3.5 M parameters and 300.8 M multiply-accumulates at 224 x 224: torchvision's model card has
    # 3,504,872 and .30 G; 300,774,272 is the sum over the layers of Table 2.
    with torch.device("meta"):
        network = SPACE.build(SPACE.parse(MOBILENETV2))
    found = count(network, (3, 224, 224))
    assert (found.params, found.macs) == (3_504_872, 300_774_272)


def test_texts_are_read_back() -> None:
    rng = np.random.default_rng(0)
    for arch in [SPACE.parse(MOBILENETV2), *(SPACE.sample(rng) for _ in range(5))]:
        assert SPACE.parse(str(arch)) == arch
        assert SPACE.decode({k: str(v) for k, v in SPACE.encode(arch).items()}) == arch
    assert SPACE.parse(MOBILENETV2).stages[3] == Stage(3, 6, 64, 4)
    assert len(SPACE.parameters) == 2 + 7 * 4


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("w24", "w25", "`width of stage 2` must be one of 16, 24"),
        ("d4", "d9", "`depth of stage 4` must be one of 1, 2"),
        ("s32", "s33", "`stem` must be one of"),
        ("h1280", "h1281", "`head` must be one of"),
        ("|k3e6w320d1", "", "`stages` must be 7, but got 6"),
        ("k3e6w96d3", "k3w96", "must be as in"),
        (MOBILENETV2, "", "must be as in"),
    ],
)
def test_other_texts_are_one_line(old: str, new: str, said: str) -> None:
    with pytest.raises(InvalidArchitectureError, match=said) as raised:
        SPACE.parse(MOBILENETV2.replace(old, new))
    assert "\n" not in str(raised.value)


def test_a_block_without_expansion_has_no_first_convolution() -> None:
    assert len(InvertedResidual(8, 8, 3, 1, 1).layers) == 5
    assert len(InvertedResidual(8, 8, 3, 6, 1).layers) == 8
    assert InvertedResidual(8, 8, 3, 6, 1).residual
    assert not InvertedResidual(8, 8, 3, 6, 2).residual
    assert not InvertedResidual(8, 16, 3, 6, 1).residual
