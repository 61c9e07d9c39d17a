"""The contract tests, run on small honest components and on ones broken on purpose."""

from __future__ import annotations

import inspect
import itertools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pytest
from torch import nn

from hwnas import registry
from hwnas.errors import DataFormatError, InvalidArchitectureError, InvalidValueError
from hwnas.graphs.arch_graph import INPUT, OUTPUT, ArchGraph
from hwnas.tasks.catalogue import get_task
from hwnas.tasks.task import Task, image_classes
from hwnas.testing import (
    CostModelContract,
    PredictorContract,
    ProxyContract,
    SearchSpaceContract,
    StrategyContract,
)
from hwnas.typing import DeviceKey, Direction, FloatArray, Proxy, Signal, Signals

CHOICES = ("none", "conv", "pool")


@dataclass(frozen=True)
class Chain:
    """Three operations one after another; `none` passes its input on."""

    operations: tuple[str, ...]

    def __str__(self) -> str:
        return ">".join(self.operations)


@dataclass(frozen=True)
class Chains:
    """A space of 27 chains, of which 15 compute something different."""

    name: str = field(default="chains", init=False, repr=False)

    @property
    def parameters(self) -> Mapping[str, tuple[str, ...]]:
        return {f"op{i}": CHOICES for i in range(3)}

    def __len__(self) -> int:
        return 27

    def __iter__(self) -> Iterator[Chain]:
        return map(Chain, itertools.product(CHOICES, repeat=3))

    def parse(self, text: str) -> Chain:
        operations = tuple(text.split(">"))
        if len(operations) != 3 or not set(operations) <= set(CHOICES):
            raise InvalidArchitectureError(f"`text` must be three operations, but got {text!r}.")
        return Chain(operations)

    def decode(self, parameters: Mapping[str, Any]) -> Chain:
        for name, choices in self.parameters.items():
            if parameters.get(name) not in choices:
                raise InvalidArchitectureError(f"`{name}` must be one of {choices}.")
        return Chain(tuple(parameters[name] for name in self.parameters))

    def encode(self, arch: Chain) -> dict[str, str]:
        return {f"op{i}": operation for i, operation in enumerate(arch.operations)}

    def is_valid(self, arch: Chain) -> bool:
        return bool(arch)

    def canonical_key(self, arch: Chain) -> str:
        return ">".join(o for o in arch.operations if o != "none")

    def representative(self, arch: Chain) -> Chain:
        return next(a for a in self if self.canonical_key(a) == self.canonical_key(arch))

    def neighbours(self, arch: Chain) -> list[Chain]:
        return [
            a
            for a in self
            if sum(x != y for x, y in zip(a.operations, arch.operations, strict=True)) == 1
        ]

    def sample(self, rng: np.random.Generator) -> Chain:
        return Chain(tuple(CHOICES[i] for i in rng.integers(3, size=3)))

    @property
    def default_task(self) -> Task:
        return get_task("cifar10")

    def build(self, arch: Chain, task: Task | None = None) -> nn.Module:
        num_classes, in_shape = image_classes(task or self.default_task, self.name)
        kinds: dict[str, Callable[[], nn.Module]] = {
            "none": nn.Identity,
            "pool": lambda: nn.AvgPool2d(3, 1, 1),
            "conv": lambda: nn.Conv2d(in_shape[0], in_shape[0], 3, padding=1),
        }
        head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(in_shape[0], num_classes)]
        return nn.Sequential(*(kinds[o]() for o in arch.operations), *head)

    def to_graph(self, arch: Chain) -> ArchGraph:
        inner = [o for o in arch.operations if o != "none"]
        return ArchGraph((INPUT, *inner, OUTPUT), np.eye(len(inner) + 2, k=1, dtype=np.int64))


class Ridge:
    """Ridge regression on one-hot choices."""

    metric, unit = "cost", "ms"
    direction: Direction = "minimize"

    def __init__(self, space: Chains) -> None:
        self.space = space
        self.weights: FloatArray | None = None

    @property
    def device(self) -> DeviceKey:
        return DeviceKey("made-up")

    def _features(self, archs: Sequence[Chain]) -> FloatArray:
        rows = [
            [1.0]
            + [
                float(self.space.encode(a)[k] == c)
                for k, cs in self.space.parameters.items()
                for c in cs
            ]
            for a in archs
        ]
        return np.array(rows).reshape(len(archs), 10)

    def fit(self, archs: Sequence[Chain], costs: npt.ArrayLike) -> Self:
        y, x = np.asarray(costs, dtype=np.float64), self._features(archs)
        if y.shape != (len(archs),):
            raise InvalidValueError(f"`costs` must have shape ({len(archs)},), but got {y.shape}.")
        self.weights = np.asarray(np.linalg.solve(x.T @ x + 1e-3 * np.eye(10), x.T @ y), np.float64)
        return self

    def predict(self, archs: Sequence[Chain]) -> FloatArray:
        if self.weights is None:
            raise InvalidValueError("`predict` needs a fitted predictor: call `fit` first.")
        values: FloatArray = self._features(archs) @ self.weights
        return values

    def save(self, path: Any) -> None:
        assert self.weights is not None
        Path(path).write_text(json.dumps({"ridge": self.weights.tolist()}))

    @classmethod
    def load(cls, path: Any) -> Self:
        loaded = cls(Chains())
        try:
            loaded.weights = np.array(json.loads(Path(path).read_text())["ridge"])
        except (ValueError, KeyError, TypeError) as error:
            raise DataFormatError(f"`{path}` must hold a ridge predictor: {error}") from error
        return loaded


class RandomSearch:
    """Proposes each class of a small space once, in random order."""

    def __init__(self, space: Chains, seed: int) -> None:
        self.space = space
        classes = sorted({str(space.representative(a)) for a in space})
        self.queue = [str(text) for text in np.random.default_rng(seed).permutation(classes)]

    def ask(self, n: int) -> list[Chain]:
        asked, self.queue = self.queue[:n], self.queue[n:]
        return [self.space.parse(text) for text in asked]

    def tell(self, archs: Sequence[Chain], values: npt.ArrayLike) -> None:
        if len(np.asarray(values)) != len(archs):
            raise InvalidValueError(f"`values` must have {len(archs)} rows.")

    def state(self) -> dict[str, Any]:
        return {"queue": self.queue}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.queue = list(state["queue"])


class TestChains(SearchSpaceContract):
    @pytest.fixture
    def space(self) -> Chains:
        return Chains()


class TestRidge(PredictorContract):
    @pytest.fixture
    def space(self) -> Chains:
        return Chains()

    @pytest.fixture
    def make_predictor(self, space: Chains) -> Callable[[], Ridge]:
        return lambda: Ridge(space)


class TestFittedRidge(CostModelContract):
    @pytest.fixture
    def space(self) -> Chains:
        return Chains()

    @pytest.fixture
    def cost(self, space: Chains) -> FittedRidge:
        return FittedRidge(space)


class FittedRidge(Ridge):
    """A ridge that knows the number of convolutions."""

    def __init__(self, space: Chains) -> None:
        super().__init__(space)
        self.fit(list(space), [a.operations.count("conv") for a in space])

    def __repr__(self) -> str:
        return "FittedRidge()"


# They are not defined for the contract's network: their own tests run it on others.
_OTHER_NETWORKS = {"nn_mass", "nn_degree", "te_nas_regions"}


class TestProxies(ProxyContract):
    @pytest.fixture(params=[n for n in registry.names("proxies") if n not in _OTHER_NETWORKS])
    def proxy(self, request: pytest.FixtureRequest) -> Proxy:
        made: Proxy = registry.load("proxies", request.param)()
        return made


class TestRandomSearch(StrategyContract):
    rounds = 2

    @pytest.fixture
    def space(self) -> Chains:
        return Chains()

    @pytest.fixture
    def make_strategy(self, space: Chains) -> Callable[[int], RandomSearch]:
        return lambda seed: RandomSearch(space, seed)


# Each contract must also refuse what is wrong: components that break one promise each.


def call(contract: object, test: str, **fixtures: Any) -> None:
    """Run one test of a contract with those of the fixtures that it takes."""
    function = getattr(contract, test)
    function(**{name: fixtures[name] for name in inspect.signature(function).parameters})


NONE, CONV = Chain(("none",) * 3), Chain(("conv",) * 3)


def _graph_in_another_order(*_: Any) -> ArchGraph:
    parallel = np.zeros((4, 4), dtype=np.int64)
    parallel[0, 1:3] = parallel[1:3, 3] = 1
    return ArchGraph((INPUT, "b", "a", OUTPUT), parallel)


BROKEN_SPACES: dict[str, dict[str, Any]] = {
    "test_text_and_parse_are_inverse": {"parse": lambda *_: NONE},
    "test_encode_and_decode_are_inverse": {"decode": lambda *_: NONE},
    "test_representative_is_in_the_same_class": {"representative": lambda *_: CONV},
    "test_key_and_canonical_graph_agree": {"canonical_key": lambda _, arch: str(arch)},
    "test_neighbours_differ_in_one_parameter": {"neighbours": lambda _, arch: [arch]},
    "test_being_neighbours_is_mutual": {"neighbours": lambda *_: [NONE]},
    "test_sampling_depends_on_the_generator_only": {
        "sample": lambda *_: Chains().sample(np.random.default_rng())
    },
    "test_network_maps_images_to_logits": {"build": lambda *_: nn.Flatten()},
    "test_graph_is_canonical": {"to_graph": _graph_in_another_order},
}


@pytest.mark.parametrize("test", BROKEN_SPACES)
def test_broken_spaces_are_refused(test: str) -> None:
    space = type("BrokenChains", (Chains,), BROKEN_SPACES[test])()
    archs = [Chains().sample(np.random.default_rng(seed)) for seed in range(20)]
    with pytest.raises(AssertionError):
        call(SearchSpaceContract(), test, space=space, archs=archs)


BROKEN_PREDICTORS: dict[str, dict[str, Any]] = {
    "test_fit_gives_the_predictor_itself": {"fit": lambda *_: None},
    "test_predicting_needs_fitting": {"predict": lambda _, archs: np.zeros(len(archs))},
    "test_costs_must_match_architectures": {"fit": lambda self, *_: self},
    "test_one_value_an_architecture": {"predict": lambda _, archs: np.zeros((len(archs), 1))},
    "test_values_belong_to_architectures": {
        "predict": lambda _, archs: np.arange(len(archs), dtype=float)
    },
    "test_prediction_beats_the_mean": {"predict": lambda _, archs: np.full(len(archs), 4.0)},
    "test_fitting_repeats": {
        "predict": lambda _, archs: np.random.default_rng().random(len(archs))
    },
    "test_saved_predictor_is_the_same": {"unit": property(lambda self: str(id(self)))},
}


@pytest.mark.parametrize("test", BROKEN_PREDICTORS)
def test_broken_predictors_are_refused(test: str, tmp_path: Path) -> None:
    space, broken = Chains(), type("BrokenRidge", (Ridge,), BROKEN_PREDICTORS[test])
    archs = list(space)
    costs = np.array([1.0 + a.operations.count("conv") for a in archs])
    known: dict[str, Any] = {"archs": archs, "costs": costs, "tmp_path": tmp_path}
    if not test.startswith("test_fit_gives"):
        known["fitted"] = broken(space).fit(archs, costs)
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        call(PredictorContract(), test, make_predictor=lambda: broken(space), **known)


def _ask_the_same(self: RandomSearch, n: int) -> list[Chain]:
    return [self.space.parse(text) for text in self.queue[:n]]


BROKEN_STRATEGIES: dict[str, dict[str, Any]] = {
    "test_proposals_are_members_and_differ": {"ask": _ask_the_same},
    "test_proposals_depend_on_the_seed_only": {
        "__init__": lambda self, space, _: RandomSearch.__init__(self, space, 0)
    },
    "test_values_must_match_architectures": {"tell": lambda *_: None},
    "test_restored_strategy_continues_exactly": {"restore": lambda *_: None},
    "test_small_space_is_exhausted": {"ask": _ask_the_same},
}


@pytest.mark.parametrize("test", BROKEN_STRATEGIES)
def test_broken_strategies_are_refused(test: str) -> None:
    space, broken = Chains(), type("BrokenSearch", (RandomSearch,), BROKEN_STRATEGIES[test])
    contract = StrategyContract()
    contract.rounds = 2
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        call(contract, test, make_strategy=lambda seed: broken(space, seed), space=space)


@dataclass(frozen=True)
class BrokenProxy:
    """Its score is drawn anew each time."""

    name: str = "broken"
    direction: Direction = "maximize"
    needs: frozenset[Signal[object]] = frozenset()

    def score(self, _: Signals) -> float:
        return float(np.random.default_rng().random())


def test_proxies_that_do_not_repeat_are_refused() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 5))
    with pytest.raises(AssertionError):
        ProxyContract().test_score_depends_on_the_seed_only(BrokenProxy(), network)


def test_chains_have_15_classes() -> None:
    assert len({Chains().canonical_key(chain) for chain in Chains()}) == 1 + 2 + 4 + 8
