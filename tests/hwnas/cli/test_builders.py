"""Builders of every style through search, score, export and verify, or one line why not."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

import pytest

from hwnas.cli import main
from hwnas.pareto import ParetoSet

ZOO = Path(__file__).parents[1] / "spaces"
sys.path.insert(0, str(ZOO))
zoo = importlib.import_module("builder_zoo")
sys.path.remove(str(ZOO))
LATENCY = "torch:cpu:latency:max_seconds=0.02"
NOT_EXPORTED = {
    "data_dependent": "data-dependent",
}
"""What no ONNX file can be written of, with a part of the line that says so."""
VERIFIED = ("loops", "recurrent", "signal", "tokens", "MODELS")
"""One of each kind of input, one with memory and a list: measuring again knows no style."""


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as stopped:
        main([*arguments])
    code = stopped.value.code
    assert isinstance(code, int)
    return code


def test_there_are_twenty() -> None:
    assert len(set(zoo.BUILDERS)) >= 20


@pytest.mark.parametrize("name", zoo.BUILDERS)
def test_a_builder_is_searched_scored_and_exported(
    name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(ZOO)
    shape, classes = zoo.SIZES.get(name, ("1,8,8", str(zoo.CLASSES)))
    own = ["--model", f"builder_zoo:{name}"]
    sizes = ["--input", shape, "--classes", classes]
    proxy = zoo.PROXIES.get(name, "synflow")
    asked = ["--objective", proxy, "--cost", LATENCY, "--constraint", "params<=1e6", "--batch", "4"]
    assert run("search", *own, *sizes, *asked, "--trials", "1") == 0
    front = ParetoSet.load("hwnas-results/front.json")
    assert len(front)
    member = front.members[0].arch
    capsys.readouterr()
    scored = ["--arch", member, "--proxy", proxy, "--batch", "32", "--json"]
    assert run("score", *own, *sizes, *scored) == 0
    [row] = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert row["architecture"] == member
    if name in VERIFIED:
        again = ["--cost", LATENCY, "--objective", "torch_cpu_latency_ms"]
        assert run("pareto", "verify", "hwnas-results", *own, *again, "--out", "verified") == 0
    assert run("pareto", "export", "hwnas-results", *own, "--onnx") == 2 * (name in NOT_EXPORTED)
    if name in NOT_EXPORTED:
        last = capsys.readouterr().err.splitlines()[-1]
        assert NOT_EXPORTED[name] in last
        assert last.startswith("hwnas: `model` must be exportable")
    else:
        assert len([*Path("hwnas-results/onnx").glob("*.onnx")]) == len(front)
