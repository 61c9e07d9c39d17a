"""What is taken from a device: checked as data, corrected, and written as CSV."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from hwnas.bundles.manifest import Manifest, read_manifest
from hwnas.bundles.results import read_results, write_measurements
from hwnas.bundles.runner import MANIFEST
from hwnas.errors import DataFormatError, DataNotFoundError, InvalidValueError, UnknownNameError
from hwnas.tables.measurements import read_measurements
from hwnas.typing import DeviceKey
from tests.hwnas.bundles.small_bundle import (
    ARCHS,
    DEVICE,
    SPACE,
    failed,
    make_bundle,
    result,
    write_results,
)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return make_bundle(tmp_path_factory.mktemp("bundle") / "b")


def test_latencies_are_corrected_by_the_reference_beside_them(
    bundle: Manifest, tmp_path: Path
) -> None:
    # Of the second the machine was half as fast throughout: 6 / 4 = 1.5 times the reference.
    first = result(bundle, "n0000", rounds=[[1.0, 2.0, 10]] * 5 + [[9.0, 18.0, 10]])
    second = result(bundle, "n0001", rounds=[[6.0, 4.0, 10]] * 6, median=6.0)
    found = read_results(bundle, write_results(tmp_path, first, second))
    assert [row.reference_ms for row in found.rows] == [2.0, 4.0]
    assert [row.ratio for row in found.rows] == [0.5, 1.5]
    # The reference takes 3 ms, the median of 2 and 4.
    assert [row.latency_ms for row in found.rows] == [1.5, 4.5]
    assert found.drift == pytest.approx(1 / 3)
    assert any("drifted by 33.3 %" in line for line in found.remarks())
    assert found.rows[1].as_dict()["raw_median_ms"] == 6.0


def test_the_table_is_read_with_its_device(bundle: Manifest, tmp_path: Path) -> None:
    path = write_results(tmp_path, result(bundle, "n0000"), failed(bundle, "n0001"))
    found = read_results(bundle, path)
    assert [*found.remarks()] == [f"No latency of {ARCHS[1]}: no memory."]
    write_measurements(found, tmp_path / "m.csv")
    table = read_measurements(tmp_path / "m.csv", SPACE)
    assert [str(arch) for arch in table.archs] == [str(arch) for arch in ARCHS]
    costs = table.of("latency", "ms")
    assert costs[0] == 1.0
    assert math.isnan(costs[1])
    assert table.names == ["latency_ms"]
    assert table.key == DeviceKey("Board-5-rev.-1", "onnxruntime-1.19.2", "float32", 1, 1)


def test_a_name_and_what_was_not_run(bundle: Manifest, tmp_path: Path) -> None:
    found = read_results(bundle, write_results(tmp_path, result(bundle, "n0001")), "board")
    assert found.key.device == "board"
    assert [row.reason for row in found.rows] == ["it was not run", ""]


def test_everything_may_fail(bundle: Manifest, tmp_path: Path) -> None:
    lines = [failed(bundle, name) for name in ("n0000", "n0001")]
    found = read_results(bundle, write_results(tmp_path, *lines))
    assert all(math.isnan(row.latency_ms) for row in found.rows)


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"schema": "other"}, "other"),
    ({"version": 2}, "2"),
    ({"bundle": "0" * 64}, "another bundle"),
    ({"unit": "us"}, "'us'"),
    ({"name": "n0002"}, "'n0002' is not in the bundle"),
    ({"name": "../../etc"}, "not in the bundle"),
    ({"status": "fine"}, "'fine'"),
    ({"more": 1}, "alone"),
    ({"median": -1.0}, "median must be in"),
    ({"median": 10**400}, "median must be in"),
    ({"median": "1"}, "median must be a number"),
    ({"median": True}, "median must be a number"),
    ({"median": 0.5}, "must not fall"),
    ({"p90": 0.5}, "must not fall"),
    ({"iqr": -0.1}, "iqr must be in"),
    ({"rounds": []}, "rounds"),
    ({"rounds": [[1.0, 2.0]]}, "a round must be"),
    ({"rounds": [[1.0, 0.0, 60]]}, "a latency must be in"),
    ({"n": 61}, "number of runs of all rounds"),
    ({"relative_error": 0.5}, "differ by 0.5"),
    ({"correlation": None}, "correlation must be a number"),
    ({"providers": {"CUDAExecutionProvider": 2}}, "CPUExecutionProvider alone"),
    ({"providers": {"CPUExecutionProvider": 2, "QNN": 1}}, "CPUExecutionProvider alone"),
    ({"providers": {"CPUExecutionProvider": 0}}, "nodes must be"),
    ({"warm_up_runs": 9}, "warmed up"),
    ({"settled": 1}, "settled"),
    ({"before": {"mhz": -1, "celsius": None}}, "mhz must be in"),
    ({"after": {}}, "after must have"),
    ({"device": None}, "device must have"),
    ({"device": {**DEVICE, "threads": 2}}, "threads is 2 and not 1"),
    ({"device": {**DEVICE, "precision": "int8"}}, "precision is 'int8'"),
    ({"device": {**DEVICE, "batch": 1.0}}, "batch is 1.0"),
    ({"device": {**DEVICE, "runtime": "torch"}}, "runtime is 'torch'"),
    ({"device": {**DEVICE, "runtime_version": "1/2,"}}, "runtime_version"),
    ({"device": {**DEVICE, "model": ""}}, "model must be a text"),
]


@pytest.mark.parametrize(("changes", "said"), WRONG)
def test_wrong_lines_are_refused_in_a_line(
    bundle: Manifest, tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    path = write_results(tmp_path, result(bundle, "n0000", **changes))
    with pytest.raises(DataFormatError) as caught:
        read_results(bundle, path)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize(
    "text",
    ["{", "[]", "1", '{"a": NaN}', '{"a": Infinity}', '{"a": 1, "a": 1}', "[" * 100_000, "\x00"],
)
def test_what_is_no_object_is_refused(bundle: Manifest, tmp_path: Path, text: str) -> None:
    path = tmp_path / "r"
    path.write_text(text)
    with pytest.raises(DataFormatError, match=r"Line 1 .* Copy the file from the device again"):
        read_results(bundle, path)


def test_files_that_say_nothing_or_too_much_are_refused(bundle: Manifest, tmp_path: Path) -> None:
    with pytest.raises(DataNotFoundError):
        read_results(bundle, tmp_path / "none")
    (tmp_path / "empty").write_text("\n")
    with pytest.raises(DataFormatError, match="empty"):
        read_results(bundle, tmp_path / "empty")
    line = result(bundle, "n0000")
    with pytest.raises(DataFormatError, match="there twice"):
        read_results(bundle, write_results(tmp_path, line, line))
    other = result(bundle, "n0001", device={**DEVICE, "model": "another"})
    with pytest.raises(DataFormatError, match="one device"):
        read_results(bundle, write_results(tmp_path, line, other))


MANIFESTS: list[tuple[dict[str, Any], str]] = [
    ({"schema": "x"}, "'x'"),
    ({"unit": "s"}, "in 's'"),
    ({"networks": []}, "one at least"),
    ({"precision": ["float32"]}, "precision must be one of"),
    ({"provider": "CPU; rm -rf /"}, "provider"),
    ({"threads": 0}, "threads"),
    ({"seconds": math.inf}, "Infinity"),
    ({"reference": {}}, "'name' is missing"),
]


@pytest.mark.parametrize(("changes", "said"), MANIFESTS)
def test_wrong_manifests_are_refused_in_a_line(
    bundle: Manifest, tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    with pytest.raises(DataFormatError) as caught:
        read_manifest(_changed(bundle, tmp_path, lambda m: m.update(changes)))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["../n0000", "/etc/passwd", "n0001", "reference", "", 3])
def test_names_of_networks_cannot_leave_the_folder(
    bundle: Manifest, tmp_path: Path, name: object
) -> None:
    folder = _changed(bundle, tmp_path, lambda m: m["networks"][0].update(name=name))
    with pytest.raises(DataFormatError, match="name"):
        read_manifest(folder)


def test_another_model_is_refused(tmp_path: Path) -> None:
    folder = make_bundle(tmp_path / "b").folder
    (folder / "models/n0001.onnx").write_bytes(b"")
    with pytest.raises(DataFormatError, match=r"n0001.onnx` must have the checksum"):
        read_manifest(folder)


def test_settings_are_checked(tmp_path: Path) -> None:
    for wrong in ({"seconds": 0.0}, {"seconds": math.nan}, {"seed": -1}, {"threads": 0}):
        with pytest.raises(InvalidValueError):
            make_bundle(tmp_path / "b", **wrong)
    for unknown in ({"provider": "cpp"}, {"precision": "bf16"}):
        with pytest.raises(UnknownNameError):
            make_bundle(tmp_path / "b", **unknown)
    assert not (tmp_path / "b").exists()


def _changed(bundle: Manifest, tmp_path: Path, edit: Any) -> Path:
    manifest = json.loads((bundle.folder / MANIFEST).read_text())
    edit(manifest)
    (tmp_path / MANIFEST).write_text(json.dumps(manifest))
    return tmp_path
