from __future__ import annotations

import json
import os
import signal
import sqlite3
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hwnas.bundles import runner
from hwnas.bundles.manifest import read_manifest
from hwnas.bundles.results import read_results
from hwnas.cli import main
from hwnas.pareto import ParetoSet
from tests.programs import Program, Programs

# Cheap enough for many trials: nothing is run, only counted and looked at.
CHEAP = ["--objective", "naswot", "--cost", "count:macs", "--batch", "4"]
SMALL = [*CHEAP, "--space", "nasbench201:channels=4,cells=1"]


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as stopped:
        main([*arguments])
    code = stopped.value.code
    assert isinstance(code, int)
    return code


def members(folder: Path) -> list[tuple[str, tuple[float, ...]]]:
    return [(m.arch, m.values) for m in ParetoSet.load(folder / "front.json").members]


def test_a_search_writes_its_results_and_prints_the_front(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "results"
    assert run("search", *CHEAP, "--trials", "12", "--json", "--out", str(out)) == 0
    printed = capsys.readouterr()
    rows = [json.loads(line) for line in printed.out.splitlines()]
    front = ParetoSet.load(out / "front.json")
    assert [row["architecture"] for row in rows] == [member.arch for member in front.members]
    assert {"naswot", "macs"} <= set(rows[0])
    assert front.provenance["settings"]["trials"] == 12
    assert "12 trials" in printed.err
    assert {p.name for p in out.iterdir()} >= {"front.csv", "report.html", "study.db"}


def test_proxies_of_a_search_may_see_real_images(tmp_path: Path) -> None:
    from hwnas.data.cifar10_sample import FILE

    pixels = np.random.default_rng(0).integers(0, 256, (20, 32, 32, 3), dtype=np.uint8)
    (tmp_path / FILE).parent.mkdir()
    np.savez(tmp_path / FILE, images=pixels, labels=np.arange(20) % 10)
    arguments = ["search", *SMALL, "--trials", "4", "--data", str(tmp_path)]
    found = {}
    for images in ("gaussian", "cifar10-sample"):
        out = tmp_path / images
        assert run(*arguments, "--images", images, "--out", str(out)) == 0
        front = ParetoSet.load(out / "front.json")
        assert front.provenance["settings"]["images"] == images
        found[images] = {e.key: e.values[0] for e in front.evaluated}
    common = found["gaussian"].keys() & found["cifar10-sample"].keys()
    assert common
    assert all(found["gaussian"][key] != found["cifar10-sample"][key] for key in common)


def test_one_and_two_jobs_give_the_same_set(tmp_path: Path) -> None:
    found: list[Any] = []
    for jobs in ("1", "2"):
        os.environ["HWNAS_CACHE"] = str(tmp_path / f"cache{jobs}")
        out = tmp_path / jobs
        assert run("search", *SMALL, "--trials", "25", "--jobs", jobs, "--out", str(out)) == 0
        found.append(members(out))
    assert found[0] == found[1]


def test_a_killed_search_goes_on_and_evaluates_nothing_twice(
    tmp_path: Path, programs: Programs
) -> None:
    command = ["-m", "hwnas", "search", *SMALL, "--trials", "60"]
    whole, broken = tmp_path / "whole", tmp_path / "broken"

    def environment(name: str) -> dict[str, str]:
        return {**os.environ, "HWNAS_CACHE": str(tmp_path / f"cache-{name}")}

    run_whole = programs.start(*command, "--out", str(whole), env=environment("whole"))
    assert run_whole.wait() == 0, run_whole.stderr
    process = programs.start(*command, "--out", str(broken), env=environment("broken"))
    cache = tmp_path / "cache-broken" / "results.sqlite"
    _wait_for_results(cache, 15, process)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    assert not (broken / "front.json").exists()
    before = _results(cache)
    again = programs.run(*command, "--out", str(broken), env=environment("broken"))
    assert again.returncode == 0, again.stderr
    assert members(broken) == members(whole)
    after = _results(cache)
    assert before.items() <= after.items()
    assert set(after) == set(_results(tmp_path / "cache-whole" / "results.sqlite"))


def _results(path: Path) -> dict[str, float]:
    """Give when each value was computed: a repeated computation would have another time."""
    with sqlite3.connect(path) as connection:
        return dict(connection.execute("SELECT key, created FROM results").fetchall())


def _wait_for_results(path: Path, count: int, process: Program) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        assert process.poll() is None, "the search ended before it could be killed"
        if path.exists():
            try:
                if len(_results(path)) >= count:
                    return
            except sqlite3.OperationalError:
                pass
        time.sleep(0.02)
    raise AssertionError("no results in two minutes")


def test_constraints_bound_the_front(tmp_path: Path) -> None:
    bound = ["--constraint", "params<=8000"]  # a third of the space
    assert run("search", *SMALL, *bound, "--trials", "25", "--out", str(tmp_path)) == 0
    front = ParetoSet.load(tmp_path / "front.json")
    assert front.provenance["infeasible"] == 0
    assert run("search", *SMALL, "--trials", "25", "--out", str(tmp_path)) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--space", "nasbench2O1"], "Did you mean 'nasbench201'?"),
        (["--dataset", "cifar1O"], "Did you mean 'cifar10'?"),
        (["--objective", "nasvot"], "Did you mean 'naswot'?"),
        (["--cost", "hw-nas-bench:edgegpo:energy"], "Did you mean 'edgegpu'?"),
        (["--cost", "onnxruntime:cpu:watts"], "latency"),
        (["--sampler", "nsga3"], "nsga2"),
        (["--constraint", "latency<5"], "NAME<=NUMBER"),
        (["--constraint", "watts<=5"], "SOURCE:DEVICE:METRIC"),
        (["--trials", "-1"], "trials"),
        (["--trials", "many"], "trials"),
        (["--jobs", "0"], "`jobs` must not be 0"),
        (["--backend", "rey", "--jobs", "2"], "Did you mean 'ray'?"),
        (["--cluster", "host:6379"], "use ray or dask"),
        (["--storage", "nonsense"], "storage"),
        (["--unknown"], "--unknown"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run("search", *CHEAP, "--out", str(tmp_path), *arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert message in printed.err
    assert printed.err.count("\n") == 1


def test_a_folder_in_use_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from filelock import FileLock

    with FileLock(tmp_path / ".lock"):
        code = run("search", *CHEAP, "--trials", "2", "--out", str(tmp_path))
    assert code == 2
    assert "in use by another search" in capsys.readouterr().err


def test_a_file_in_place_of_the_folder_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    assert run("search", *CHEAP, "--out", str(tmp_path / "file")) == 2
    assert "folder that can be written" in capsys.readouterr().err


def test_redundant_objectives_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    costs = ["--cost", "count:macs", "--cost", "count:flops"]
    out = str(tmp_path)
    assert run("search", "--objective", "layers", *costs, "--trials", "40", "--out", out) == 0
    assert "macs and flops are redundant objectives: Spearman 1.000" in capsys.readouterr().err


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_an_interrupted_search_ends_cleanly_and_keeps_what_is_finished(
    jobs: str, tmp_path: Path, programs: Programs
) -> None:
    command = ["-m", "hwnas", "search", *SMALL, "--trials", "2000", "--jobs", jobs]
    environment = {**os.environ, "HWNAS_CACHE": str(tmp_path / "cache")}
    process = programs.start(*command, "--out", str(tmp_path / "out"), env=environment)
    _wait_for_results(tmp_path / "cache" / "results.sqlite", 5, process)
    # A terminal's Ctrl-C reaches the workers too.
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(timeout=60) == 130
    assert "everything that was finished is kept" in process.stderr
    assert "Traceback" not in process.stderr
    assert len(_results(tmp_path / "cache" / "results.sqlite")) >= 5


def test_a_search_for_images_of_ones_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    pixels = np.random.default_rng(0).integers(0, 256, (14, 1, 8, 12), dtype=np.uint8)
    np.savez("mine.npz", images=pixels, labels=np.arange(14) % 7)
    arguments = [
        *("search", "--space", "nasbench201:channels=4,cells=1", "--images", "mine.npz"),
        *(*CHEAP, "--batch", "7", "--sampler", "random-search"),
    ]
    assert run(*arguments, "--trials", "3", "--out", "out") == 0
    first = ParetoSet.load("out/front.json")
    assert first.provenance["dataset"] == {
        "name": "mine.npz", "num_classes": 7, "in_shape": [1, 8, 12]
    }  # fmt: skip
    images = first.provenance["settings"]["images"]
    assert images.startswith(f"{tmp_path / 'mine.npz'}#")
    # It goes on, also from another folder; the study alone says what its networks are for.
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    own = [*arguments[:4], "../mine.npz", *arguments[5:]]
    assert run(*own, "--trials", "4", "--out", "../out") == 0
    storage = f"sqlite:///{tmp_path / 'out' / 'study.db'}"
    assert run("pareto", "export", storage, "--onnx", "--out", "models") == 0
    import onnx

    graph = onnx.load(next(Path("models").rglob("*.onnx"))).graph
    shapes = [
        [d.dim_value for d in value.type.tensor_type.shape.dim]
        for value in (*graph.input, *graph.output)
    ]
    assert shapes == [[1, 1, 8, 12], [1, 7]]
    # Other images under the same name make it another search, and a worker notices as well.
    np.savez("../mine.npz", images=pixels[::-1], labels=np.arange(14) % 7)
    capsys.readouterr()
    assert run(*own, "--trials", "5", "--out", "../out") == 2
    assert "must be continued with the settings" in capsys.readouterr().err
    assert run("worker", "--storage", storage) == 2
    assert "`images` must be those that were named" in capsys.readouterr().err


def test_the_present_network_stands_beside_the_members(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "my_present.py").write_text(
        "from torch import nn\n"
        "def net():\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(3072, 5000), nn.Linear(5000, 10))\n"
    )
    monkeypatch.chdir(tmp_path)
    cheap = ["--objective", "layers", "--cost", "count:macs", "--batch", "16"]
    command = ["search", *cheap, "--sampler", "random", "--trials", "6", "--out", "found"]
    assert run(*command, "--baseline", "my_present:net") == 0
    printed = capsys.readouterr()
    (row,) = (line for line in printed.out.splitlines() if "baseline: my_present:net" in line)
    assert f"{3082 * 5000:,}" in row
    assert "× less" in printed.out
    assert "dominate my_present:net" in printed.err
    front = ParetoSet.load("found/front.json")
    assert front.baseline is not None
    assert front.baseline.values == (2, 3082 * 5000)
    assert "Beside my_present:net" in Path("found/report.html").read_text()
    assert run("pareto", "show", "found") == 0
    assert row in capsys.readouterr().out
    assert run(*command) == 0
    assert "my_present" not in capsys.readouterr().out
    assert run("pareto", "show", "found", "--baseline", "my_present:net") == 0
    assert row in capsys.readouterr().out
    assert run("pareto", "show", "found", "--baseline", "my_present:net", "--json") == 0
    first = json.loads(capsys.readouterr().out.splitlines()[0])
    assert first["baseline"] == {"name": "my_present:net", "layers": 2, "macs": 3082 * 5000}
    assert run(*command, "--baseline", "my_present:nett") == 2
    assert "it has no 'nett'" in capsys.readouterr().err


def test_what_a_predictor_leaves_open_is_measured_within_a_budget(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from hwnas.spaces.nasbench201 import NasBench201
    from hwnas_predictors.transfer import TransferPredictor

    space = NasBench201(channels=4, cells=1)
    rng = np.random.default_rng(0)
    archs = [space.sample(rng) for _ in range(6)]
    model = TransferPredictor(space).fit(archs, rng.uniform(0.05, 2.0, 6))  # it knows nothing
    model.save(tmp_path / "mine.npz")
    arguments = ["search", "--space", "nasbench201:channels=4,cells=1", "--objective", "naswot"]
    arguments += ["--batch", "4", "--trials", "10", "--cost", f"predictor:{tmp_path / 'mine.npz'}"]
    here = ["--measure", "onnxruntime:cpu:latency:max_seconds=0.02"]
    out = ["--out", str(tmp_path / "out")]
    assert run(*arguments, *here, *out) == 2
    assert "`measure_budget` must be given together" in capsys.readouterr().err
    other = ["--measure", "count:macs", "--measure-budget", "3"]
    assert run(*arguments, *other, *out) == 2
    assert "`measure` must be of one predicted cost" in capsys.readouterr().err
    assert run(*arguments, *out) == 0
    predicted = ParetoSet.load(tmp_path / "out/front.json")
    capsys.readouterr()
    # The study goes on as it is: what is measured is none of its settings.
    assert run(*arguments, *here, "--measure-budget", "3", *out) == 0
    said = " ".join(capsys.readouterr().err.split())
    front = ParetoSet.load(tmp_path / "out/front.json")
    assert front.provenance["routing"]["measured"] == 3
    assert "3 of 10 candidates were measured" in said
    assert len(front.evaluated) == len(predicted.evaluated)
    name = front.objectives[1].name
    flags = [member.attributes[f"{name}_measured"] for member in front.members]
    assert f"{sum(flags)} of {len(front)} members are, the others are predicted" in said
    changed = [
        (one.values[1], two.values[1])
        for one, two in zip(predicted.evaluated, front.evaluated, strict=True)
        if one.values != two.values
    ]
    assert len(changed) >= 3
    assert f"{name}_measured" in (tmp_path / "out/front.csv").read_text()
    # The same elsewhere: the first run asks, the next one takes in what came back.
    later = ["--measure", f"csv:{tmp_path / 'rounds'}", "--measure-budget", "3", *out]
    assert run(*arguments, *later) == 0
    assert "fill in latency_ms (1 to measure)" in " ".join(capsys.readouterr().err.split())
    front = ParetoSet.load(tmp_path / "out/front.json")
    assert front.provenance["routing"]["postponed"] == 1
    # What waits is told again, not what a next round would be of another budget.
    assert run(*arguments, *later[:2], "--measure-budget", "9", *out) == 0
    assert "(1 to measure)" in " ".join(capsys.readouterr().err.split())
    front = ParetoSet.load(tmp_path / "out/front.json")
    assert front.provenance["routing"]["postponed"] == 1
    assert not (tmp_path / "rounds/2.csv").exists()
    table = tmp_path / "rounds/1.csv"
    table.write_text(table.read_text().rstrip() + "0.001\n")  # a member for certain
    assert run(*arguments, *later) == 0
    said = " ".join(capsys.readouterr().err.split())
    assert "1 of 10 candidates were measured" in said
    assert "2.csv: fill in" in said
    front = ParetoSet.load(tmp_path / "out/front.json")
    measured = [m for m in front.members if m.attributes[f"{name}_measured"]]
    assert [m.values[1] for m in measured] == [0.001]
    # A bundle through its own runner, where the device is.
    carried = tmp_path / "carried"
    later = ["--measure", f"bundle:{carried}:seconds=0.02", "--measure-budget", "1", *out]
    assert run(*arguments, *later) == 0
    assert "1 to measure. Copy it to the device" in " ".join(capsys.readouterr().err.split())
    runner.run(str(carried / "1"))
    assert run(*arguments, *later) == 0
    said = " ".join(capsys.readouterr().err.split())
    assert "1 of 10 candidates were measured" in said
    assert "to measure" not in said
    front = ParetoSet.load(tmp_path / "out/front.json")
    [found] = read_results(read_manifest(carried / "1"), carried / "1" / runner.RESULTS, None).rows
    [measured_ms] = [e.values[1] for e in front.evaluated if e.arch == found.network.arch]
    assert measured_ms == found.latency_ms
