"""No collections meanwhile, as before afterwards, and no garbage that stays."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Barrier

import pytest
from torch import nn

from hwnas.networks.garbage import without_garbage_collection
from hwnas.proxies import make_proxies
from hwnas.proxies.engine.scoring import score_network


class Circle:
    """Refers to itself: only a collection frees it."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture
def collections() -> Iterator[list[str]]:
    """Give the phases of all collections; each few new objects ask for one."""
    seen: list[str] = []

    def note(phase: str, info: dict[str, int]) -> None:
        del info
        seen.append(phase)

    before = gc.get_threshold()
    gc.collect()
    gc.set_threshold(5, 1, 1)
    gc.callbacks.append(note)
    yield seen
    gc.callbacks.remove(note)
    gc.set_threshold(*before)


@contextmanager
def collecting(enabled: bool) -> Iterator[None]:
    switch = gc.enable if enabled else gc.disable
    switch()
    try:
        yield
    finally:
        gc.enable()


@pytest.mark.parametrize("enabled", [True, False])
def test_it_is_as_before_afterwards(enabled: bool) -> None:
    with collecting(enabled):
        with without_garbage_collection():
            assert not gc.isenabled()
            with without_garbage_collection():
                pass
            assert not gc.isenabled()
        assert gc.isenabled() == enabled
        with pytest.raises(KeyError), without_garbage_collection():
            raise KeyError
        assert gc.isenabled() == enabled


def test_threads_that_overlap_leave_it_switched_on() -> None:
    both = Barrier(2)

    def work(turn: int) -> None:
        for _ in range(50):
            both.wait()
            with without_garbage_collection():
                if turn:
                    both.wait()  # leaves once the other one is inside, and perhaps before it
            if not turn:
                both.wait()

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(work, range(2)))
    assert gc.isenabled()


def test_circles_go_with_the_first_collection_afterwards(collections: list[str]) -> None:
    with without_garbage_collection():
        collections.clear()
        circle = weakref.ref(Circle())
        _ = [[] for _ in range(1000)]
        assert circle() is not None
        assert not collections
    _ = [[] for _ in range(1000)]
    assert circle() is None


def test_scoring_collects_nothing_and_leaves_no_circles(collections: list[str]) -> None:
    layers = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 4, 3)
    model = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    names = "jacob_cov,trainability,expressivity,naswot,synflow,meco,params,flops,epsilon"
    proxies = make_proxies(names.split(","))
    score_network(model, (3, 6, 6), proxies, batch_size=4)  # imports
    gc.collect()
    with without_garbage_collection():
        collections.clear()
        scores = score_network(model, (3, 6, 6), proxies, batch_size=4)
        assert not collections
        assert gc.collect() == 0
    assert {name: result.error for name, result in scores.items() if result.error} == {}
