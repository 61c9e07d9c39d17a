"""The reference network: what it is, when it is built, and its nominal time."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from hwnas.errors import InvalidValueError
from hwnas.files.cache_folder import cache_folder
from hwnas.measure import beside_reference, reference
from hwnas.measure.measuring import measure
from hwnas.measure.reference import (
    Nominal,
    calibrate,
    nominal,
    open_reference,
    reference_network,
    reference_settings,
)
from hwnas.runtimes import make_runtime
from hwnas.runtimes.base import PrecisionError, RunSettings, TorchNetwork

ORT = make_runtime("onnxruntime")


@pytest.fixture(autouse=True)
def _nothing_kept(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(reference, "_kept", {})
    monkeypatch.setattr(reference, "_unwritten", {})
    yield
    for stack, _ in reference._kept.values():
        stack.close()


def test_it_is_always_the_same_network_and_leaves_the_generator_alone() -> None:
    torch.manual_seed(3)
    state = torch.get_rng_state()
    one, two = reference_network().module.state_dict(), reference_network().module.state_dict()
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(one[name], two[name]) for name in one)
    # Convolutions 432, 2304, 256, 4608, 9216, 18432 and 36864, batch norms 480, linear 650.
    assert sum(tensor.numel() for tensor in reference_network().module.parameters()) == 73_242


def test_it_runs_one_image_with_the_settings_of_the_measurement() -> None:
    asked = RunSettings(threads=2, batch=8, precision="int8", seed=5, images="cifar10-sample")
    assert reference_settings(ORT, asked) == RunSettings(threads=2, batch=1, precision="int8")


def test_it_is_built_once_for_each_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[int] = []

    def build() -> TorchNetwork:
        built.append(1)
        return reference_network()

    monkeypatch.setattr(reference, "reference_network", build)
    for settings in (RunSettings(), RunSettings(batch=4), RunSettings(threads=2), RunSettings()):
        with open_reference(ORT, settings, keep=True) as made:
            made.run()
    assert len(built) == 2
    with open_reference(ORT, RunSettings(), keep=False):
        assert len(built) == 3


class Clock:
    """Runs of `ms` one after another, the last for ever, on a clock that only they advance."""

    def __init__(self, *ms: float) -> None:
        self.ms, self.seconds, self.runs = ms, 0.0, 0

    def run(self) -> list[float]:
        took = self.ms[self.runs % len(self.ms)]
        self.runs += 1
        self.seconds += took / 1e3
        return [took]


def test_nominal_time_is_the_median_of_the_fastest_of_bursts() -> None:
    clock = Clock(1.0, 1.2, 1.5)  # each burst of six runs has a run of 1 ms
    assert calibrate(clock.run, lambda: clock.seconds) == pytest.approx((1.0, 1e-3))
    assert 0.7 < clock.seconds < 2.0


def test_nominal_time_is_measured_once_on_a_host() -> None:
    times = iter([Nominal(0.25, 0.5), Nominal(7.0, 7.0), Nominal(9.0, 9.0)])
    first = nominal("cpu/ort", "cpu", "host a", lambda: next(times))
    assert nominal("cpu/ort", "cpu", "host a", lambda: next(times)) == first == Nominal(0.25, 0.5)
    assert nominal("cpu/ort", "cpu", "host b", lambda: next(times)).value == 7.0
    assert nominal("cpu/ort", "wall", "host a", lambda: next(times)).value == 9.0
    (file, *_) = sorted((cache_folder() / "references").iterdir())
    assert json.loads(file.read_text())["identity"]["key"] == "cpu/ort"


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"value": "x"}', "\xff", '{"value": 1}'])
def test_a_damaged_nominal_time_is_measured_again_and_said(
    text: str, caplog: pytest.LogCaptureFixture
) -> None:
    times = iter([Nominal(0.25, 0.5), Nominal(0.3, 0.5)])
    nominal("k", "cpu", "host", lambda: next(times))
    (file,) = (cache_folder() / "references").iterdir()
    file.write_text(text, encoding="latin-1")
    with caplog.at_level(logging.WARNING):
        assert nominal("k", "cpu", "host", lambda: next(times)).value == 0.3
    assert str(file) in caplog.text
    assert nominal("k", "cpu", "host", lambda: next(times)).value == 0.3


def test_where_nothing_can_be_written_it_is_known_to_the_process(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    taken = tmp_path / "file"
    taken.write_text("")
    monkeypatch.setenv("HWNAS_CACHE", str(taken))
    times = iter([Nominal(0.25, 0.5)])
    first, again = (nominal("k", "cpu", "host", lambda: next(times)) for _ in range(2))
    assert first == again


def test_measurement_says_raw_value_ratio_and_corrected_value(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(beside_reference, "calibrate", lambda _: Nominal(1000.0, 2e-4))
    network = TorchNetwork(torch.nn.Conv2d(3, 4, 3), (3, 8, 8))
    found = measure(network, ORT, max_seconds=0.1, reference=True)
    told: dict[str, Any] = found.as_dict()
    assert told["latency_ms"] == pytest.approx(1000 * told["ratio_to_reference"])
    assert told["reference_nominal_ms"] == 1000.0
    assert 0 < told["reference_ms"] < 100
    assert told["raw_ms"] == found.cpu_ms
    assert found.runs >= told["rounds"] >= 1
    assert found.p90 <= found.p95
    assert np.isnan(found.p99) == (found.runs < 3000)
    raw = measure(network, ORT, max_seconds=0.1)
    assert raw.value == raw.cpu_ms < 100
    assert "reference_ms" not in raw.facts
    assert raw.as_dict()["warmup_runs"] >= 1


def test_a_precision_that_nothing_has_here_is_not_blamed_on_the_reference() -> None:
    class Without(SimpleNamespace):
        def prepare(self, *_: Any) -> Any:
            raise self.error

    about_float_operators = InvalidValueError("`precision` int8 must be possible")
    errors = (PrecisionError("no"), "no"), (about_float_operators, "`reference` must run")
    for error, start in errors:
        runtime: Any = Without(error=error, name="r", version=lambda: "1")
        runtime.precisions, runtime.options = ("float32", "float16"), {}
        with pytest.raises(InvalidValueError, match=f"^{start}"):
            open_reference(runtime, RunSettings(precision="float16"), keep=False).__enter__()
