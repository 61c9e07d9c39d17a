"""Rounds in a folder are asked for once, and read at every run."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from hwnas.bundles.manifest import read_manifest
from hwnas.bundles.settings import BundleSettings
from hwnas.errors import DataFormatError, InvalidValueError, UnknownNameError
from hwnas.spaces.nasbench201 import NasBench201
from hwnas.spaces.networks import Networks
from hwnas.study.measured_elsewhere import (
    Answers,
    Rounds,
    bundle_settings,
    is_elsewhere,
    split_elsewhere,
)
from hwnas.tasks.catalogue import get_task
from hwnas.typing import DeviceKey, Direction, FloatArray
from tests.hwnas.bundles.small_bundle import ARCHS, SPACE, failed, result, write_results

KEYS = [SPACE.canonical_key(arch) for arch in ARCHS]
MINE = DeviceKey("mine")
NETWORKS = Networks(SPACE, get_task("cifar10"))


@dataclass
class Predicted:
    """What is measured elsewhere: only its device and unit are looked at."""

    device: DeviceKey
    metric: ClassVar[str] = "latency"
    unit: ClassVar[str] = "ms"
    direction: ClassVar[Direction] = "minimize"

    def predict(self, archs: Sequence[Any]) -> FloatArray:
        raise NotImplementedError

    def predict_std(self, archs: Sequence[Any]) -> FloatArray:
        raise NotImplementedError


def place(folder: Path, bundles: bool, device: DeviceKey = MINE) -> Rounds:
    settings = BundleSettings(seconds=0.02) if bundles else None
    return Rounds(folder, NETWORKS, Predicted(device), settings)


def test_a_table_waits_until_something_is_filled_in(tmp_path: Path) -> None:
    tables = place(tmp_path, bundles=False)
    assert tables.answers() == Answers(0, {}, 0, [])
    tables.ask(ARCHS, 1)
    table = tmp_path / "1.csv"
    assert table.read_text() == f"architecture,latency_ms\n{ARCHS[0]},\n{ARCHS[1]},\n"
    assert tables.answers() == Answers(1, {}, 2, [])
    table.write_text(f"arch,latency_ms\n{ARCHS[0]},1.5\n{ARCHS[1]},\n")
    found = tables.answers()
    assert (found.rounds, found.waiting) == (1, 0)
    assert found.known[KEYS[0]] == 1.5
    assert math.isnan(found.known[KEYS[1]])  # empty beside a value: it failed
    assert "fill in latency_ms (2 to measure)" in tables.next_step(1, 2)


def test_a_bundle_waits_for_what_its_runner_has_not_come_to(tmp_path: Path) -> None:
    bundles = place(tmp_path, bundles=True)
    bundles.ask(ARCHS, 1)
    assert bundles.answers() == Answers(1, {}, 2, [])
    manifest = read_manifest(tmp_path / "1")
    write_results(tmp_path / "1", result(manifest, "n0000"))
    found = bundles.answers()
    assert (found.known, found.waiting) == ({KEYS[0]: 1.0}, 1)
    write_results(tmp_path / "1", result(manifest, "n0000"), failed(manifest, "n0001"))
    found = bundles.answers()
    assert found.waiting == 0
    assert math.isnan(found.known[KEYS[1]])
    assert any("no memory" in line for line in found.remarks)
    assert any("'mine' is 'Board-5-rev.-1'" in line for line in found.remarks)
    (tmp_path / "1.csv").write_text(f"arch,latency_ms\n{ARCHS[0]},7\n")
    assert bundles.answers().known == {KEYS[0]: 7.0}


def test_rounds_are_read_one_after_another(tmp_path: Path) -> None:
    tables = place(tmp_path, bundles=False)
    for number, (arch, cost) in enumerate(zip(ARCHS, (1.0, 2.0), strict=True), start=1):
        tables.ask([arch], number)
        (tmp_path / f"{number}.csv").write_text(f"arch,latency_ms\n{arch},{cost}\n")
    (tmp_path / "4.csv").write_text("not of this search")
    assert tables.answers() == Answers(2, {KEYS[0]: 1.0, KEYS[1]: 2.0}, 0, [])


def test_answers_of_another_device_or_space_are_refused(tmp_path: Path) -> None:
    (tmp_path / "1.csv").write_text(f"arch,latency_ms,device\n{ARCHS[0]},7,pixel\n")
    board = DeviceKey("board", "onnxruntime-1.19.2")
    with pytest.raises(InvalidValueError, match="device board and not pixel"):
        place(tmp_path, bundles=False, device=board).answers()
    (tmp_path / "1.csv").write_text(f"arch,energy_mj\n{ARCHS[0]},7\n")
    with pytest.raises(InvalidValueError, match="must have a column 'latency_ms'"):
        place(tmp_path, bundles=False).answers()
    (tmp_path / "1.csv").write_text(f"arch,latency_ms\n{ARCHS[0]},fast\n")
    with pytest.raises(DataFormatError, match="Line 2"):
        place(tmp_path, bundles=False).answers()
    (tmp_path / "1.csv").unlink()
    place(tmp_path, bundles=True).ask(ARCHS[:1], 1)
    other = Networks(NasBench201(channels=8, cells=1), get_task("cifar10"))
    with pytest.raises(InvalidValueError, match="name another one"):
        Rounds(tmp_path, other, Predicted(MINE), BundleSettings()).answers()
    for task in ("cifar100", "ImageNet16-120"):
        other = Networks(SPACE, get_task(task))
        with pytest.raises(InvalidValueError, match=r"for .*num_classes.*is of .*10,.*another one"):
            Rounds(tmp_path, other, Predicted(MINE), BundleSettings()).answers()


def test_a_bundle_runs_as_what_was_predicted() -> None:
    key = DeviceKey("board", "litert-2.3.0", "int8", 2, 4)
    found = bundle_settings({"seconds": 2}, key)
    assert (found.runtime, found.precision, found.batch, found.threads) == ("litert", "int8", 2, 4)
    assert found.seconds == 2
    usual = bundle_settings({}, DeviceKey("mine"))
    assert usual == BundleSettings()
    with pytest.raises(InvalidValueError, match="threads 4 and not 2"):
        bundle_settings({"threads": 2}, key)
    with pytest.raises(InvalidValueError, match="must be like 1, but got 'two'"):
        bundle_settings({"threads": "two"}, DeviceKey("mine"))
    with pytest.raises(UnknownNameError, match="thread"):
        bundle_settings({"thread": 2}, key)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("bundle:a b/c", ("bundle", Path("a b/c"), {})),
        ("bundle:out:threads=4,seed=1", ("bundle", Path("out"), {"threads": 4, "seed": 1})),
        ("csv:C:/out", ("csv", Path("C:/out"), {})),
        ("csv:runs/lr=0.1", ("csv", Path("runs/lr=0.1"), {})),
        ("csv:C:/runs/lr=0.1", ("csv", Path("C:/runs/lr=0.1"), {})),
        ("bundle:lr=0.1", ("bundle", Path("lr=0.1"), {})),
        ("bundle:lr=0.1:threads=4", ("bundle", Path("lr=0.1"), {"threads": 4})),
    ],
)  # fmt: skip
def test_texts(text: str, parts: tuple[str, Path, dict[str, Any]]) -> None:
    assert is_elsewhere(text)
    assert split_elsewhere(text) == parts


@pytest.mark.parametrize("text", ["bundle:", "csv:", "csv:out:threads=4", "bundle::threads=4"])
def test_wrong_texts(text: str) -> None:
    with pytest.raises(InvalidValueError, match="must be bundle:FOLDER"):
        split_elsewhere(text)


def test_measurements_here_are_no_rounds() -> None:
    assert not is_elsewhere("onnxruntime:cpu:latency")
    assert np.isfinite(BundleSettings().seconds)
