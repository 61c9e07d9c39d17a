"""Networks of every space: seeds, representatives, and tasks that are served or refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from hwnas import registry
from hwnas.costs.counters import CounterCost
from hwnas.errors import InvalidValueError
from hwnas.evaluation.sources import ProxyValues
from hwnas.proxies import make_proxies
from hwnas.seeding import derive_seed
from hwnas.spaces.choices import Choose, Declared
from hwnas.spaces.nasbench201 import Cell, NasBench201
from hwnas.spaces.networks import Networks
from hwnas.spaces.options import Options
from hwnas.tasks.task import Logits, Map, Task, TensorSpec, image_task
from hwnas.typing import Surrogate

SPACE = NasBench201(channels=4, cells=1)
DEAD = Cell(("nor_conv_3x3", "none", "none", "skip_connect", "none", "nor_conv_1x1"))


@pytest.fixture(params=sorted(registry.BUILT_IN["spaces"]))
def space(request: pytest.FixtureRequest) -> Any:
    if request.param == "timm":
        pytest.skip("its networks are those of another package, and are tested with the space")
    return registry.load("spaces", request.param)()


@pytest.mark.parametrize("channels", [1, 3])
def test_every_space_has_networks_for_grey_and_colour(space: Any, channels: int) -> None:
    if space.default_task.input.kind != "image":
        pytest.skip("its networks read tokens, and are tested with the space")
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
    if isinstance(task.output, Map) and space.name.startswith("transnasbench101"):
        pytest.skip("its networks for maps are tested with the space")
    if task.input.kind == space.default_task.input.kind == "tokens":
        pytest.skip("its networks for texts are tested with the space")
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


@dataclass(frozen=True)
class Readers(Declared[int]):
    """Classifiers of texts of six words: an embedding and a hidden layer of some width."""

    name: str = field(default="readers", init=False, repr=False)

    def make(self, choose: Choose) -> int:
        return int(choose("width", Options(("4", "8"))))

    def values(self, arch: int) -> Mapping[str, str]:
        return {"width": str(arch)}

    def parse(self, text: str) -> int:
        return int(text)

    @property
    def default_task(self) -> Task:
        return Task("text", TensorSpec((6,), "tokens", 20), Logits(3))

    def build(self, arch: int, task: Task | None = None) -> nn.Module:
        task = task or self.default_task
        if task.input.kind != "tokens" or not isinstance(task.output, Logits):
            raise InvalidValueError(f"`task` must be classes of tokens, but got {task}.")
        return nn.Sequential(
            nn.Embedding(task.input.vocabulary or 0, 5),
            nn.Flatten(),
            nn.Linear(5 * task.input.shape[0], arch),
            nn.ReLU(),
            nn.Linear(arch, task.output.classes),
        )


def test_a_space_of_texts_is_counted_and_scored_like_any_other() -> None:
    space = Readers()
    counted = {m: CounterCost(space, m).predict([4, 8]).tolist() for m in ("params", "macs")}
    assert counted["params"] == [20 * 5 + 31 * w + (w + 1) * 3 for w in (4, 8)]
    assert counted["macs"] == [30 * w + w * 3 for w in (4, 8)]
    proxies = tuple(make_proxies(["naswot", "zico", "flops", "synflow"]))
    source = ProxyValues(space, proxies, space.default_task, batch_size=8)
    found = source.compute(8, source.columns)
    assert found["flops"].value == 2 * counted["macs"][1]
    assert np.isfinite([found["naswot"].value, found["zico"].value]).all()
    assert "real numbers" in str(found["synflow"].error)
    larger = Task("text", TensorSpec((6,), "tokens", 21), Logits(3))
    assert source.cache_prefix("zico") != replace(source, task=larger).cache_prefix("zico")
    assert repr(CounterCost(space, "params")) != repr(CounterCost(space, "params", larger))
