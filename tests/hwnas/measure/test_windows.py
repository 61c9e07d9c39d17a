"""Energy in windows: gross and net of a device whose power is known."""

from __future__ import annotations

import pytest

from hwnas.errors import InvalidValueError
from hwnas.measure import windows
from hwnas.measure.windows import WINDOWS, watch


class Device:
    """A device with its own clock: it takes 10 W idle, and 2 J more a run of 0.1 s.

    Its counter is renewed every `period` seconds.
    """

    def __init__(self, period: float = 0.1, idle_w: float = 10.0, drift: float = 0.0) -> None:
        self.now, self.extra_mj, self.period = 0.0, 0.0, period
        self.idle_mw, self.drift, self._shown, self._at = 1e3 * idle_w, drift, 0.0, 0.0

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def run(self) -> None:
        self.now += 0.1
        self.extra_mj += 2e3 * (1 + self.drift * self.now)

    def read(self) -> float:
        if self.now - self._at >= self.period - 1e-9:
            self._at = self.now
            self._shown = self.idle_mw * self.now + self.extra_mj
        return self._shown


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Device:
    made = Device(**getattr(request, "param", {}))
    monkeypatch.setattr(windows, "perf_counter", made.clock)
    monkeypatch.setattr(windows, "sleep", made.sleep)
    return made


def test_gross_and_net_of_a_known_device(device: Device) -> None:
    found = watch(device.run, [device.read, device.clock], 1.0, "lab")
    # A run takes 0.1 s: 10 W * 0.1 s idle and 2 J of its own.
    assert found.values[:, 0] == pytest.approx([3_000] * WINDOWS, rel=1e-6)
    assert found.values[:, 1] == pytest.approx([0.1] * WINDOWS)
    assert found.net == pytest.approx([2_000] * WINDOWS, rel=1e-2)
    assert found.idle_per_second == pytest.approx((10_000, 10_000), rel=1e-2)
    assert found.seconds == pytest.approx(1.0, rel=0.12)
    assert found.renewals == pytest.approx(10)
    assert found.runs == pytest.approx(50, abs=8)
    facts = found.facts("energy", "mJ")
    assert facts["net_energy_mj"] == pytest.approx(2_000, rel=1e-2)
    assert facts["window_spread"] == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("device", [{"period": 0.5}], indirect=True)
def test_windows_are_long_enough_for_ten_renewals(device: Device) -> None:
    found = watch(device.run, [device.read], 1.0, "lab")
    assert found.renewals >= 10
    assert found.seconds >= 5.0
    assert found.values[:, 0] == pytest.approx([3_000] * WINDOWS, rel=0.1)


@pytest.mark.parametrize("device", [{"drift": 0.2}], indirect=True)
def test_a_drift_is_a_spread(device: Device) -> None:
    found = watch(device.run, [device.read], 1.0, "lab")
    gross = found.values[:, 0]
    mean = sum(gross) / WINDOWS
    variance = sum((g - mean) ** 2 for g in gross) / (WINDOWS - 1)
    assert found.spread == pytest.approx(variance**0.5 / mean)
    assert found.spread > 0.03


@pytest.mark.parametrize("device", [{"period": 1e9}], indirect=True)
def test_a_counter_that_stands_still_is_no_zero(device: Device) -> None:
    with pytest.raises(InvalidValueError, match="lab stood at 0 for 1 s"):
        watch(device.run, [device.read], 1.0, "lab")


@pytest.mark.parametrize("device", [{"period": 9.0}], indirect=True)
def test_a_counter_that_is_renewed_too_seldom_is_refused(device: Device) -> None:
    with pytest.raises(InvalidValueError, match="must be renewed 10 times in 60 s"):
        watch(device.run, [device.read], 10.0, "lab")
