"""Contracts of the roles in `hwnas.typing`: spaces, proxies, costs, predictors, strategies."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
import pytest
from sklearn.exceptions import NotFittedError

from hwnas.errors import DataFormatError, HwnasError, InvalidArchitectureError, InvalidValueError
from hwnas.evaluation.sources import MeasuredCost
from hwnas.seeding import seeded
from hwnas.spaces.choices import members_of
from hwnas.spaces.facets import Graphs, facet
from hwnas.tasks.task import Logits, Task, TensorSpec, image_task
from hwnas.testing.parameters import ParametersContract
from hwnas.typing import (
    CostModel,
    DeviceKey,
    Direction,
    FloatArray,
    InShape,
    Predictor,
    Proxy,
    SearchSpace,
    Strategy,
)

if TYPE_CHECKING:
    from torch import nn

_DIRECTIONS = get_args(Direction)
_ADDRESS = re.compile(r" at 0x[0-9a-f]+")


def draw(space: SearchSpace[Any], n: int, seed: int = 0) -> list[Any]:
    """Draw `n` architectures of a space, repetitions possible."""
    rng = np.random.default_rng(seed)
    return [space.sample(rng) for _ in range(n)]


class SearchSpaceContract(ParametersContract):
    """What every search space keeps; supply the fixture `space`.

    Attributes:
        samples: architectures that each property is tried on.
        task: what the networks are built for: classes of images, or what the space is for.
        foreign_task: what the space has no networks for; None if it has them for every task.
    """

    samples: int = 20
    task: Task = image_task(7, (3, 8, 8))
    foreign_task: Task | None = Task("text", TensorSpec((9,), "tokens", 20), Logits(2))

    @pytest.fixture
    def archs(self, space: SearchSpace[Any]) -> list[Any]:
        return draw(space, self.samples)

    def test_repr_states_the_settings(self, space: SearchSpace[Any]) -> None:
        assert not _ADDRESS.search(repr(space))
        assert repr(space) == repr(copy.deepcopy(space))

    def test_text_and_parse_are_inverse(self, space: SearchSpace[Any], archs: list[Any]) -> None:
        for arch in archs:
            assert space.parse(str(arch)) == arch

    def test_architectures_are_hashable_values(
        self, space: SearchSpace[Any], archs: list[Any]
    ) -> None:
        for arch in archs:
            assert hash(space.parse(str(arch))) == hash(arch)

    @pytest.mark.parametrize("text", ["", "not an architecture", "|", "{}"])
    def test_foreign_text_is_refused(self, space: SearchSpace[Any], text: str) -> None:
        with pytest.raises(InvalidArchitectureError):
            space.parse(text)

    def test_sampling_depends_on_the_generator_only(self, space: SearchSpace[Any]) -> None:
        first, again = draw(space, self.samples, seed=1), draw(space, self.samples, seed=1)
        assert first == again
        assert len(set(first)) > 1

    def test_representative_is_in_the_same_class(
        self, space: SearchSpace[Any], archs: list[Any]
    ) -> None:
        for arch in archs:
            chosen = space.representative(arch)
            assert space.canonical_key(chosen) == space.canonical_key(arch)
            assert space.representative(chosen) == chosen
            assert space.is_valid(chosen) == space.is_valid(arch)

    def test_key_and_canonical_graph_agree(self, space: SearchSpace[Any], archs: list[Any]) -> None:
        graphs = _graphs(space)
        digest_of = {space.canonical_key(a): graphs.to_graph(a).digest() for a in archs}
        for arch in archs:
            assert graphs.to_graph(arch).digest() == digest_of[space.canonical_key(arch)]
        assert len(set(digest_of.values())) == len(digest_of)

    def test_graph_is_canonical(self, space: SearchSpace[Any], archs: list[Any]) -> None:
        graphs = _graphs(space)
        for arch in archs:
            graph = graphs.to_graph(arch)
            form = graph.canonical()
            assert form.operations == graph.operations
            assert np.array_equal(form.adjacency, graph.adjacency)

    def test_neighbours_differ_in_one_parameter(
        self, space: SearchSpace[Any], archs: list[Any]
    ) -> None:
        for arch in archs[:5]:
            neighbours = space.neighbours(arch)
            assert len(neighbours) == len(set(neighbours)) > 0
            assert arch not in neighbours
            for other in neighbours:
                mine, theirs = space.encode(arch), space.encode(other)
                # One edit may switch parameters that depend on it on or off.
                shared = set(mine) & set(theirs)
                changed = sum(mine[name] != theirs[name] for name in shared)
                assert changed == 1 or (changed == 0 and set(mine) != set(theirs))

    def test_being_neighbours_is_mutual(self, space: SearchSpace[Any], archs: list[Any]) -> None:
        for arch in archs[:3]:
            assert all(arch in space.neighbours(other) for other in space.neighbours(arch))

    def test_network_maps_images_to_logits(self, space: SearchSpace[Any], archs: list[Any]) -> None:
        import torch

        for arch in archs[:3]:
            model = space.build(arch, self.task)
            logits = model(torch.zeros(2, *self.task.input.shape))
            assert logits.shape == (2, self.task.settings["num_classes"])
            assert torch.isfinite(logits).all()

    def test_the_default_task_is_served(self, space: SearchSpace[Any], archs: list[Any]) -> None:
        chosen, default = (space.build(archs[0], task) for task in (space.default_task, None))
        assert {n: p.shape for n, p in chosen.named_parameters()} == {
            n: p.shape for n, p in default.named_parameters()
        }

    def test_a_foreign_task_is_refused_in_one_line(
        self, space: SearchSpace[Any], archs: list[Any]
    ) -> None:
        if self.foreign_task is None:
            pytest.skip("the space has networks for every task")
        with pytest.raises(InvalidValueError, match=r"^`task` .*$"):
            space.build(archs[0], self.foreign_task)


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
        assert proxy.direction in _DIRECTIONS
        assert isinstance(proxy.needs, frozenset)
        assert hash(proxy) == hash(copy.deepcopy(proxy))

    def test_repr_states_the_settings(self, proxy: Proxy) -> None:
        assert not _ADDRESS.search(repr(proxy))
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


class CostModelContract:
    """What every cost model keeps; supply the fixtures `cost` and `space`.

    Attributes:
        samples: architectures that each property is tried on.
    """

    samples: int = 6

    @pytest.fixture
    def archs(self, space: SearchSpace[Any]) -> list[Any]:
        return draw(space, self.samples)

    def test_facts(self, cost: CostModel[Any]) -> None:
        assert cost.metric
        assert isinstance(cost.unit, str)
        assert cost.direction in _DIRECTIONS
        assert isinstance(cost.device, DeviceKey)
        assert cost.device.device

    def test_repr_states_the_settings(self, cost: CostModel[Any]) -> None:
        assert not _ADDRESS.search(repr(cost))

    def test_one_value_an_architecture(self, cost: CostModel[Any], archs: list[Any]) -> None:
        values = cost.predict(archs)
        assert values.shape == (len(archs),)
        assert values.dtype == np.float64
        assert not np.isinf(values).any()
        assert not np.isnan(values).all()

    def test_no_architectures_no_values(self, cost: CostModel[Any]) -> None:
        assert cost.predict([]).shape == (0,)

    def test_values_belong_to_architectures(self, cost: CostModel[Any], archs: list[Any]) -> None:
        if isinstance(cost, MeasuredCost):
            pytest.skip("a measurement does not repeat exactly")
        values = cost.predict(archs)
        np.testing.assert_allclose(cost.predict(archs[::-1])[::-1], values, rtol=1e-6)
        single = np.concatenate([cost.predict([arch]) for arch in archs])
        np.testing.assert_allclose(single, values, rtol=1e-6)


class PredictorContract:
    """What every predictor keeps; supply the fixtures `make_predictor` and `space`.

    `make_predictor` is a function without arguments that makes an unfitted predictor, the same
    one each time. It is fitted to a cost that adds up over the parameters' choices.

    Attributes:
        samples: architectures to learn from.
    """

    samples: int = 60

    @pytest.fixture
    def archs(self, space: SearchSpace[Any]) -> list[Any]:
        return draw(space, self.samples)

    @pytest.fixture
    def costs(self, space: SearchSpace[Any], archs: list[Any]) -> FloatArray:
        position = {
            name: {choice: i for i, choice in enumerate(choices)}
            for name, choices in space.parameters.items()
        }
        return np.array(
            [1.0 + sum(position[k][v] for k, v in space.encode(a).items()) for a in archs]
        )

    @pytest.fixture
    def fitted(
        self, make_predictor: Callable[[], Predictor[Any]], archs: list[Any], costs: FloatArray
    ) -> Predictor[Any]:
        return make_predictor().fit(archs, costs)

    def test_fit_gives_the_predictor_itself(
        self, make_predictor: Callable[[], Predictor[Any]], archs: list[Any], costs: FloatArray
    ) -> None:
        predictor = make_predictor()
        assert predictor.fit(archs, costs) is predictor

    def test_predicting_needs_fitting(
        self, make_predictor: Callable[[], Predictor[Any]], archs: list[Any]
    ) -> None:
        with pytest.raises((HwnasError, NotFittedError)):
            make_predictor().predict(archs)

    def test_costs_must_match_architectures(
        self, make_predictor: Callable[[], Predictor[Any]], archs: list[Any], costs: FloatArray
    ) -> None:
        with pytest.raises(HwnasError):
            make_predictor().fit(archs, costs[:-1])

    def test_one_value_an_architecture(self, fitted: Predictor[Any], archs: list[Any]) -> None:
        values = fitted.predict(archs)
        assert values.shape == (len(archs),)
        assert values.dtype == np.float64
        assert np.isfinite(values).all()
        assert fitted.predict([]).shape == (0,)

    def test_values_belong_to_architectures(self, fitted: Predictor[Any], archs: list[Any]) -> None:
        values = fitted.predict(archs)
        np.testing.assert_allclose(fitted.predict(archs[::-1])[::-1], values, rtol=1e-4)

    def test_prediction_beats_the_mean(
        self, fitted: Predictor[Any], archs: list[Any], costs: FloatArray
    ) -> None:
        assert np.mean((fitted.predict(archs) - costs) ** 2) < np.var(costs)

    def test_fitting_repeats(
        self,
        make_predictor: Callable[[], Predictor[Any]],
        fitted: Predictor[Any],
        archs: list[Any],
        costs: FloatArray,
    ) -> None:
        again = make_predictor().fit(archs, costs)
        np.testing.assert_allclose(again.predict(archs), fitted.predict(archs), rtol=1e-6)

    def test_saved_predictor_is_the_same(
        self, fitted: Predictor[Any], archs: list[Any], tmp_path: Path
    ) -> None:
        fitted.save(tmp_path / "predictor")
        loaded = type(fitted).load(tmp_path / "predictor")
        np.testing.assert_allclose(loaded.predict(archs), fitted.predict(archs), rtol=1e-6)
        for fact in ("metric", "unit", "direction", "device"):
            assert getattr(loaded, fact) == getattr(fitted, fact)

    @pytest.mark.parametrize("content", [b"", b"something else", b"\x80\x04N."])
    def test_foreign_file_is_refused(
        self, fitted: Predictor[Any], tmp_path: Path, content: bytes
    ) -> None:
        path = tmp_path / "foreign"
        path.write_bytes(content)
        with pytest.raises(DataFormatError):
            type(fitted).load(path)


class StrategyContract:
    """What every search strategy keeps; supply the fixtures `make_strategy` and `space`.

    `make_strategy` is a function that takes a seed and makes a strategy for `space`.

    Attributes:
        objectives: objectives m that are told, all to be minimised.
        rounds: rounds of asking and telling.
        batch: architectures asked for in a round.
        largest_to_exhaust: spaces with at most so many members are searched to the end.
    """

    objectives: int = 2
    rounds: int = 5
    batch: int = 4
    largest_to_exhaust: int = 200

    def values(self, space: SearchSpace[Any], archs: list[Any]) -> FloatArray:
        """Give `(n, m)` made-up values that depend on the architecture's class only."""
        keys = [space.canonical_key(arch) for arch in archs]
        seeds = [int.from_bytes(key.encode()[:8].ljust(8), "little") for key in keys]
        rows = [np.random.default_rng(seed).random(self.objectives) for seed in seeds]
        return np.array(rows).reshape(len(archs), self.objectives)

    def run(self, strategy: Strategy[Any], space: SearchSpace[Any], rounds: int) -> list[Any]:
        """Ask and tell; give all proposals."""
        proposals = []
        for _ in range(rounds):
            archs = strategy.ask(self.batch)
            assert len(archs) <= self.batch
            strategy.tell(archs, self.values(space, archs))
            proposals += archs
        return proposals

    def test_proposals_are_members_and_differ(
        self, make_strategy: Callable[[int], Strategy[Any]], space: SearchSpace[Any]
    ) -> None:
        proposals = self.run(make_strategy(0), space, self.rounds)
        assert proposals
        assert all(space.decode(space.encode(arch)) == arch for arch in proposals)
        keys = [space.canonical_key(arch) for arch in proposals]
        assert len(set(keys)) == len(keys)

    def test_proposals_depend_on_the_seed_only(
        self, make_strategy: Callable[[int], Strategy[Any]], space: SearchSpace[Any]
    ) -> None:
        first = self.run(make_strategy(1), space, self.rounds)
        assert self.run(make_strategy(1), space, self.rounds) == first
        assert self.run(make_strategy(2), space, self.rounds) != first

    def test_failed_evaluations_are_accepted(
        self, make_strategy: Callable[[int], Strategy[Any]], space: SearchSpace[Any]
    ) -> None:
        strategy = make_strategy(0)
        archs = strategy.ask(self.batch)
        strategy.tell(archs, np.full((len(archs), self.objectives), np.nan))
        assert self.run(strategy, space, 2)

    def test_values_must_match_architectures(
        self, make_strategy: Callable[[int], Strategy[Any]]
    ) -> None:
        strategy = make_strategy(0)
        archs = strategy.ask(self.batch)
        with pytest.raises(HwnasError):
            strategy.tell(archs, np.zeros((len(archs) + 1, self.objectives)))

    def test_restored_strategy_continues_exactly(
        self, make_strategy: Callable[[int], Strategy[Any]], space: SearchSpace[Any]
    ) -> None:
        original, copied = make_strategy(0), make_strategy(99)
        self.run(original, space, self.rounds)
        copied.restore(json.loads(json.dumps(original.state(), allow_nan=False)))
        assert self.run(copied, space, self.rounds) == self.run(original, space, self.rounds)

    def test_small_space_is_exhausted(
        self, make_strategy: Callable[[int], Strategy[Any]], space: SearchSpace[Any]
    ) -> None:
        members = _members(space, self.largest_to_exhaust)
        if members is None:
            pytest.skip(f"the space has more than {self.largest_to_exhaust} members")
        classes = {space.canonical_key(arch) for arch in members if space.is_valid(arch)}
        strategy, seen = make_strategy(0), set[str]()
        for _ in range(len(classes) + 1):
            archs = strategy.ask(self.batch)
            seen |= {space.canonical_key(arch) for arch in archs}
            strategy.tell(archs, self.values(space, archs))
        assert seen == classes
        assert strategy.ask(self.batch) == []


def _graphs(space: SearchSpace[Any]) -> Graphs[Any]:
    """Give the graphs; without this facet the tests of graphs do not apply."""
    graphs = facet(space, Graphs)
    if graphs is None:
        pytest.skip("the space has no graphs")
    return graphs


def _members(space: Any, limit: int) -> list[Any] | None:
    """List a space's members; None if there are more than `limit` or they cannot be listed."""
    members = members_of(space, limit)
    return None if members is None else list(members)


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
