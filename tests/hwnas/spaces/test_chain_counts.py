"""Counts of chains in closed form, against the counter that runs the network on `meta` tensors."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch

from hwnas.costs.counters import CounterCost, count
from hwnas.errors import InvalidValueError
from hwnas.spaces.facets import Counted, require_facet
from hwnas.spaces.mobilenetv2 import MOBILENETV2, MobileNetV2
from hwnas.spaces.space_text import read_space
from hwnas.spaces.walk import Walk
from hwnas.tasks.catalogue import get_task
from hwnas.tasks.task import image_task

SPACES = (
    "mobilenetv2",
    "proxylessnas:device=cpu",
    "fbnet",
    "mobilenetv3",
    "mobilenetv3:width=1.0",
    "resnet",
    "nasbench-macro",
    "pit:patch=14,stride=7",
    *(f"nds:family={f},channels=4,cells=4" for f in ("darts", "enas", "amoeba", "nasnet", "pnas")),
    "nds:channels=4,cells=1",
)


WHOLE_PATCHES = ("natsbench-size", "autoformer", "autoformer:size=small")
"""Spaces that take images of some sizes alone."""


@pytest.mark.parametrize(
    ("text", "shape"),
    [*itertools.product(SPACES, [(3, 32, 32), (1, 70, 97)]),
     *itertools.product(WHOLE_PATCHES, [(3, 32, 32), (1, 64, 48)])],
    ids=str,
)  # fmt: skip
def test_counts_are_those_of_the_network(text: str, shape: tuple[int, int, int]) -> None:
    space: Any = read_space(text)
    task, rng = image_task(7, shape), np.random.default_rng(0)
    for arch in (space.sample(rng) for _ in range(2)):
        with torch.device("meta"):
            found = count(space.build(arch, task), shape)
        wanted = {"params": found.params, "macs": found.macs, "layers": found.layers}
        assert dict(require_facet(space, Counted).counts(arch, task)) == wanted


def test_a_convolution_by_hand() -> None:
    # 5 x 7 halved is 3 x 4; 8 filters of 4 / 2 channels of 3 x 3; the norm has 2 x 8.
    walk = Walk(4, 5, 7)
    walk.conv(8, 3, 2, groups=2)
    assert (walk.channels, walk.height, walk.width) == (8, 3, 4)
    assert (walk.params, walk.macs, walk.layers) == (144 + 16, 12 * 144, 1)


def test_other_tasks_are_refused() -> None:
    space = MobileNetV2()
    with pytest.raises(InvalidValueError, match="to tell classes of images apart"):
        require_facet(space, Counted).counts(space.parse(MOBILENETV2), get_task("normal"))


@pytest.mark.parametrize("text", [*WHOLE_PATCHES, "pit"])
def test_images_that_no_network_takes_are_refused_as_by_the_network(text: str) -> None:
    space: Any = read_space(text)
    arch, task = space.sample(np.random.default_rng(0)), image_task(7, (3, 70, 9))
    with pytest.raises(InvalidValueError) as built:
        space.build(arch, task)
    with pytest.raises(InvalidValueError) as counted:
        require_facet(space, Counted).counts(arch, task)
    assert str(counted.value) == str(built.value)


@dataclass(frozen=True)
class Unbuilt(MobileNetV2):
    """Its networks are not to be built."""

    def build(self, *_: Any) -> Any:
        raise AssertionError("a network was built")


def test_a_counter_builds_no_network() -> None:
    space = Unbuilt()
    arch = space.parse(MOBILENETV2)
    assert CounterCost(space, "flops").predict([arch]) == [2 * 300_774_272]
    assert CounterCost(space, "params").predict([arch]) == [3_504_872]
    with pytest.raises(AssertionError, match="was built"):
        CounterCost(space, "peak_memory").predict([arch])
