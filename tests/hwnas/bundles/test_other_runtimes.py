"""Bundles for LiteRT and TensorRT: written, run alone, over a connection, and imported."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from torch import nn

from hwnas.bundles import runner, sessions
from hwnas.bundles.far import Far, FarError, packed
from hwnas.bundles.machines import Machine
from hwnas.bundles.manifest import read_manifest
from hwnas.bundles.results import read_results
from hwnas.bundles.settings import BundleSettings
from hwnas.bundles.writing import write_models
from hwnas.costs.remote import RemoteCost
from hwnas.errors import DataFormatError, HwnasError, UnknownNameError
from hwnas.onnx_export.export import export_onnx
from hwnas.tasks.catalogue import get_task
from hwnas.tasks.task import TensorSpec
from tests.hwnas.bundles.loopback import Loopback
from tests.hwnas.bundles.small_bundle import ARCHS, SPACE, make_bundle, result, write_results
from tests.hwnas.runtimes.fake_trtexec import write_fake

LATENCIES = [1.5, 2.0, 1.75, 9.0, 1.625] * 4


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_litert_end_to_end(tmp_path: Path, precision: str) -> None:
    pytest.importorskip("ai_edge_litert", reason="needs the extra litert")
    bundle = make_bundle(tmp_path / "b", runtime="litert", precision=precision)
    assert {p.suffix for p in (bundle.folder / "models").iterdir()} == {".tflite"}
    (tmp_path / "home").mkdir()
    far = Far(Loopback(tmp_path / "home"), sys.executable)
    hardware = far.device(BundleSettings(runtime="litert", precision=precision))
    far.measure(bundle)
    found = read_results(bundle, bundle.folder / runner.RESULTS, "board")
    assert found.hardware == hardware
    assert [row.reason for row in found.rows] == ["", ""]
    assert str(found.key).startswith("board/litert-2")
    assert str(found.key).endswith(f"/{precision}/b1/t1")
    for row in found.rows:
        assert row.raw["relative_error"] < {"float32": 1e-3, "int8": 0.2}[precision]
        assert row.raw["correlation"] > 0.99
        assert len(row.raw["rounds"]) == runner.ROUNDS


def test_litert_takes_tokens() -> None:
    pytest.importorskip("ai_edge_litert", reason="needs the extra litert")
    from hwnas.runtimes.litert.from_onnx import to_litert

    task = TensorSpec.of((4,), vocabulary=3)
    content, _ = to_litert(export_onnx(nn.Embedding(3, 2), task))
    session = sessions.LiteRt(content, {"threads": 1, "precision": "float32"})
    (found,) = session.run(None, {"input": runner.draw([1, 4], 3, seed=0)})
    assert found.shape == (1, 4, 2)


def test_a_changed_model_is_not_run(tmp_path: Path) -> None:
    pytest.importorskip("ai_edge_litert", reason="needs the extra litert")
    bundle = make_bundle(tmp_path / "b", runtime="litert")
    model = bundle.folder / "models" / "n0000.tflite"
    model.write_bytes(model.read_bytes() + b" ")
    done = subprocess.run([sys.executable, str(bundle.folder / "run.py")], capture_output=True)
    assert done.returncode == 2
    assert b"checksum of models/n0000.tflite is another" in done.stderr
    with pytest.raises(DataFormatError, match="must have the checksum"):
        read_manifest(bundle.folder)


@pytest.mark.parametrize(("number", "version"), [(8601, "8.6.1"), (100200, "10.2.0")])
def test_tensorrt_end_to_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, version: str
) -> None:
    """Against a program that stands in for trtexec."""
    monkeypatch.setenv("TRTEXEC", str(write_fake(tmp_path, number, LATENCIES)))
    bundle = make_bundle(tmp_path / "b", runtime="tensorrt", precision="int8")
    names = [line for line in subprocess.run(
        ["tar", "-t"], input=packed(bundle), capture_output=True, check=True
    ).stdout.decode().split()]  # fmt: skip
    assert {"run.py", "sessions.py", "trtexec.py", "models/reference.onnx"} <= set(names)
    (tmp_path / "home").mkdir()
    far = Far(Loopback(tmp_path / "home"), sys.executable)
    cost = RemoteCost(
        SPACE, get_task("cifar10"),
        Machine("board", far, BundleSettings(runtime="tensorrt", precision="int8", seconds=0.1)),
    )  # fmt: skip
    found = cost.measure(ARCHS[0])
    # Each round counts by its fastest run, beside the reference's, which takes as long here.
    assert (found.value, found.unit) == (1.5, "ms")
    assert found.wall_ms == np.median(LATENCIES) == 1.75
    assert found.facts["ratio"] == 1.0
    assert str(found.key) == f"board/tensorrt-{version}/int8/b1/t1"
    assert cost.device_name == "board_tensorrt_int8"
    assert found.relative_error < 0.2


def test_what_is_missing_there_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRTEXEC", str(tmp_path / "gone"))
    (tmp_path / "home").mkdir()
    far = Far(Loopback(tmp_path / "home"), sys.executable)
    with pytest.raises(FarError, match="tensorrt: needs NVIDIA's program trtexec, but TRTEXEC"):
        far.device(BundleSettings(runtime="tensorrt"))
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
    monkeypatch.setitem(sys.modules, "tflite_runtime.interpreter", None)
    with pytest.raises(RuntimeError, match="pip install ai-edge-litert"):
        sessions.LiteRt.version()


def test_settings_that_no_runtime_has() -> None:
    with pytest.raises(UnknownNameError, match="runtime of a bundle"):
        BundleSettings(runtime="mnn")
    with pytest.raises(UnknownNameError, match="precision"):
        BundleSettings(runtime="litert", precision="fp16")
    with pytest.raises(HwnasError, match="`provider` must be left out"):
        BundleSettings(runtime="litert", provider="cuda")
    assert BundleSettings(runtime="tensorrt").provider == "TensorrtExecutionProvider"


def test_results_of_another_runtime_are_refused(tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "b")
    text = json.loads((bundle.folder / runner.MANIFEST).read_text())
    assert text["runtime"] == "onnxruntime"
    path = write_results(bundle.folder, result(bundle, "n0000"))
    assert read_results(bundle, path).key.runtime == "onnxruntime-1.19.2"
    with pytest.raises(DataFormatError, match="its runtime is 'onnxruntime' and not 'litert'"):
        read_results(replace(bundle, runtime="litert"), path)
    # Older bundles do not say what runs them.
    del text["runtime"]
    (bundle.folder / runner.MANIFEST).write_text(json.dumps(text))
    assert read_manifest(bundle.folder).runtime == "onnxruntime"
    (bundle.folder / runner.MANIFEST).write_text(json.dumps({**text, "runtime": "mnn"}))
    with pytest.raises(DataFormatError, match="runtime must be one of onnxruntime"):
        read_manifest(bundle.folder)


def test_parts_of_networks_are_calibrated_without_images(tmp_path: Path) -> None:
    """They have other channels than the images that a machine's settings name."""
    part = export_onnx(nn.Conv2d(8, 4, 3), (8, 6, 6))
    settings = BundleSettings(precision="int8", images="cifar10-sample")
    write_models(tmp_path / "b", [part], settings, part=True)
    assert read_manifest(tmp_path / "b").precision == "int8"
