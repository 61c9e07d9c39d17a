"""Threads take turns where they change what belongs to the process."""

from __future__ import annotations

import random
import sys
import threading
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest
import torch
from torch import nn

import hwnas
from hwnas.networks.settings import default_settings
from hwnas.process_state import PROCESS_STATE, unwarned
from hwnas.runtimes.base import RunSettings, TorchNetwork
from hwnas.runtimes.torch_runtime import TorchRuntime
from hwnas.seeding import numbers_seeded, seeded
from hwnas.spaces.functions import FunctionSpace
from hwnas.tasks.task import TensorSpec

INPUT = (3, 8, 8)
SECONDS = 0.2


class Meeting:
    """Lets two threads that come together leave in their order; one that comes alone goes on."""

    def __init__(self) -> None:
        self._both, self._left = threading.Barrier(2), threading.Event()

    def meet(self) -> None:
        with suppress(threading.BrokenBarrierError):
            if self._both.wait(SECONDS) == 1:
                self._left.wait(SECONDS)

    def leave(self) -> None:
        self._left.set()

    def reset(self) -> None:
        self._both.reset()


MEETING = Meeting()


def in_two_threads(function: Callable[[], Any]) -> list[Any]:
    with ThreadPoolExecutor(2) as threads:
        return [call.result() for call in [threads.submit(function) for _ in range(2)]]


def noisily(trial: Any) -> nn.Module:
    print("of nobody's interest")
    warnings.warn("of nobody's interest", stacklevel=1)
    MEETING.meet()
    return nn.Sequential(nn.Flatten(), nn.Linear(192, trial.suggest_int("width", 2, 3)))


def test_networks_that_threads_build_leave_output_warnings_and_numbers_as_they_were() -> None:
    space = FunctionSpace(noisily, INPUT, 3)
    arch = space.parse('{"width": 3}')
    space.build(arch)  # so that what is imported later holds nobody up
    MEETING.reset()

    def built() -> float:
        with seeded(7):
            network = space.build(arch)
        MEETING.leave()
        return float(sum(p.detach().sum() for p in network.parameters()))

    output, filters = sys.stdout, list(warnings.filters)
    python, numbers = random.getstate(), torch.get_rng_state()
    first, second = in_two_threads(built)
    assert first == second
    assert sys.stdout is output
    assert list(warnings.filters) == filters
    assert random.getstate() == python
    assert torch.equal(torch.get_rng_state(), numbers)


def score() -> object:
    return hwnas.score(nn.Sequential(nn.Flatten(), nn.Linear(192, 3)), INPUT, "params")


def build() -> object:
    space = FunctionSpace(lambda trial: nn.Linear(2, trial.suggest_int("w", 3, 3)), (2,), 3)
    return space.build(space.parse('{"w": 3}'))


def run() -> None:
    network = TorchNetwork(nn.Linear(2, 2), TensorSpec((2,), kind="vector"))
    with TorchRuntime().prepare(network, RunSettings()) as executable:
        executable.run()


def enter(context: Any) -> Callable[[], None]:
    def entered() -> None:
        with context():
            pass

    return entered


@pytest.mark.parametrize(
    "change",
    [
        score,
        build,
        run,
        enter(default_settings),
        enter(unwarned),
        enter(lambda: seeded(0)),
        enter(lambda: numbers_seeded(0)),
    ],
)
def test_what_changes_the_process_waits_for_its_turn(change: Callable[[], object]) -> None:
    change()  # so that what is imported later holds nobody up
    thread = threading.Thread(target=change)
    with PROCESS_STATE:
        change()  # in this thread it need not wait
        thread.start()
        thread.join(SECONDS)
        waits = thread.is_alive()
    thread.join()
    assert waits
