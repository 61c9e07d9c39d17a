"""Contract of zero-cost proxies."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import numpy as np
import pytest

from hwnas.seeding import seeded
from hwnas.tasks.task import Task, TensorSpec
from hwnas.testing.samples import ADDRESS, DIRECTIONS
from hwnas.typing import InShape, Proxy

if TYPE_CHECKING:
    from torch import nn


class ProxyContract:
    """What every proxy keeps; supply the fixture `proxy`.

    Override `network` where the proxy needs another kind of network than a small residual-free
    convolutional one.

    Attributes:
        task: what the network is for, or the (C, H, W) of the images that it accepts.
        batch_size: inputs B that are drawn.
    """

    task: Task | TensorSpec | InShape = (3, 8, 8)
    batch_size: int = 8

    @pytest.fixture
    def network(self) -> nn.Module:
        with seeded(0):
            return _convolutional_network()

    def score(self, proxy: Proxy, network: nn.Module, seed: int = 3) -> float:
        """Score a network; a missing value fails with its reason."""
        from hwnas.proxies.engine.scoring import score_network

        scores = score_network(network, self.task, [proxy], batch_size=self.batch_size, seed=seed)
        assert set(scores) == {proxy.name}
        result = scores[proxy.name]
        assert result.error is None, result.error
        assert result.seconds >= 0
        return float(result.value)

    def test_facts(self, proxy: Proxy) -> None:
        assert isinstance(proxy, Proxy)
        assert proxy.name
        assert proxy.direction in DIRECTIONS
        assert isinstance(proxy.needs, frozenset)
        assert hash(proxy) == hash(copy.deepcopy(proxy))

    def test_repr_states_the_settings(self, proxy: Proxy) -> None:
        assert not ADDRESS.search(repr(proxy))
        assert repr(proxy) == repr(copy.deepcopy(proxy))

    def test_score_is_a_finite_number(self, proxy: Proxy, network: nn.Module) -> None:
        assert np.isfinite(self.score(proxy, network))

    def test_score_depends_on_the_seed_only(self, proxy: Proxy, network: nn.Module) -> None:
        import torch

        first = self.score(proxy, network)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(12345)
            torch.rand(7)
            assert self.score(proxy, network) == first

    def test_network_and_random_state_are_left_alone(
        self, proxy: Proxy, network: nn.Module
    ) -> None:
        import torch

        network.eval()
        before = {name: value.clone() for name, value in network.state_dict().items()}
        random_state = torch.get_rng_state()
        self.score(proxy, network)
        after = network.state_dict()
        assert set(after) == set(before)
        assert all(torch.equal(after[name], value) for name, value in before.items())
        assert torch.equal(torch.get_rng_state(), random_state)
        assert not network.training
        assert all(p.requires_grad and p.grad is None for p in network.parameters())
        assert not any(m._forward_hooks or m._backward_hooks for m in network.modules())


def _convolutional_network() -> nn.Module:
    from torch import nn

    def block(c_in: int, c_out: int) -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(c_in, c_out, 3, padding=1, bias=False), nn.BatchNorm2d(c_out), nn.ReLU()
        )

    return nn.Sequential(
        nn.Sequential(block(3, 8), block(8, 8), block(8, 8)),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 5),
    )
