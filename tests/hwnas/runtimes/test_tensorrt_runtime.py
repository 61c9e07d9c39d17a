"""TensorRT against a program that stands in for ``trtexec``; no GPU was seen."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, nullcontext
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from torch import nn

from hwnas.costs.measured import RuntimeCost
from hwnas.errors import InvalidValueError, MissingDependencyError
from hwnas.measure import reference
from hwnas.measure.measuring import measure
from hwnas.measure.reference import reference_settings
from hwnas.runtimes import make_runtime, trtexec
from hwnas.runtimes.base import Executable, RunSettings, Runtime, TorchNetwork
from hwnas.runtimes.trtexec import find_program, version_text
from hwnas.seeding import seeded
from hwnas.spaces.nasbench201 import NasBench201
from hwnas.testing import RuntimeContract
from tests.hwnas.runtimes.fake_trtexec import calls, run_here, set_factors, write_fake

LATENCIES = [1.5, 2.0, 1.75, 9.0, 1.625] * 8
VERSIONS = pytest.mark.parametrize("number", [8601, 100200, 110400])


@pytest.fixture(autouse=True)
def _no_reference_is_kept(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    kept: dict[str, tuple[ExitStack, Executable]] = {}
    monkeypatch.setattr(reference, "_kept", kept)
    yield
    for stack, _ in kept.values():
        stack.close()


def installed(monkeypatch: pytest.MonkeyPatch, folder: Path, number: int) -> Runtime:
    monkeypatch.setenv("TRTEXEC", str(write_fake(folder, number, LATENCIES)))
    # The contract and the tests of bundles start it as a program.
    monkeypatch.setattr(
        trtexec, "subprocess", SimpleNamespace(**{**vars(subprocess), "run": run_here})
    )
    return make_runtime("tensorrt")


def network() -> TorchNetwork:
    with seeded(0):
        layers = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2))
    return TorchNetwork(layers, (3, 8, 8))


class TestTensorRt(RuntimeContract):
    @pytest.fixture
    def runtime(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Runtime:
        monkeypatch.setenv("TRTEXEC", str(write_fake(tmp_path, 100200, LATENCIES)))
        return make_runtime("tensorrt")


@VERSIONS
@pytest.mark.parametrize("precision", ["float32", "float16", "int8"])
def test_times_are_those_after_the_warm_up(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, number: int, precision: str
) -> None:
    runtime = installed(monkeypatch, tmp_path, number)
    settings = RunSettings("cuda", precision=precision)
    found = measure(network(), runtime, settings, max_seconds=2.0, reference=True)
    assert found.value == np.median(LATENCIES) == 1.75
    assert found.p90 == np.percentile(LATENCIES, 90)
    assert found.runs == len(LATENCIES)
    assert (found.unit, found.wall_ms) == ("ms", 1.75)
    assert np.isnan(found.cpu_ms)
    version = {8601: "8.6.1", 100200: "10.2.0", 110400: "11.4.0"}[number]
    assert str(found.key) == f"cuda/tensorrt-{version}/{precision}/b1/t1"
    assert found.relative_error < {"float32": 1e-5, "float16": 1e-2, "int8": 0.1}[precision]
    assert found.correlation > 0.99
    assert found.facts["gpu"] == "Orin"
    assert found.facts["compute_ms"] == pytest.approx(1.6)
    assert found.facts["copy_in_ms"] == pytest.approx(0.1)
    lines = calls(tmp_path)
    of_reference, build = [number for number, line in enumerate(lines) if "--onnx=" in line]
    others = lines[build + 1 :]
    before, own, after = others[-3:]
    flag = {"float32": "--noTF32", "float16": "--fp16", "int8": "--int8"}[precision]
    for line in (lines[of_reference], lines[build]):
        assert (flag in line.split()) == (precision == "float32" or number < 110000)
    assert all("--loadEngine=" in line and "--onnx=" not in line for line in others)
    assert "--warmUp=200 --duration=2 --iterations=10" in own
    assert all("--duration=1 " in line for line in (before, after))


def test_a_latency_is_at_the_reference_s_nominal_speed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    runtime = installed(monkeypatch, tmp_path, 100200)
    first = measure(network(), runtime, RunSettings("cuda"), max_seconds=1.0, reference=True)
    set_factors(tmp_path, {8: [3.0], 32: [3.0]})
    again = measure(network(), runtime, RunSettings("cuda"), max_seconds=1.0, reference=True)
    assert again.value == pytest.approx(first.value)
    assert again.facts["raw_ms"] == again.facts["reference_ms"] == 3 * 1.75
    assert again.facts["reference_nominal_ms"] == 1.75
    assert again.facts["ratio_to_reference"] == 1.0
    assert again.facts["reference_drift"] == 0.0
    raw = measure(network(), runtime, RunSettings("cuda"), max_seconds=1.0)
    assert (raw.value, "reference_ms" in raw.facts) == (3 * 1.75, False)


def test_network_and_reference_have_times_of_their_own(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    runtime = installed(monkeypatch, tmp_path, 100200)
    # The reference's images are 32 wide: its nominal time, and those before and after.
    set_factors(tmp_path, {8: [4.0, 9.0], 32: [2.0, 1.0, 3.0, 9.0]})
    found = measure(network(), runtime, RunSettings("cuda"), max_seconds=1.0, reference=True)
    # Medians are 1.75 times the factor: 7 ms by (1.75 + 5.25) / 2, at the nominal 3.5 ms.
    assert (found.value, found.facts["raw_ms"]) == (7.0, 7.0)
    assert found.facts["ratio_to_reference"] == 2.0
    assert found.facts["reference_ms"] == found.facts["reference_nominal_ms"] == 3.5
    assert found.facts["reference_drift"] == 1.0
    assert (found.wall_ms, found.p90) == (7.0, 4 * np.percentile(LATENCIES, 90))


def test_the_reference_is_timed_anew_where_a_precision_is_written_otherwise(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    runtime = installed(monkeypatch, tmp_path, 100200)
    set_factors(tmp_path, {8: [1.0, 1.0], 32: [1.0, 1.0, 1.0, 2.0, 2.0, 2.0]})
    usual = []
    for text in ("", "some other way"):
        monkeypatch.setattr(type(runtime), "written", lambda *_, t=text: t, raising=False)
        found = measure(network(), runtime, RunSettings("cuda"), max_seconds=1.0, reference=True)
        usual.append(found.facts["reference_nominal_ms"])
    assert usual == [1.75, 2 * 1.75]


def test_the_reference_is_built_once_and_asked_for_no_layers(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    runtime = installed(monkeypatch, tmp_path, 100200)
    settings = RunSettings("cuda", options=(("layers", "on"), ("cuda_graph", "on")))
    assert reference_settings(runtime, settings).options == (("cuda_graph", "on"),)
    for _ in range(2):
        found = measure(network(), runtime, settings, max_seconds=1.0, reference=True)
        assert "slowest_layers" in found.facts
    lines = calls(tmp_path)
    assert sum("--onnx=" in line for line in lines) == 3
    assert sum("--dumpProfile" in line for line in lines) == 2
    assert sum("--exportTimes=" in line for line in lines) == 7  # the nominal time, and 3 each


def test_options_and_layers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    runtime = installed(monkeypatch, tmp_path, 100200)
    options = (("cuda_graph", "on"), ("layers", "on"))
    found = measure(network(), runtime, RunSettings("cuda", options=options), max_seconds=1.0)
    assert found.key.runtime == "tensorrt-10.2.0[cuda_graph=on,layers=on]"
    assert found.facts["slowest_layers"] == "conv1 + relu1 0.5 ms, fc 0.25 ms, pool 0.125 ms"
    assert "--useCudaGraph" in calls(tmp_path)[-1]


@pytest.mark.parametrize(
    ("kept", "wrong"),
    [("AveragePool", "AveragePool"), ("Conv", None), ("AveragePool+Conv", None), ("Gemm", None)],
)
def test_what_may_run_in_int8_in_spite_of_it_is_refused(
    kept: str, wrong: str | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    runtime = installed(monkeypatch, tmp_path, 100200)
    layers = [nn.Conv2d(3, 8, 3), nn.AvgPool2d(3, 1, 1), nn.Conv2d(8, 8, 3)]
    head = [nn.Flatten(), nn.Linear(128, 2)]
    subject = TorchNetwork(nn.Sequential(*layers, *head).eval(), (3, 8, 8))
    settings = RunSettings("cuda", precision="int8", options=(("float_operators", kept),))
    refused = pytest.raises(InvalidValueError, match=f"may compute {wrong} in int8, as all around")
    with nullcontext() if wrong is None else refused, runtime.prepare(subject, settings):
        pass


def test_as_a_cost(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    installed(monkeypatch, tmp_path, 100200)
    space = NasBench201(channels=4, cells=1)
    cost = RuntimeCost(space, None, "tensorrt", settings=RunSettings("cuda"), max_seconds=1.0)
    archs = [space.sample(np.random.default_rng(i)) for i in range(2)]
    assert cost.predict(archs).tolist() == [1.75, 1.75]
    assert cost.device_name == "tensorrt_cuda"
    assert "TensorRT 10.2.0" in cost.fingerprint
    assert cost.resource == "gpu0"


def test_what_fails_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    runtime = installed(monkeypatch, tmp_path, 100200)
    with pytest.raises(InvalidValueError, match="`metric` energy must be measured run by run"):
        measure(network(), runtime, RunSettings("cuda"), metric="energy", meter="pretended")
    (tmp_path / "trtexec").write_text("#!/bin/sh\necho '[E] Out of memory'; exit 1\n")
    with (
        pytest.raises(InvalidValueError, match="TensorRT can run, but trtexec says: Out of memory"),
        runtime.prepare(network(), RunSettings("cuda")),
    ):
        pass
    with pytest.raises(MissingDependencyError, match="says: Out of memory"):
        make_runtime("tensorrt")


def test_what_is_not_installed_says_how(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("TRTEXEC", raising=False)
    monkeypatch.setattr(trtexec, "USUAL", str(tmp_path / "usual"))
    with pytest.raises(MissingDependencyError, match="there is none: it comes with TensorRT"):
        make_runtime("tensorrt")
    monkeypatch.setenv("TRTEXEC", str(tmp_path / "gone"))
    with pytest.raises(MissingDependencyError, match=r"TRTEXEC names .*gone', which is no program"):
        make_runtime("tensorrt")
    monkeypatch.delenv("TRTEXEC")
    program = write_fake(tmp_path, 8601, LATENCIES)
    assert find_program() == str(program)
    assert version_text("8601") == "8.6.1"
