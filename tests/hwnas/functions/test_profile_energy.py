"""`hwnas.profile` with a sensor: gross and net energy of a real network on a made-up device."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ClassVar

import pytest
from torch import nn

import hwnas
from hwnas import registry
from hwnas.errors import InvalidValueError
from hwnas.runtimes.base import Place

NETWORK = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())


class Supply:
    """A bench supply that always gives 5 W, so that a network takes no more than nothing."""

    name: ClassVar[str] = "supply"
    metric: ClassVar[str] = "energy"
    unit: ClassVar[str] = "mJ"
    window_seconds: ClassVar[float] = 0.2
    grows_idle: ClassVar[bool] = True

    def sees(self, place: Place) -> bool:
        return place.resource == "this-cpu"

    @contextmanager
    def open(self, place: Place) -> Iterator[Callable[[], float]]:
        del place
        yield lambda: 5e3 * time.perf_counter()


@pytest.fixture
def _supply(monkeypatch: pytest.MonkeyPatch) -> None:
    load, names = registry.load, registry.names
    monkeypatch.setattr(
        registry, "load", lambda kind, name: Supply if name == "supply" else load(kind, name)
    )
    monkeypatch.setattr(
        registry, "names", lambda kind: [*(["supply"] if kind == "meters" else []), *names(kind)]
    )


@pytest.mark.usefixtures("_supply")
def test_energy_is_power_times_time_and_nothing_above_idle() -> None:
    found = hwnas.profile(NETWORK, (3, 8, 8), metric="energy")
    # mJ of 5 W in the wall-clock time of a run, whatever that is on this machine.
    assert found.energy_mj == pytest.approx(5 * found.latency_ms, rel=0.2)
    row = found.as_dict()
    assert abs(row["net_energy_mj"]) < 0.05 * found.energy_mj
    assert row["idle_before_mw"] == pytest.approx(5e3, rel=0.05)
    assert (row["clock"], row["windows"]) == ("supply", 5)


def test_a_host_without_sensor_is_told_before_anything_runs() -> None:
    with pytest.raises(InvalidValueError, match=r"`meter` must see all|must have a sensor"):
        hwnas.profile(NETWORK, (3, 8, 8), metric="energy", meter="nvml")
