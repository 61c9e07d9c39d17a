"""Networks of every space: seeds, representatives, and tasks that are served or refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from hwnas import registry
from hwnas.errors import InvalidValueError
from hwnas.seeding import derive_seed
from hwnas.spaces.nasbench201 import Cell, NasBench201
from hwnas.spaces.networks import Networks
from hwnas.tasks.task import Logits, Map, Task, TensorSpec, image_task
from hwnas.typing import Surrogate

SPACE = NasBench201(channels=4, cells=1)
DEAD = Cell(("nor_conv_3x3", "none", "none", "skip_connect", "none", "nor_conv_1x1"))


@pytest.fixture(params=sorted(registry.BUILT_IN["spaces"]))
def space(request: pytest.FixtureRequest) -> Any:
    return registry.load("spaces", request.param)()


@pytest.mark.parametrize("channels", [1, 3])
def test_every_space_has_networks_for_grey_and_colour(space: Any, channels: int) -> None:
    arch = space.sample(np.random.default_rng(0))
    network = space.build(arch, image_task(7, (channels, 32, 32))).eval()
    assert network(torch.randn(2, channels, 32, 32)).shape == (2, 7)


@pytest.mark.parametrize(
    "task",
    [
        Task("text", TensorSpec((64,), "tokens", 100), Logits(4)),
        Task("sound", TensorSpec((1, 64), "signal"), Logits(4)),
        Task("segments", TensorSpec((3, 32, 32)), Map(4)),
    ],
)
def test_other_tasks_are_refused_in_one_line(space: Any, task: Task) -> None:
    arch = space.sample(np.random.default_rng(0))
    with pytest.raises(InvalidValueError, match=f"`task` must be .* for {space.name}, but got"):
        space.build(arch, task)


def test_weights_come_from_the_seed_and_the_class_alone() -> None:
    networks = Networks(SPACE, image_task(7, (3, 8, 8)))
    alive = SPACE.representative(DEAD)
    assert alive != DEAD
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first, second, other = (
        networks.network(arch, seed) for arch, seed in ((DEAD, 5), (alive, 5), (alive, 6))
    )
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(5)
    expected = SPACE.build(alive, image_task(7, (3, 8, 8)))
    for network, equal in ((first, True), (second, True), (other, False)):
        pairs = zip(network.parameters(), expected.parameters(), strict=True)
        assert all(torch.equal(a, b) for a, b in pairs) == equal


def test_the_seed_of_a_class_derives_from_the_users_and_its_key() -> None:
    networks = Networks(SPACE, SPACE.default_task)
    expected = derive_seed(3, SPACE.canonical_key(DEAD))
    assert networks.seed(DEAD, 3) == networks.seed(SPACE.representative(DEAD), 3) == expected
    assert networks.seed(DEAD, 4) != expected


def test_a_surrogate_has_the_classes_of_the_task_and_images_of_its_own() -> None:
    networks = Networks(SPACE, image_task(7, (3, 8, 8)))
    tiny = Surrogate(2, 1, 1, stem=False, in_shape=(2, 3, 3))
    assert networks.surrogate_task(tiny).input.shape == (2, 3, 3)
    assert networks.network(DEAD, 0, tiny)(torch.zeros(4, 2, 3, 3)).shape == (4, 7)
    small = Surrogate(4, 1, 2)
    assert networks.surrogate_task(small) == networks.surrogate_task(None) == networks.task
    assert networks.network(DEAD, 0, small)(torch.zeros(4, 3, 8, 8)).shape == (4, 7)
