"""The contracts of runtimes and meters refuse what does not keep them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from hwnas.errors import HwnasError
from hwnas.meters.clocks import WallClock
from hwnas.runtimes.base import Network, Prepared, RunSettings, TorchNetwork
from hwnas.runtimes.torch_runtime import TorchRuntime
from hwnas.seeding import seeded
from hwnas.testing import MeterContract, RuntimeContract

Change = Callable[[Any], Any]


def prepared_with(change: Change) -> dict[str, Any]:
    """Give a `prepare` whose executable is changed."""

    @contextmanager
    def prepare(self: TorchRuntime, network: Network, settings: RunSettings) -> Iterator[Any]:
        with TorchRuntime.prepare(self, network, settings) as executable:
            yield change(executable)

    return {"prepare": prepare}


def _moved(executable: Prepared) -> Prepared:
    outputs = executable.outputs
    return replace(executable, outputs=lambda: [array + 0.1 for array in outputs()])


def _drifting(executable: Prepared) -> Prepared:
    outputs, runs = executable.outputs, [0]

    def run() -> None:
        runs[0] += 1

    return replace(executable, run=run, outputs=lambda: [a + runs[0] for a in outputs()])


def _drawn_anew(executable: Prepared) -> Prepared:
    with seeded(int(torch.randint(1 << 30, ()))):
        return replace(executable, inputs=[torch.randn(2, 3, 8, 8).numpy()])


@contextmanager
def _careless(self: TorchRuntime, network: Network, settings: RunSettings) -> Iterator[Any]:
    assert isinstance(network, TorchNetwork)
    network.module.eval()
    with TorchRuntime.prepare(self, network, settings) as executable:
        yield executable


@contextmanager
def _indulgent(self: TorchRuntime, network: Network, settings: RunSettings) -> Iterator[Any]:
    del settings
    with TorchRuntime.prepare(self, network, RunSettings(batch=2)) as executable:
        yield executable


BROKEN_RUNTIMES: dict[str, dict[str, Any]] = {
    "test_facts": {"devices": lambda _: ["cpu", "cuda:0"]},
    "test_place_names_a_resource": {"place": lambda *_: ("",)},
    "test_outputs_are_those_of_pytorch": prepared_with(_moved),
    "test_key_says_what_runs": prepared_with(
        lambda e: replace(e, key=replace(e.key, precision="float16"))
    ),
    "test_inputs_depend_on_the_seed_only": prepared_with(_drawn_anew),
    "test_runs_repeat": prepared_with(_drifting),
    "test_network_and_process_are_left_alone": {"prepare": _careless},
    "test_what_is_not_there_is_refused": {"prepare": _indulgent},
}


@pytest.mark.parametrize("test", BROKEN_RUNTIMES)
def test_broken_runtimes_are_refused(test: str) -> None:
    broken = type("BrokenRuntime", (TorchRuntime,), BROKEN_RUNTIMES[test])()
    contract = RuntimeContract()
    known = {
        "runtime": broken,
        "network": RuntimeContract.network.__wrapped__(contract),  # type: ignore[attr-defined]
        "settings": RunSettings("cpu", batch=2, seed=3),
    }
    with pytest.raises((AssertionError, HwnasError, pytest.fail.Exception)):
        _call(contract, test, known)


@contextmanager
def _falling(*_: object) -> Iterator[Callable[[], float]]:
    left = iter(range(1000, 0, -1))
    yield lambda: float(next(left))


@contextmanager
def _silent(*_: object) -> Iterator[Callable[[], float]]:
    yield lambda: float(np.nan)


BROKEN_METERS: dict[str, dict[str, Any]] = {
    "test_facts": {"window_seconds": -1.0},
    "test_it_sees_its_own_place": {"sees": lambda *_: False},
    "test_readings_are_finite_and_do_not_fall": {"open": _falling},
    "test_it_can_be_opened_again": {"open": _silent},
    "test_two_can_be_open_at_once": {"open": _falling},
}


@pytest.mark.parametrize("test", BROKEN_METERS)
def test_broken_meters_are_refused(test: str) -> None:
    broken = type("BrokenMeter", (WallClock,), BROKEN_METERS[test])()
    with pytest.raises(AssertionError):
        _call(MeterContract(), test, {"meter": broken})


def _call(contract: Any, test: str, known: dict[str, Any]) -> None:
    """Run one test of a contract with the fixtures that it asks for."""
    method = getattr(contract, test)
    names = method.__code__.co_varnames[1 : method.__code__.co_argcount]
    method(**{name: known[name] for name in names})
