from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hwnas.cli import main
from hwnas.files.predictor_file import read_predictor_file
from hwnas.spaces.nasbench201 import NasBench201, parse_cell
from hwnas.testing import draw
from hwnas.typing import DeviceKey

SPACE = NasBench201()
CELL = "|nor_conv_3x3~0|+|none~0|none~1|+|skip_connect~0|none~1|nor_conv_1x1~2|"
_MS = {"none": 0.1, "skip_connect": 0.2, "nor_conv_1x1": 0.9, "nor_conv_3x3": 2.0}


def run(*argv: str) -> int:
    with pytest.raises(SystemExit) as end:
        main(["predict", *argv])
    return int(end.value.code or 0)


def latency(text: str) -> float:
    """Give the latency of a made-up device in ms."""
    return 1.0 + sum(_MS.get(operation, 0.6) for operation in parse_cell(text).operations)


def write(path: Path, archs: list[str], column: str = "latency_ms") -> Path:
    path.write_text("\n".join([f"arch,{column}", *(f"{a},{latency(a)}" for a in archs)]))
    return path


@pytest.fixture(scope="module")
def adapted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The predictor of the made-up device, from the ten cells that the pool asks for."""
    from hwnas_predictors.transfer import TransferPredictor

    folder = tmp_path_factory.mktemp("predict")
    pool = TransferPredictor.shipped(SPACE)
    chosen = pool.choose_support(10, 0, dead_operations="executed")
    measured = write(folder / "mine.csv", [str(a) for a in chosen])
    out = folder / "mine.npz"
    argv = ["--measurements", str(measured), "--out", str(out), "--runtime", "ort"]
    assert run("adapt", *argv, "--dead-operations", "executed") == 0
    return out


def test_a_function_is_a_space_and_no_pool(capsys: pytest.CaptureFixture[str]) -> None:
    """Other commands take it as --model; here that is a file."""
    assert run("support", "--model", "my_nets:build") == 2
    assert "give --space my_nets:build:input=" in capsys.readouterr().err


def test_a_table_of_architectures_is_predicted(
    adapted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What hwnas writes is what it reads: measurements, and those of earlier versions."""
    found = []
    for content in (f"{CELL}\n", f"n,arch,latency_ms\n1,{CELL},2.5\n", f"architecture\n{CELL}\n"):
        (tmp_path / "a.csv").write_text(content, encoding="utf-8-sig")
        assert run("export", str(adapted), "--archs", str(tmp_path / "a.csv"), "--json") == 0
        found.append(json.loads(capsys.readouterr().out))
    content = f"# mine\n \narch,latency_ms\n{CELL},2.5\n \n# {CELL},2\n"
    (tmp_path / "a.csv").write_text(content)
    assert run("export", str(adapted), "--archs", str(tmp_path / "a.csv"), "--json") == 0
    found.append(json.loads(capsys.readouterr().out))
    assert found[0] == found[1] == found[2] == found[3]
    assert found[0]["architecture"] == CELL
    (tmp_path / "a.csv").write_text(f"architecture\n{CELL}\nnonsense\n")
    assert run("export", str(adapted), "--archs", str(tmp_path / "a.csv")) == 2
    assert "a.csv, line 3: " in capsys.readouterr().err
    (tmp_path / "a.csv").write_text(f"# mine\n\narchitecture,n\n{CELL},1\n\n \nnonsense,2\n")
    assert run("export", str(adapted), "--archs", str(tmp_path / "a.csv")) == 2
    assert "a.csv, line 7: " in capsys.readouterr().err
    for mark in ";\t":
        (tmp_path / "a.csv").write_text(f"arch{mark}latency_ms\n{CELL}{mark}1\n")
        assert run("export", str(adapted), "--archs", str(tmp_path / "a.csv")) == 2
        assert "must separate cells by commas" in capsys.readouterr().err


def test_support_is_a_file_to_be_filled_in(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("support", "-n", "6") == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["latency_ms"] for row in rows] == [""] * 6
    archs = {SPACE.parse(row["architecture"]) for row in rows}
    assert len(archs) == 6
    assert all(arch.is_live() for arch in archs)
    argv = ("-n", "12", "--dead-operations", "executed", "--metric", "energy", "--unit", "mJ")
    assert run("support", *argv) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert not all(SPACE.parse(row["architecture"]).is_live() for row in rows)
    assert "energy_mj" in rows[0]


def test_a_wrong_measurement_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("support", "-n", "12") == 0
    chosen = [row["architecture"] for row in csv.DictReader(io.StringIO(capsys.readouterr().out))]
    rows = [f"{a},{latency(a) * (2.5 if a == chosen[3] else 1)}" for a in chosen]
    measured, out = tmp_path / "m.csv", tmp_path / "x.npz"
    measured.write_text("\n".join(["arch,latency_ms", *rows]))
    assert run("adapt", "--measurements", str(measured), "--out", str(out)) == 0
    said = " ".join(capsys.readouterr().err.split())
    wrong = re.findall(r"(\|\S+): \S+ ms does not fit the other measurements", said)
    assert wrong == [chosen[3]]


def test_costs_are_learned_together(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Four energies beside twelve latencies, in one file, whose columns are costs of a search."""
    assert run("support", "-n", "12") == 0
    chosen = [row["architecture"] for row in csv.DictReader(io.StringIO(capsys.readouterr().out))]
    rows = [f"{a},{latency(a)},{latency(a) / 2 if i < 4 else ''}" for i, a in enumerate(chosen)]
    measured, out = tmp_path / "m.csv", tmp_path / "both.npz"
    measured.write_text("\n".join(["arch,latency_ms,energy_mj", *rows]))
    argv = ["--measurements", str(measured), "--out", str(out)]
    assert run("adapt", *argv, "--column", "energy_mj", "--column", "latency_ms") == 0
    said = " ".join(capsys.readouterr().err.split())
    assert "energy_mj on mine/unknown/float32/b1/pruned from 4 measurements, 8 empty" in said
    assert re.search(r"follows latency_ms with (9\d|100) %; search with --cost predictor:", said)
    new = tmp_path / "new.csv"
    archs = [str(SPACE.representative(cell)) for cell in draw(SPACE, 30, seed=3)]
    lines = [f"{a},{latency(a)},{latency(a) / 2}" for a in archs]
    new.write_text("\n".join(["arch,latency_ms,energy_mj", *lines]))
    assert run("evaluate", str(out), "--measurements", str(new), "--json") == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(row["column"], row["unit"]) for row in found] == [
        ("energy_mj", "mJ"), ("latency_ms", "ms"),
    ]  # fmt: skip
    assert all(row["spearman"] > 0.9 for row in found)
    assert run("evaluate", f"{out}:energy_mj", "--measurements", str(new), "--json") == 0
    assert json.loads(capsys.readouterr().out) == found[0]
    assert run("export", str(out), "--arch", CELL, "--json") == 0
    row = json.loads(capsys.readouterr().out)
    assert row["energy_mj"] == pytest.approx(row["latency_ms"] / 2, rel=0.15)
    for cost, code in ((f"predictor:{out}:energy_mj", 0), (f"predictor:{out}", 2)):
        search = ["search", "--objective", "params", "--cost", cost, "--trials", "2"]
        with pytest.raises(SystemExit) as end:
            main([*search, "--out", str(tmp_path / f"out{code}"), "--json"])
        assert end.value.code == code
    assert "must be FILE:COLUMN" in capsys.readouterr().err


def test_costs_that_were_measured_alike_are_learned_apart(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cells = [str(SPACE.representative(cell)) for cell in draw(SPACE, 8, seed=2)]
    measured, out = tmp_path / "m.csv", tmp_path / "both.npz"
    rows = [f"{a},{latency(a)},{latency(a) / 2}" for a in cells]
    measured.write_text("\n".join(["arch,latency_ms,energy_mj", *rows]))
    argv = ["--measurements", str(measured), "--out", str(out)]
    assert run("adapt", *argv, "--column", "latency_ms", "--column", "energy_mj") == 0
    assert "follows" not in capsys.readouterr().err


def test_a_device_beside_another(
    adapted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Three measurements of a device that is twice as slow as one that is known."""
    cells = [str(cell) for cell in draw(SPACE, 40, seed=4)]
    measured, new, out = (tmp_path / name for name in ("m.csv", "new.csv", "slow.npz"))
    for path, some in ((measured, cells[:3]), (new, cells[3:])):
        path.write_text("\n".join(["arch,latency_ms", *(f"{a},{2 * latency(a)}" for a in some)]))
    argv = ["--measurements", str(measured), "--out", str(out), "--dead-operations", "executed"]
    assert run("adapt", *argv, "--beside", str(adapted)) == 0
    assert run("evaluate", str(out), "--measurements", str(new), "--json") == 0
    assert json.loads(capsys.readouterr().out)["within_10_percent"] > 0.6
    help_pool = tmp_path / "nothing.npz"
    assert run("adapt", *argv, "--beside", str(help_pool)) == 2
    assert "nothing.npz" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--column", "latency"], "`--column` must be METRIC_UNIT"),
        (["--column", "power_w"], "must have a column 'power_w'"),
        (["--column", "latency_ms", "--column", "latency_ms"], "must name each once"),
        (["--column", "latency_ms", "--metric", "latency"], "leave them out"),
    ],
)
def test_columns_are_named_by_metric_and_unit(
    options: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cells = [str(cell) for cell in draw(SPACE, 4, seed=1)]
    measured = str(write(tmp_path / "m.csv", cells))
    assert run("adapt", "--measurements", measured, "--out", str(tmp_path / "o.npz"), *options) == 2
    assert said in capsys.readouterr().err.replace("\n", " ")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--measurements", "none.csv"], "`none.csv` must be a CSV file, but there is none"),
        (["--column", "latency_ms", "--metric", "latency"], "leave them out"),
        (["--column", "latency_ms", "--column", "power_w"], "must have a column 'power_w'"),
        (["--metric", "energy"], "`--unit` must be given for energy"),
        (["--metric", "energy", "--unit", "mJ"], "column 'energy_mj': a cost must be positive"),
        (["--unit", "s"], "must have a column 'latency_s'"),
        (["--batch", "2"], "`--batch` must be that of the measurements, 4"),
    ],
)
def test_the_file_is_checked_before_the_space_is_opened(
    options: list[str],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("hwnas.cli.predict_adapt.open_pool", None)
    Path("m.csv").write_text("arch,latency_ms,energy_mj,device,batch\nanything,1,-2,board,4\n")
    assert run("adapt", "--measurements", "m.csv", "--out", "o.npz", *options) == 2
    assert said in capsys.readouterr().err.replace("\n", " ")


@pytest.mark.parametrize(
    "options",
    [["--column", "accuracy_percent"], ["--metric", "accuracy"]],
)
def test_what_should_be_large_is_not_learned_from_a_pool_of_costs(
    options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cells = [str(cell) for cell in draw(SPACE, 4, seed=1)]
    measured = str(write(tmp_path / "m.csv", cells, "accuracy_percent"))
    assert run("adapt", "--measurements", measured, "--out", str(tmp_path / "o.npz"), *options) == 2
    assert "of which less is better, but got accuracy" in " ".join(capsys.readouterr().err.split())


def test_energy_of_a_pruned_device(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Any cost with a unit; equal networks have equal costs, and rows of before are told."""
    assert run("support", "-n", "8") == 0
    chosen = [row["architecture"] for row in csv.DictReader(io.StringIO(capsys.readouterr().out))]
    measured, out = tmp_path / "m.csv", tmp_path / "energy.npz"
    rows = [f"{a},{latency(a)},{latency(a) / 2}" for a in chosen]
    measured.write_text("\n".join(["arch,latency_ms,energy_mj", *rows]))
    argv = ["--measurements", str(measured), "--out", str(out), "--device", "board"]
    assert run("adapt", *argv, "--metric", "energy", "--unit", "mJ") == 0
    said = " ".join(capsys.readouterr().err.split())
    assert "energy in mJ on board/unknown/float32/b1/pruned from 8 measurements" in said
    assert re.search(r"leaving one out: Spearman \S+, median error \d+ %, \d+ % within 10 %", said)
    dead = parse_cell(CELL)
    live = SPACE.representative(dead)
    assert live != dead
    assert run("export", str(out), "--arch", str(live), "--arch", str(dead), "--json") == 0
    one, other = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert one["energy_mj"] == other["energy_mj"]
    assert run("evaluate", str(out), "--measurements", str(measured), "--json") == 0
    shown = capsys.readouterr()
    assert json.loads(shown.out)["learned_from"] == 8
    assert "8 of 8 measurements are of architectures that the predictor learned from" in " ".join(
        shown.err.split()
    )


def test_the_shipped_pool_predicts_a_new_device(
    adapted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(7)
    new = write(tmp_path / "new.csv", [str(SPACE.sample(rng)) for _ in range(100)])
    assert run("evaluate", str(adapted), "--measurements", str(new), "--json") == 0
    row = json.loads(capsys.readouterr().out)
    assert row["n"] == 100
    assert row["spearman"] > 0.95
    assert row["device"] == "mine/ort/float32/b1/executed"
    assert row["learned_from"] == 0


def test_export_gives_costs_and_deviations(
    adapted: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arch = str(SPACE.sample(np.random.default_rng(0)))
    assert run("export", str(adapted), "--arch", arch, "--json") == 0
    row = json.loads(capsys.readouterr().out)
    assert row["architecture"] == arch
    assert row["latency_ms"] == pytest.approx(latency(arch), rel=0.3)
    assert row["latency_ms_std"] > 0


def test_export_of_a_space_that_cannot_be_listed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from hwnas.spaces.fbnet import FBNet
    from hwnas_predictors.transfer import TransferPredictor

    space, pool = FBNet(), TransferPredictor.shipped(FBNet())
    chosen = pool.choose_support(8)
    costs = [1.0 + sum(map(len, arch.operations)) for arch in chosen]
    predictor = pool.adapt(chosen, costs)
    predictor.save(tmp_path / "fbnet.npz")
    assert run("export", str(tmp_path / "fbnet.npz")) == 2
    assert "`--archs FILE` must be given" in capsys.readouterr().err
    archs = draw(space, 3)
    lines = tmp_path / "archs.txt"
    lines.write_text("\n".join(["# three", *map(str, archs), ""]))
    assert run("export", str(tmp_path / "fbnet.npz"), "--archs", str(lines), "--json") == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["architecture"] for row in rows] == [str(arch) for arch in archs]
    assert [row["latency_ms"] for row in rows] == predictor.predict(archs).tolist()
    lines.write_text("# nothing\n")
    assert run("export", str(tmp_path / "fbnet.npz"), "--archs", str(lines)) == 2
    assert "must name an architecture" in capsys.readouterr().err
    lines.write_text(f"{archs[0]}\nnonsense\n")
    assert run("export", str(tmp_path / "fbnet.npz"), "--archs", str(lines)) == 2
    assert "archs.txt, line 2:" in capsys.readouterr().err


def test_the_device_is_named_where_there_is_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from hwnas_predictors.transfer import TransferPredictor

    archs = [str(a) for a in draw(SPACE, 12)]
    one, out = write(tmp_path / "one.csv", archs), tmp_path / "one.npz"
    one.write_text(one.read_text() + f"\n{CELL},\n")
    command = ["train", "--measurements", str(one), "--out", str(out)]
    all_of_it = ["--device", "jetson", "--runtime", "trt", "--precision", "int8", "--batch", "8"]
    for given, device in (
        ([], DeviceKey("mine", "unknown")),
        ([*all_of_it, "--threads", "2"], DeviceKey("jetson", "trt", "int8", 8, 2)),
    ):
        assert run(*command, *given) == 0
        found = read_predictor_file(out).facts.device
        # The costs say what was done with dead operations.
        assert replace(found, dead_operations=None) == device
        assert found.dead_operations == "executed"
        assert "12 measurements, 1 empty" in capsys.readouterr().err
    two = tmp_path / "two.csv"
    two.write_text("\n".join(["arch,a,b", *(f"{a},{latency(a)},1" for a in archs)]))
    pool = ["train", "--measurements", str(two), "--out", str(out)]
    for given in (["--device", "jetson"], ["--runtime", "trt"], ["--batch", "2"]):
        assert run(*pool, *given) == 2
        assert "must be given for one device" in capsys.readouterr().err
    own = write(tmp_path / "own.csv", archs, "pixel3_latency_ms")
    assert run("train", "--measurements", str(own), "--out", str(out)) == 0
    assert read_predictor_file(out).facts.device.device == "pixel3"
    monkeypatch.setattr(TransferPredictor, "fit", lambda *_: pytest.fail("trained first"))
    for command in (["train"], ["adapt"]):
        argv = [*command, "--measurements", str(one), "--device", "any", "--out", str(out)]
        assert run(*argv) == 2
        assert "marks a pool" in capsys.readouterr().err


def test_a_predictor_is_a_cost_of_a_search(
    adapted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["search", "--objective", "params", "--cost", f"predictor:{adapted}", "--trials", "4"]
    with pytest.raises(SystemExit) as end:
        main([*argv, "--out", str(tmp_path / "out"), "--json"])
    assert end.value.code == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert rows
    assert all(row["mine_latency_ms"] > 0 for row in rows)
    assert all(row["attributes"]["mine_latency_ms_std"] > 0 for row in rows)


@pytest.mark.parametrize(
    ("column", "text"),
    [("latency_s", "must have a column 'latency_ms' in ms"), ("energy_mj", "has energy_mj")],
)
def test_other_units_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], column: str, text: str
) -> None:
    archs = [str(SPACE.sample(np.random.default_rng(i))) for i in range(5)]
    measured = write(tmp_path / "m.csv", archs, column)
    code = run("adapt", "--measurements", str(measured), "--out", str(tmp_path / "x.npz"))
    assert code == 2
    message = capsys.readouterr().err
    assert text in message
    assert len(message.splitlines()) == 1


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("arch,latency_ms\nnonsense,1\n", "Line 2 of"),
        (f"arch,latency_ms\n\n{CELL},1,5\n", "Line 3 of .* must have 2 cells"),
        (f"arch,latency_ms\n{CELL}", "Line 2 of .* must have 2 cells"),
        (f"arch,latency_ms\n{CELL},-1\n", "Line 2 of .* must be positive, but is -1"),
        (f"arch,latency_ms\n{CELL},0\n", "must be positive, but is 0"),
        (f"arch,latency_ms\n{CELL},inf\n", "must be positive, but is inf"),
        (
            f"arch,latency_ms\n{CELL},OOM\n",
            "Line 2 of .* a number such as 1.5, but is 'OOM': leave",
        ),
        (f"arch;latency_ms\n{CELL};1\n", "1 rows: separate cells by commas"),
        (f"arch\tlatency_ms\n{CELL}\t1\n", "separate cells by commas"),
        (f"arch,latency_ms,latency_ms\n{CELL},1,2\n", "each column once"),
        ("cell,latency_ms\na,1\n", "must have a column 'architecture'"),
        ("", "must have a column 'architecture'"),
        (None, "must be a CSV file, but there is none"),
    ],
)
def test_bad_files_are_refused_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str | None, text: str
) -> None:
    path = tmp_path / "m.csv"
    if content is not None:
        path.write_text(content)
    assert run("adapt", "--measurements", str(path), "--out", str(tmp_path / "x.npz")) == 2
    message = capsys.readouterr().err
    assert re.search(text, message)
    assert len(message.splitlines()) == 1


def test_a_file_that_states_its_device_names_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(0)
    plain = write(tmp_path / "plain.csv", [str(SPACE.sample(rng)) for _ in range(10)])

    def stated(precision: str, file: str = "stated.csv") -> str:
        lines = plain.read_text().splitlines()
        key = f"jetson,tensorrt-10.3,{precision},4"
        text = [f"{lines[0]},device,runtime,precision,batch", *(f"{x},{key}" for x in lines[1:])]
        (tmp_path / file).write_text("\n".join(text) + "\n")
        return str(tmp_path / file)

    given, out = stated("float16"), str(tmp_path / "mine.npz")
    assert run("adapt", "--measurements", given, "--out", out, "--precision", "int8") == 2
    assert "`--precision` must be that of the measurements" in capsys.readouterr().err
    assert run("adapt", "--measurements", given, "--out", out) == 0
    assert "jetson/tensorrt-10.3/float16/b4" in capsys.readouterr().err
    assert run("evaluate", out, "--measurements", given) == 0
    assert run("evaluate", out, "--measurements", stated("int8")) == 2
    assert "precision float16 and not int8" in capsys.readouterr().err
    mixed = tmp_path / "mixed.csv"
    lines = Path(stated("int8")).read_text().splitlines()
    mixed.write_text("\n".join([*lines[:-1], lines[-1].replace("int8", "float16")]) + "\n")
    assert run("adapt", "--measurements", str(mixed), "--out", out) == 2
    assert "must be of one device" in capsys.readouterr().err


def test_evaluating_without_a_cost_is_refused(
    tmp_path: Path, adapted: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "m.csv"
    path.write_text(f"arch,latency_ms\n{CELL},\n")
    assert run("evaluate", str(adapted), "--measurements", str(path)) == 2
    assert "must hold a cost" in capsys.readouterr().err


def test_a_pool_is_no_cost_and_another_space_is_refused(
    tmp_path: Path, adapted: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from hwnas.costs.source import make_cost
    from hwnas.errors import InvalidValueError
    from hwnas.tasks.catalogue import get_task
    from hwnas_predictors.transfer import TransferPredictor

    TransferPredictor.shipped(SPACE).save(tmp_path / "pool.npz")
    cifar10 = get_task("cifar10")
    with pytest.raises(InvalidValueError, match="holds a pool"):
        make_cost(f"predictor:{tmp_path / 'pool.npz'}", SPACE, cifar10)
    with pytest.raises(InvalidValueError, match="`space` must be"):
        make_cost(f"predictor:{adapted}", NasBench201(cells=1), cifar10)
    with pytest.raises(InvalidValueError, match="predictor:FILE"):
        make_cost("predictor", SPACE, cifar10)
    measured = write(tmp_path / "m.csv", [str(SPACE.sample(np.random.default_rng(0)))] * 3)
    argv = ["--space", "NasBench201(cells=1)", "--measurements", str(measured)]
    assert run("adapt", *argv, "--out", str(tmp_path / "x.npz")) == 2
    assert "`space` must be" in capsys.readouterr().err


def test_units_of_other_metrics_are_asked_for_and_defaults_are_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seen = write(tmp_path / "seen.csv", [str(a) for a in draw(SPACE, 12)], "accuracy_percent")
    command = ["train", "--measurements", str(seen), "--out", str(tmp_path / "p.npz")]
    assert run(*command) == 2
    assert "'accuracy_percent' of" in capsys.readouterr().err
    assert run(*command, "--metric", "energy") == 2
    assert "`--unit` must be given for energy" in capsys.readouterr().err
    assert run("train", "--help") == 0
    shown = " ".join(capsys.readouterr().out.replace("│", "").split())
    assert "[default: maximize for accuracy, throughput and the like, else minimize]" in shown
    assert "\\[" not in shown
