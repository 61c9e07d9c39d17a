"""``hwnas predict train``: predictors of one device, of pools, and of accuracies."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest

from hwnas.cli import main
from hwnas.files.predictor_file import read_predictor_file
from hwnas.spaces.nasbench201 import Cell, parse_cell
from hwnas.testing import draw
from tests.hwnas.cli.test_predict import SPACE, latency, run, write


def test_train_learns_a_single_device(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(1)
    archs = [str(SPACE.sample(rng)) for _ in range(90)]
    seen, out = write(tmp_path / "seen.csv", archs[:60]), tmp_path / "own.npz"
    assert run("train", "--measurements", str(seen), "--out", str(out)) == 0
    said = " ".join(capsys.readouterr().err.split())
    assert "leaving one out: Spearman 1.00, median error" in said
    assert "chance" not in said
    new = write(tmp_path / "new.csv", archs[60:])
    assert run("evaluate", str(out), "--measurements", str(new), "--json") == 0
    row = json.loads(capsys.readouterr().out)
    assert row["within_10_percent"] > 0.95
    assert row["mean_absolute_error"] < 0.1


@pytest.mark.parametrize("method", ["brp-nas", "mlp"])
def test_train_learns_a_network(
    method: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(3)
    cells = list(dict.fromkeys(str(SPACE.sample(rng)) for _ in range(60)))
    seen, out = write(tmp_path / "seen.csv", cells[:50]), tmp_path / "network.npz"
    command = ("train", "--measurements", str(seen), "--out", str(out), "--method", method)
    assert run(*command) == 0
    assert run("evaluate", str(out), "--measurements", str(seen), "--json") == 0
    row = json.loads(capsys.readouterr().out)
    assert row["spearman"] > 0.9
    assert row["coverage_90"] is None
    assert run("export", str(out), "--arch", cells[50], "--json") == 0
    assert set(json.loads(capsys.readouterr().out)) == {"architecture", "latency_ms"}


def test_train_takes_counts_and_scores_of_a_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cells = list(
        {SPACE.canonical_key(a): a for a in map(parse_cell, map(str, draw(SPACE, 60)))}.values()
    )
    rng = np.random.default_rng(0)
    score = dict(zip(cells, rng.normal(size=len(cells)), strict=True))
    table, seen, out = (tmp_path / n for n in ("scores.csv", "seen.csv", "own.npz"))
    table.write_text("\n".join(["arch,naswot", *(f"{a},{v}" for a, v in score.items())]) + "\n")
    seen.write_text("\n".join(["arch,lab_ms", *(f"{a},{2 + v / 9}" for a, v in score.items())]))
    command = ["train", "--measurements", str(seen), "--out", str(out), "--scores", str(table)]
    assert run(*command, "--extra", "naswot", "--extra", "macs", "--runtime", "trt") == 0
    said = capsys.readouterr().err
    assert "lab_ms/trt/float32/b1" in said
    assert f": lab_ms ({len(cells)} measurements)" in said
    assert run("evaluate", str(out), "--measurements", str(seen).replace("seen", "new")) == 2
    new = tmp_path / "new.csv"
    new.write_text(seen.read_text().replace("lab_ms", "latency_ms"))
    capsys.readouterr()
    assert run("evaluate", str(out), "--measurements", str(new), "--json") == 0
    assert json.loads(capsys.readouterr().out)["spearman"] > 0.95
    for given, text in (
        ([], "`--extra` must name proxies"),
        (["--extra", "naswt"], "`--extra` must name proxies"),
        (["--extra", "naswot", "--dataset", "nope"], "`dataset` must be one of"),
    ):
        assert run(*command, *given) == 2
        assert text in capsys.readouterr().err
    assert run(*command, "--extra", "macs", "--extra", "naswot", "--dataset", "cifar100") == 0
    assert read_predictor_file(out).settings["dataset"] == "cifar100"
    # One network under two names.
    lines = table.read_text().splitlines()
    twin = next(c for c in SPACE if c != cells[0] and key_of(c) == key_of(cells[0]))
    table.write_text("\n".join([*lines, f"{twin},"]) + "\n")
    assert run(*command, "--extra", "naswot") == 0
    first = [lines[0], f"{twin},", *lines[1:]]
    table.write_text("\n".join(first) + "\n")
    assert run(*command, "--extra", "naswot") == 0
    assert "have no score" not in capsys.readouterr().err
    table.write_text("\n".join([*lines, f"{twin},5"]) + "\n")
    assert run(*command, "--extra", "naswot") == 2
    assert "one naswot for equal networks" in capsys.readouterr().err
    table.write_text("\n".join([lines[0], f"{cells[0]},", *lines[2:]]) + "\n")
    assert run(*command, "--extra", "naswot") == 0
    assert f"naswot: 1 of {len(cells)} architectures have no score" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "alone"), [([], "'device', 'operator'"), (["--column", "latency_ms"], "'operator'")]
)
def test_what_is_not_learned_from_is_told(
    given: list[str], alone: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cells = list({key_of(cell): cell for cell in draw(SPACE, 24)}.values())
    table, seen, out = (tmp_path / n for n in ("scores.csv", "seen.csv", "own.npz"))
    scores = [f"{cell},{number or ''}" for number, cell in enumerate(cells)]
    table.write_text("\n".join(["arch,naswot", *scores]) + "\n")
    rows = [f"{cell},{latency(str(cell))},board,somebody" for cell in cells]
    seen.write_text("\n".join(["arch,latency_ms,device,operator", *rows]) + "\n")
    command = ["train", "--measurements", str(seen), "--out", str(out), *given]
    assert run(*command, "--scores", str(table), "--extra", "naswot") == 0
    said = capsys.readouterr().err
    assert f"columns left alone, as they are no costs: {alone}." in said
    assert f"naswot: 1 of {len(cells)} architectures have no score" in said


def test_a_column_without_a_name_does_not_matter_to_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cells = list({key_of(cell): cell for cell in draw(SPACE, 24)}.values())
    seen, out = tmp_path / "seen.csv", tmp_path / "own.npz"
    rows = [f"{cell},{latency(str(cell))},9" for cell in cells]
    seen.write_text("\n".join(["arch,latency_ms,", *rows]) + "\n")
    command = ["train", "--measurements", str(seen), "--out", str(out)]
    assert run(*command, "--column", "latency_ms") == 0
    assert "left alone" not in capsys.readouterr().err
    assert run(*command) == 2
    assert "has no name" in capsys.readouterr().err


def key_of(cell: Cell) -> str:
    return SPACE.canonical_key(cell)


@pytest.mark.parametrize(
    ("method", "given", "direction"),
    [
        ("brp-nas-relation", [], "maximize"),
        ("mlp", ["--metric", "accuracy"], "maximize"),
        ("mlp", ["--metric", "accuracy", "--direction", "minimize"], "minimize"),
    ],
)
def test_accuracies_are_learned_and_searched_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], method: str, given: list[str],
    direction: str,
) -> None:  # fmt: skip
    archs = [str(a) for a in draw(SPACE, 60)]
    seen, out = write(tmp_path / "seen.csv", archs, "accuracy_percent"), tmp_path / "acc.npz"
    command = ["train", "--measurements", str(seen), "--out", str(out), "--method", method]
    assert run(*command, *given) == 0
    assert read_predictor_file(out).facts.direction == direction
    assert run("evaluate", str(out), "--measurements", str(seen), "--json") == 0
    assert json.loads(capsys.readouterr().out)["spearman"] > 0.8
    argv = ["search", "--objective", "params", "--cost", f"predictor:{out}", "--trials", "6"]
    with pytest.raises(SystemExit) as end:
        main([*argv, "--out", str(tmp_path / "found"), "--json"])
    assert end.value.code == 0
    front = json.loads((tmp_path / "found" / "front.json").read_text())
    named = {o["name"]: o["direction"] for o in front["objectives"]}
    assert named["mine_accuracy_percent"] == direction


def test_a_throughput_is_maximised(tmp_path: Path) -> None:
    seen = write(tmp_path / "seen.csv", [str(a) for a in draw(SPACE, 30)], "throughput_hz")
    command = ["train", "--measurements", str(seen), "--out", str(tmp_path / "t.npz")]
    assert run(*command, "--metric", "throughput", "--unit", "Hz") == 0
    assert read_predictor_file(tmp_path / "t.npz").facts.direction == "maximize"


def test_help_learns_a_pool_and_asks_for_its_references(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from hwnas_predictors.help import HelpPredictor

    few = {**(HelpPredictor.__init__.__kwdefaults__ or {}), "rounds": 150, "query": 40}
    monkeypatch.setattr(HelpPredictor.__init__, "__kwdefaults__", few)
    rng = np.random.default_rng(4)
    cells = list(dict.fromkeys(str(SPACE.sample(rng)) for _ in range(80)))
    lab, pool, mine = (str(tmp_path / name) for name in ("lab.csv", "lab.npz", "mine.npz"))
    # Devices that weigh a constant part and the operations differently.
    rows = [f"{a},{latency(a)},{latency(a) + 2},{latency(a) ** 1.5}" for a in cells[:60]]
    Path(lab).write_text("\n".join(["arch,a,b,c", *rows]))
    assert run("train", "--measurements", lab, "--out", pool, "--method", "help") == 0
    assert run("support", "--model", pool, "-n", "9") == 2
    assert "`n` must be at least 10" in capsys.readouterr().err
    assert run("support", "--model", pool, "-n", "12") == 0
    asked = [r["architecture"] for r in csv.DictReader(io.StringIO(capsys.readouterr().out))]
    assert len(set(asked)) == 12
    assert set(asked[:10]) <= set(cells[:60])
    measured = str(write(tmp_path / "measured.csv", asked))
    assert run("adapt", "--model", pool, "--measurements", measured, "--out", mine) == 0
    new = str(write(tmp_path / "new.csv", cells[60:]))
    capsys.readouterr()
    assert run("evaluate", mine, "--measurements", new, "--json") == 0
    assert json.loads(capsys.readouterr().out)["spearman"] > 0.9


def test_one_device_is_no_pool(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from hwnas_predictors.brp_nas import MlpPredictor

    cells = [SPACE.sample(np.random.default_rng(i)) for i in range(4)]
    MlpPredictor(SPACE, epochs=1).fit(cells, [1.0, 2.0, 3.0, 4.0]).save(tmp_path / "one.npz")
    measured = str(write(tmp_path / "m.csv", [str(c) for c in cells]))
    command = ("adapt", "--model", str(tmp_path / "one.npz"), "--measurements", measured)
    assert run(*command, "--out", str(tmp_path / "o.npz")) == 2
    assert "holds one device (mlp)" in capsys.readouterr().err


def test_networks_learn_one_device(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = tmp_path / "two.csv"
    table.write_text(f"arch,a,b\n{next(iter(SPACE))},1,2\n")
    command = ("train", "--measurements", str(table), "--out", str(tmp_path / "o.npz"))
    assert run(*command, "--method", "mlp") == 2
    assert "`measurements` must have one column of costs for mlp" in capsys.readouterr().err


def test_training_refuses_columns_of_another_unit(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    archs = [str(SPACE.sample(np.random.default_rng(i))) for i in range(5)]
    measured = write(tmp_path / "m.csv", archs, "mine_latency_s")
    arguments = ("train", "--measurements", str(measured), "--out", str(tmp_path / "x.npz"))
    assert run(*arguments) == 2
    assert "'mine_latency_s' of" in capsys.readouterr().err
    assert run(*arguments, "--unit", "s") == 0


def test_a_space_of_other_settings_than_the_pool_is_trained_by_its_choices(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    measured = write(tmp_path / "m.csv", [str(arch) for arch in draw(SPACE, 12)])
    out = tmp_path / "small.npz"
    argv = ["--space", "nasbench201:channels=8", "--measurements", str(measured)]
    assert run("train", *argv, "--out", str(out)) == 0
    assert "12 measurements" in capsys.readouterr().err
    assert not read_predictor_file(out).settings["network"]


def test_costs_of_one_device_are_trained_together(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Eight energies beside forty latencies, without a pool of other devices."""
    cells = [str(SPACE.representative(cell)) for cell in draw(SPACE, 60, seed=5)]
    lines = [f"{a},{latency(a)},{latency(a) / 2}" for a in cells]
    few = [line if i < 8 else f"{line.rpartition(',')[0]}," for i, line in enumerate(lines)]
    measured, new, out = (tmp_path / name for name in ("m.csv", "new.csv", "both.npz"))
    measured.write_text("\n".join(["arch,latency_ms,energy_mj", *few[:40]]))
    new.write_text("\n".join(["arch,latency_ms,energy_mj", *lines[40:]]))
    argv = ["train", "--measurements", str(measured), "--out", str(out), "--device", "board"]
    both = ["--column", "latency_ms", "--column", "energy_mj"]
    assert run(*argv, *both) == 0
    said = " ".join(capsys.readouterr().err.split())
    assert re.search(r"energy_mj on board/\S+ from 8 measurements, 32 empty, follows", said)
    assert run("evaluate", str(out), "--measurements", str(new), "--json") == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["column"] for row in found] == ["latency_ms", "energy_mj"]
    assert all(row["spearman"] > 0.9 for row in found)
    assert run(*argv, *both, "--metric", "latency") == 2
    assert "leave them out" in " ".join(capsys.readouterr().err.split())
    assert run(*argv, *both, "--method", "mlp") == 2
    assert "of the kind transfer for --column" in " ".join(capsys.readouterr().err.split())
