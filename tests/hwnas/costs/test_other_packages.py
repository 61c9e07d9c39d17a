"""A runtime and a meter of another package: one file and one registration each."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hwnas import registry
from hwnas.cli import main
from hwnas.measure.child_process import end_children
from hwnas.pareto import ParetoSet

RUNTIME = '''
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from hwnas.runtimes.base import Place, Prepared, device_key, explicit

WORK = {"convolutions": 0, "seconds": 0.0}


class Lab:
    """Runs networks in PyTorch, and takes a second of its own time a convolution."""

    name = "lab"
    packages = ("numpy",)
    precisions = ("float32",)
    options: dict[str, tuple[str, ...]] = {"cooling": ("air", "water")}

    def version(self):
        return "3"

    def devices(self):
        return ["bench"]

    def place(self, settings):
        return Place("bench of the lab", "Bench 3000")

    @contextmanager
    def prepare(self, network, settings):
        settings = explicit(self, settings)
        images, module = network.draw(settings.batch, settings.seed), network.module
        convolutions = sum(isinstance(m, torch.nn.Conv2d) for m in module.modules())
        module = module.eval()

        def run():
            WORK["seconds"] += convolutions

        def outputs():
            with torch.no_grad():
                return [module(torch.from_numpy(images)).numpy()]

        yield Prepared(device_key(self, settings), [images], run, outputs)
'''
METER = '''
from contextlib import contextmanager

from lab_runtime import WORK


class Power:
    """Energy of a bench that takes 5 W while it runs."""

    name = "lab-power"
    metric = "energy"
    unit = "mJ"
    window_seconds = 0.0

    def sees(self, place):
        return place.hardware == "Bench 3000"

    @contextmanager
    def open(self, place):
        yield lambda: 1e3 * 5 * WORK["seconds"]
'''
ENTRY_POINTS = """
[hwnas.runtimes]
lab = lab_runtime:Lab
[hwnas.meters]
lab-power = lab_meter:Power
"""


@pytest.fixture
def _lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Install the package: its two files, and its metadata."""
    about = tmp_path / "lab-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: lab\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(ENTRY_POINTS)
    (tmp_path / "lab_runtime.py").write_text(RUNTIME)
    (tmp_path / "lab_meter.py").write_text(METER)
    monkeypatch.syspath_prepend(str(tmp_path))
    # Neither this process nor a child that lives on may remember what was installed before.
    registry.targets.cache_clear()
    end_children()
    yield
    registry.targets.cache_clear()
    end_children()


def run(*arguments: Any) -> int:
    with pytest.raises(SystemExit) as end:
        main([*map(str, arguments)])
    assert isinstance(end.value.code, int)
    return end.value.code


@pytest.mark.usefixtures("_lab")
def test_they_are_listed_and_searched_with_as_a_cost(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("costs", "--json") == 0
    listed = [json.loads(line)["cost"] for line in capsys.readouterr().out.splitlines()]
    assert {"lab:bench:latency", "lab:bench:energy", "torch:cpu:energy"} <= set(listed)
    assert run("doctor", "--json") == 0
    assert json.loads(capsys.readouterr().out)["runtimes"]["lab 3"] == ["bench"]

    out = tmp_path / "out"
    arguments = ("--objective", "params", "--cost", "lab:bench:energy:cooling=water")
    space = ("--space", "nasbench201:channels=4,cells=1")
    assert (
        run("search", *space, *arguments, "--trials", 6, "--sampler", "random", "--out", out) == 0
    )
    front = ParetoSet.load(out / "front.json")
    name = "lab_bench_cooling_water_energy_mj"
    assert [objective.name for objective in front.objectives] == ["params", name]
    assert len(front.evaluated) == 6
    for row in front.evaluated:
        # 5 J a convolution: the stem, two in each of two reductions and their shortcuts, and those
        # of the three cells.
        convolutions = 1 + 2 * 3 + 3 * row.arch.count("nor_conv")
        assert row.values[1] == 5_000 * convolutions
    (cost,) = front.provenance["costs"]
    assert cost["device"] == "bench/lab-3[cooling=water]/float32/b1/t1"
    assert "Bench 3000" in cost["fingerprint"]


@pytest.mark.usefixtures("_lab")
def test_a_meter_that_does_not_see_the_work_is_refused(
    capsys: pytest.CaptureFixture[str],
) -> None:
    cost = "torch:cpu:energy:meter=lab-power"
    assert run("search", "--cost", cost, "--trials", 1) == 2
    assert "`meter` must see all of the work on this-cpu" in capsys.readouterr().err
