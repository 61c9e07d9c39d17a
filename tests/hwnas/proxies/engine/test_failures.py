"""What fails is the failure of its proxy alone."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from hwnas.errors import InvalidValueError
from hwnas.proxies import make_proxies, make_proxy
from hwnas.proxies.engine.scoring import score_network
from hwnas.proxies.engine.signals import Collector, OwnSignal, PassSignal
from hwnas.proxies.engine.subject import Subject
from hwnas.typing import Direction, Signals
from tests.hwnas.proxies.engine.test_scoring import SHAPE, values


class Signal1d(nn.Module):
    """Has no 2-D feature map, which the block proxies need."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(3, 8, 3, padding=1)
        self.fc = nn.Linear(8, 10)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.fc(self.conv(x.flatten(2)).relu().mean(2))
        return logits


class Volume(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv3d(1, 4, 3, padding=1)
        self.fc = nn.Linear(4, 10)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.fc(self.conv(x[:, None]).relu().mean((2, 3, 4)))
        return logits


def perceptron() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(192, 32), nn.ReLU(), nn.Linear(32, 10))


@pytest.mark.parametrize("build", [perceptron, Signal1d, Volume])
def test_a_proxy_that_is_not_defined_takes_no_other_with_it(build: Callable[[], nn.Module]) -> None:
    torch.manual_seed(0)
    model = build()
    names = ["naswot", "jacob_cov", "linear_regions", "epe_nas"]
    undefined = ["expressivity", "progressivity", "trainability"]
    for proxies in (make_proxies([*undefined, *names]), make_proxies([*names, *undefined])):
        scores = score_network(model, SHAPE, proxies, batch_size=8)
        assert all("has none" in str(scores[name].error) for name in undefined)
        for name in names:
            alone = score_network(model, SHAPE, [make_proxy(name)], batch_size=8)[name]
            assert (scores[name].value, scores[name].error) == (alone.value, None), name


@dataclass(frozen=True)
class Failing(PassSignal[float]):
    """Raises where it is told to."""

    place: str = ""
    error: type[Exception] = RuntimeError

    def collector(self, subject: Subject) -> Collector[float]:
        del subject
        if self.place == "collector":
            raise self.error("broken")
        return FailingCollector(self)


class FailingCollector(Collector[float]):
    def __init__(self, signal: Failing) -> None:
        self.signal = signal

    def fail(self, place: str) -> None:
        if self.signal.place == place:
            raise self.signal.error("broken")

    @contextmanager
    def watch(self, network: nn.Module, images: Tensor) -> Iterator[None]:
        images.requires_grad_()
        self.fail("watch")
        handle = network.register_forward_hook(lambda *_: self.fail("hook"))
        yield
        handle.remove()
        self.fail("exit")

    def finish(self, logits: Tensor) -> float:
        self.fail("finish")
        if self.signal.place == "backward":
            logits.register_hook(lambda _: self.fail("backward"))  # type: ignore[no-untyped-call]
            logits.sum().backward()  # type: ignore[no-untyped-call]
        if self.signal.place == "frees the graph":
            logits.sum().backward()  # type: ignore[no-untyped-call]
        return 1.0


@dataclass(frozen=True)
class FailingWork(OwnSignal[float]):
    error: type[Exception]

    def measure(self, subject: Subject) -> float:
        del subject
        raise self.error("broken")


@dataclass(frozen=True)
class Theirs:
    """A third party's proxy."""

    signal: PassSignal[float] | OwnSignal[float]
    error: type[Exception] | None = None

    name = "theirs"
    direction: Direction = "maximize"

    @property
    def needs(self) -> frozenset[Any]:
        return frozenset({self.signal})

    def score(self, signals: Signals) -> float:
        if self.error is not None:
            raise self.error("broken")
        return signals[self.signal]


ERRORS = (RuntimeError, KeyError, AssertionError, ZeroDivisionError, InvalidValueError)


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize(
    "place", ["collector", "watch", "hook", "exit", "finish", "backward", "measure", "score"]
)
def test_whatever_a_third_partys_proxy_raises_is_its_own_failure(
    resnet: nn.Module, place: str, error: type[Exception]
) -> None:
    proxies = make_proxies(["naswot", "jacob_cov", "trainability"])
    expected = values(resnet, proxies)
    work: PassSignal[float] | OwnSignal[float] = (
        FailingWork(error) if place == "measure" else Failing(place=place, error=error)
    )
    theirs = Theirs(work, error if place == "score" else None)
    for order in ([theirs, *proxies], [*proxies, theirs]):
        scores = score_network(resnet, SHAPE, order, batch_size=6)
        mine = scores.pop("theirs")
        assert math.isnan(mine.value)
        assert "broken" in str(mine.error)
        assert {name: score.value for name, score in scores.items()} == expected


def test_a_collector_that_frees_the_graph_takes_no_other_with_it(resnet: nn.Module) -> None:
    proxies = make_proxies(["jacob_cov", "trainability"])
    scores = score_network(
        resnet, SHAPE, [Theirs(Failing(place="frees the graph")), *proxies], batch_size=6
    )
    assert scores.pop("theirs").value == 1
    assert {name: score.value for name, score in scores.items()} == values(resnet, proxies)


class NeedsNothingThatCanBeTold:
    """A third party's, whose requests fail to be told."""

    name = "needless"
    direction: Direction = "maximize"

    @property
    def needs(self) -> tuple[Any, ...]:
        raise KeyError("no such\nsignal")

    def score(self, signals: Signals) -> float:
        raise AssertionError(f"has no signals, but got {signals}")


def test_needs_that_raise_are_the_failure_of_that_proxy_alone(resnet: nn.Module) -> None:
    failing: Any = NeedsNothingThatCanBeTold()
    others = make_proxies(["naswot", "params"])
    scores = score_network(resnet, SHAPE, [others[0], failing, others[1]], batch_size=6)
    assert list(scores) == ["naswot", "needless", "params"]
    assert math.isnan(scores["needless"].value)
    assert str(scores["needless"].error).startswith("needless raised KeyError: ")
    assert {n: s.value for n, s in scores.items() if n != "needless"} == values(resnet, others)


def test_scores_that_compare_images_need_two_of_them() -> None:
    proxies = ["naswot", "jacob_cov", "ntk_cond", "linear_regions", "synflow"]
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3))
    one, two = (
        score_network(network, (3, 8, 8), make_proxies(proxies), batch_size=size) for size in (1, 2)
    )
    for name in proxies[:-1]:
        assert str(one[name].error).startswith("`batch_size` must be at least 2 for a score that")
        assert math.isnan(one[name].value)
    assert one["synflow"].error is None
    assert [result.error for result in two.values()] == [None] * len(proxies)
