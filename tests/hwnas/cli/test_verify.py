from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from hwnas.cli import main
from hwnas.pareto import ObjectiveInfo, ParetoSet
from hwnas.pareto.uncertainty import with_neighbours
from hwnas.spaces.nasbench201 import Cell, NasBench201
from hwnas.typing import DeviceKey

SPACE = NasBench201(channels=4, cells=1)
NAME = "mine_latency_ms"
CELLS = [
    Cell(("nor_conv_3x3",) * 6),
    Cell(("nor_conv_1x1",) * 6),
    Cell(("skip_connect", *("none",) * 4, "nor_conv_1x1")),
]


def results(folder: Path, name: str = NAME, unit: str = "ms", **provenance: object) -> Path:
    """Write a predicted front of three members: 9, 6 and 2 ms, each with the deviation 0.5."""
    front = ParetoSet.from_values(
        CELLS,
        [SPACE.canonical_key(cell) for cell in CELLS],
        [[3.0, 9.0], [2.0, 6.0], [1.0, 2.0]],
        [ObjectiveInfo("score", "", "maximize"), ObjectiveInfo(name, unit)],
        space=SPACE,
        attributes=[{f"{name}_std": 0.5}] * 3,
        provenance=provenance,
    )
    folder.mkdir(exist_ok=True)
    with_neighbours(front, [name]).save(folder / "front.json")
    return folder


def measurements(
    path: Path, rows: list[tuple[Cell, float | str]], column: str = "latency_ms"
) -> Path:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("arch", column), *rows])
    return path


def run(*argv: object) -> int:
    with pytest.raises(SystemExit) as end:
        main(["pareto", "verify", *map(str, argv)])
    assert isinstance(end.value.code, int)
    return end.value.code


def test_a_file_of_measurements_replaces_the_predictions(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = results(tmp_path / "in")
    # Repeated rows count as their median; rows of other cells do not matter.
    rows = [(CELLS[0], 5.0), (CELLS[1], 6.5), (CELLS[2], 1.0), (CELLS[2], 2.5), (CELLS[2], 9.0)]
    given = measurements(tmp_path / "m.csv", [*rows, (Cell(("avg_pool_3x3",) * 6), 1.0)])
    assert run(source, "--measurements", given, "--out", tmp_path / "out", "--json") == 0
    out, err = capsys.readouterr()
    lines = [json.loads(line) for line in out.splitlines()]
    assert [
        (r["predicted"], r["std"], r["measured"], r["inside_95"], r["outcome"]) for r in lines
    ] == [
        (9.0, 0.5, 5.0, False, "front"),
        (6.0, 0.5, 6.5, True, "dominated"),
        (2.0, 0.5, 2.5, True, "front"),
    ]
    assert lines[2]["deviation"] == pytest.approx(0.25)
    assert "2 of 3 members stay; 2 of 3 measurements lie in the predicted 95 % interval" in err
    found = ParetoSet.load(tmp_path / "out/front.json")
    assert [(m.arch, m.values[1], m.attributes[f"{NAME}_predicted"]) for m in found.members] == [
        (str(CELLS[0]), 5.0, 9.0),
        (str(CELLS[2]), 2.5, 2.0),
    ]
    assert found.provenance["verification"]["measurements"] == "m.csv"
    with (tmp_path / "out/front.csv").open(encoding="utf-8") as file:
        assert [row[f"{NAME}_predicted"] for row in csv.DictReader(file)] == ["9.0", "2.0"]
    assert f"{NAME}_predicted" in (tmp_path / "out/report.html").read_text(encoding="utf-8")
    assert len(ParetoSet.load(source / "front.json")) == 3


def test_row_numbers_and_texts_beside_the_measurements_are_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, given = results(tmp_path / "in"), tmp_path / "m.csv"
    rows = [(i, cell, 5.0 + i, "lab-board") for i, cell in enumerate(CELLS)]
    with given.open("w", newline="") as file:
        csv.writer(file).writerows([("", "arch", "latency_ms", "device"), *rows])
    assert run(source, "--measurements", given, "--out", tmp_path / "out", "--json") == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["measured"] for line in lines] == [5.0, 6.0, 7.0]


def test_energy_is_verified_by_its_own_column(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, given = results(tmp_path / "in", "lab_energy_mj", "mJ"), tmp_path / "m.csv"
    rows = [(cell, 1.0, 5.0 + i, 0.0) for i, cell in enumerate(CELLS)]
    names = ("arch", "latency_ms", "energy_mj", "energy_std_mj")
    with given.open("w", newline="") as file:
        csv.writer(file).writerows([names, *rows])
    assert run(source, "--measurements", given, "--out", tmp_path / "out", "--json") == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["measured"] for line in lines] == [5.0, 6.0, 7.0]
    latencies = measurements(tmp_path / "ms.csv", [(cell, 1.0) for cell in CELLS])
    assert run(source, "--measurements", latencies, "--out", tmp_path / "other") == 2
    assert "lab_energy_mj and the measurements latency_ms" in capsys.readouterr().err


def test_the_results_folder_is_written_by_default(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = results(tmp_path / "in")
    given = measurements(tmp_path / "m.csv", [(CELLS[0], 9.0), (CELLS[1], 6.0), (CELLS[2], 3.0)])
    assert run(source, "--measurements", given) == 0
    out = capsys.readouterr().out
    for text in ("predicted", "measured", "deviation", "+50.0 %", "yes", "no", str(CELLS[0])):
        assert text in out
    numbered = [line.split()[:2] for line in out.splitlines() if "%" in line]
    assert [row for row in numbered if row[0].isdigit()] == [["1", "9"], ["2", "6"], ["3", "2"]]
    assert [m.values[1] for m in ParetoSet.load(source / "front.json").members] == [9.0, 6.0, 3.0]


def test_onnx_runtime_measures_here_and_an_interrupted_run_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from hwnas.costs.measured import RuntimeCost

    measured: list[str] = []
    genuine: Callable[..., object] = RuntimeCost.measure

    def measure(self: RuntimeCost[Cell], arch: Cell) -> object:
        if len(measured) == 2 and "again" not in measured:
            raise KeyboardInterrupt
        measured.append(str(arch))
        # The defaults measure for a second.
        object.__setattr__(self, "max_seconds", 0.05)
        found = genuine(self, arch)
        object.__setattr__(self, "max_seconds", 1.0)
        return found

    monkeypatch.setattr(RuntimeCost, "measure", measure)
    source = results(tmp_path / "in", settings={"dataset": "cifar10"})
    before = (source / "front.json").read_bytes()
    assert run(source, "--cost", "onnxruntime:cpu:latency") == 130
    assert (source / "front.json").read_bytes() == before
    measured.append("again")
    capsys.readouterr()
    assert run(source, "--cost", "onnxruntime:cpu:latency", "--json") == 0
    assert measured == [str(CELLS[0]), str(CELLS[1]), "again", str(CELLS[2])]
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert all(line["measured"] > 0 for line in lines)
    found = ParetoSet.load(source / "front.json")
    by_key = {line["key"]: line["measured"] for line in lines}
    assert [m.values[1] for m in found.members] == [by_key[m.key] for m in found.members]
    assert found.provenance["verification"]["device"].startswith("cpu/onnxruntime-")
    # The front is another one now, and what was measured before it is not what it is verified by.
    assert run(source, "--cost", "onnxruntime:cpu:latency", "--json") == 0
    assert len(measured) == 4 + len(found)


@pytest.mark.parametrize(
    ("argv", "text"),
    [
        ((), "One of `--cost`, `--measurements` and `--accuracy` must be given, but got none"),
        (("--cost", "count:macs", "--measurements", "m.csv"), "but got --cost and --measurements"),
        (("--cost", "count:macs"), "measure the same metric"),
        (("--cost", "nonsense"), "nonsense"),
        (("--cost", "onnxruntime", "--objective", "speed"), "'speed'"),
        (("--measurements", "absent.csv"), "`absent.csv` must be a CSV file"),
        (("--measurements", "m.csv"), "1 of 3 have none in 'latency_ms'"),
        (("--measurements", "s.csv"), "convert the unit"),
    ],
)
def test_bad_input_is_one_line_and_changes_nothing(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    argv: tuple[str, ...],
    text: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    rows: list[tuple[Cell, float | str]] = [(CELLS[0], 9.0), (CELLS[1], ""), (CELLS[2], 3.0)]
    measurements(tmp_path / "m.csv", rows)
    measurements(tmp_path / "s.csv", rows, "latency_s")
    source = results(tmp_path / "in", settings={"dataset": "cifar10"})
    before = (source / "front.json").read_bytes()
    assert run(source, *argv) == 2
    message = capsys.readouterr().err
    assert text in message
    assert len(message.splitlines()) == 1
    assert [p.name for p in source.iterdir()] == ["front.json"]
    assert (source / "front.json").read_bytes() == before


JETSON = {"objective": NAME, "device": "jetson/tensorrt-10.3/float16/b1", "unit": "ms"}


def test_a_front_of_another_device_is_not_verified_by_this_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = results(tmp_path / "in", settings={"dataset": "cifar10"}, costs=[JETSON])
    before = (source / "front.json").read_bytes()
    for more in ((), ("--device", "jetson")):
        assert run(source, "--cost", "onnxruntime:cpu:latency", *more) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert "must be measured on its own device, jetson/tensorrt-10.3/float16/b1" in line
        assert ("device jetson and not cpu" in line) == (not more)
        assert "runtime tensorrt and not onnxruntime" in line
    assert (source / "front.json").read_bytes() == before


def test_a_file_that_says_its_device_is_compared(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = results(tmp_path / "in", costs=[JETSON])
    names = ["arch", "latency_ms", "device", "runtime", "precision", "batch"]
    given = tmp_path / "m.csv"
    for precision, code in (("int8", 2), ("float16", 0)):
        rows = [(c, 5.0, "jetson", "tensorrt-10.3", precision, 1) for c in CELLS]
        with given.open("w", newline="") as file:
            csv.writer(file).writerows([names, *rows])
        assert run(source, "--measurements", given) == code
        assert ("precision float16 and not int8" in capsys.readouterr().err) == bool(code)
    verification = ParetoSet.load(source / "front.json").provenance["verification"]
    assert verification["device"] == "jetson/tensorrt-10.3/float16/b1"


def test_a_data_set_or_a_folder_that_is_not_known_must_be_given(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = results(tmp_path / "in")
    assert run(source, "--cost", "onnxruntime") == 2
    assert "`--dataset` must be given" in capsys.readouterr().err
    assert run(source / "front.json", "--cost", "onnxruntime") == 2
    assert "`--out` must name a folder" in capsys.readouterr().err


def test_a_stored_study_of_a_predictor_is_verified(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from hwnas_predictors.transfer import TransferPredictor

    pool = TransferPredictor.shipped(NasBench201())
    archs = pool.choose_support(10)
    latency_ms = [1.0 + sum(len(o) for o in arch.operations) / 10 for arch in archs]
    predictor = pool.adapt(archs, latency_ms, DeviceKey("mine"))
    predictor.save(tmp_path / "mine.npz")
    storage = f"sqlite:///{tmp_path / 'study.db'}"
    cost = f"predictor:{tmp_path / 'mine.npz'}"
    argv = ["--objective", "params", "--cost", cost, "--trials", "4", "--storage", storage]
    with pytest.raises(SystemExit):
        main(["search", *argv, "--out", str(tmp_path / "in"), "--json"])
    cells = [json.loads(line)["architecture"] for line in capsys.readouterr().out.splitlines()]
    assert cells
    given = measurements(tmp_path / "m.csv", [(predictor.space.parse(c), 4.5) for c in cells])
    assert run(storage, "--measurements", given, "--out", tmp_path / "out", "--json") == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["architecture"] for line in lines] == cells
    predicted, std = predictor.predict([predictor.space.parse(c) for c in cells], return_std=True)
    assert [line["predicted"] for line in lines] == pytest.approx(predicted.tolist())
    assert [line["std"] for line in lines] == pytest.approx(std.tolist())
    # All are equally fast, so only the first objective's best stay.
    best = {m.values[0] for m in ParetoSet.load(tmp_path / "out/front.json").members}
    assert len(best) == 1


def accuracies(path: Path, rows: list[tuple[object, ...]], *more: str) -> Path:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("arch", "accuracy", *more), *rows])
    return path


def test_trained_accuracies_come_back_into_the_front(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hwnas.pareto.trained.RESAMPLES", 20)
    source = results(tmp_path / "in", num_classes=10, in_shape=[3, 8, 8])
    # The third network is as accurate as the first at less latency; another is no member.
    rows = [(CELLS[0], 90.0), (CELLS[1], 80.0), (CELLS[2], 91.0), (CELLS[2], 89.0), (CELLS[1], "")]
    given = accuracies(tmp_path / "a.csv", [*rows, (Cell(("avg_pool_3x3",) * 6), 1.0)])
    assert run(source, "--accuracy", given, "--out", tmp_path / "out", "--json") == 0
    out, err = capsys.readouterr()
    lines = [json.loads(line) for line in out.splitlines()]
    known = ("accuracy", "accuracy_std", "accuracy_runs", "on_accuracy_front")
    assert [tuple(line[name] for name in known) for line in lines[:3]] == [
        (90.0, None, 1, False),
        (80.0, None, 1, False),
        (90.0, pytest.approx(2**0.5), 2, True),
    ]
    assert [line["score"] for line in lines[3:]] == ["score", NAME, "params", "macs"]
    assert "1 rows" in err
    assert "stay 3." in err
    front = ParetoSet.load(tmp_path / "out/front.json")
    assert [m.attributes["accuracy"] for m in front.members] == [90.0, 80.0, 90.0]
    assert front.provenance["trained"]["runs"] == 4
    with (tmp_path / "out/front.csv").open(encoding="utf-8") as file:
        assert [row["accuracy"] for row in csv.DictReader(file)] == ["90.0", "80.0", "90.0"]
    assert "on_accuracy_front" in (tmp_path / "out/report.html").read_text(encoding="utf-8")
    # The front can be verified again, and shown as a table.
    assert run(tmp_path / "out", "--accuracy", given) == 0
    out = capsys.readouterr().out
    assert "Kendall's tau with accuracy" in out
    assert "runs" in out
    # One member alone has no rank correlation.
    one = accuracies(tmp_path / "one.csv", [(CELLS[0], 90.0)])
    assert run(source, "--accuracy", one, "--out", tmp_path / "one") == 0
    out = capsys.readouterr().out
    assert "nan" not in out
    assert "– to –" not in out
    assert "runs" not in out


@pytest.mark.parametrize(
    ("rows", "more", "message"),
    [
        ([(CELLS[0], 101)], (), "an accuracy must be in percent, 0 to 100, but is 101"),
        ([(CELLS[0], "high")], (), "Line 2 of"),
        ([(CELLS[0], 0.9), (CELLS[1], 0.8)], (), "multiply shares by 100"),
        ([(CELLS[0], 0.9, "a"), (CELLS[1], 0.8, "a")], ("settings",), "multiply shares by 100"),
        ([(Cell(("avg_pool_3x3",) * 6), 90)], (), "must hold those of members"),
        ([(CELLS[0], 90, "a"), (CELLS[0], 91, "b")], ("settings",), "2 different `settings`"),
        (
            [
                (CELLS[0], 90, '{"epochs": 3, "data": "1f"}'),
                (CELLS[0], 91, '{"epochs": 4, "data": "1f"}'),
            ],
            ("settings",),
            "2 different `settings` (epochs): keep the rows of one.",
        ),
        (
            [(CELLS[0], 90, '{"epochs": 3, "data": "1f"}'), (CELLS[0], 91, '{"epochs": 3}')],
            ("settings",),
            "2 different `settings` (data): keep the rows of one; rows without `data` are",
        ),
    ],
)
def test_wrong_accuracies_are_refused_and_nothing_is_written(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    rows: list[tuple[object, ...]],
    more: tuple[str, ...],
    message: str,
) -> None:
    source = results(tmp_path / "in")
    before = (source / "front.json").read_bytes()
    assert run(source, "--accuracy", accuracies(tmp_path / "a.csv", rows, *more)) == 2
    err = capsys.readouterr().err
    assert message in err.splitlines()[-1]
    assert (source / "front.json").read_bytes() == before
    assert not (source / "report.html").exists()


def test_another_column_stands_for_the_accuracy(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = results(tmp_path / "in")
    rows: list[tuple[object, ...]] = [(CELLS[0], 90, 41, 7), (CELLS[1], 80, 45, 8)]
    given = accuracies(tmp_path / "a.csv", rows, "miou", "runs_lost")
    assert run(source, "--accuracy", f"{given}:miou", "--out", tmp_path / "out") == 0
    front = ParetoSet.load(tmp_path / "out/front.json")
    assert [m.attributes["accuracy"] for m in front.members[:2]] == [41, 45]
    assert front.provenance["trained"]["accuracies"] == "a.csv:miou"
    capsys.readouterr()
    assert run(source, "--accuracy", f"{given}:runs_lost") == 2
    assert "'runs_lost' does not say that more is better" in capsys.readouterr().err
    assert run(source, "--accuracy", f"{given}:top1") == 2
    assert "with the columns architecture and top1" in capsys.readouterr().err


def test_a_narrow_terminal_shows_the_accuracies(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    source = results(tmp_path / "in")
    assert run(source, "--accuracy", accuracies(tmp_path / "a.csv", [(CELLS[0], 90.5)])) == 0
    shown = capsys.readouterr()
    assert "90.50" in shown.out
    assert "Left out at 60 columns: " in shown.err


def test_low_percentages_of_the_training_script_are_taken(tmp_path: Path) -> None:
    source = results(tmp_path / "in")
    rows: list[tuple[object, ...]] = [(CELLS[0], 0.9, "{}"), (CELLS[1], 0.8, "{}")]
    assert run(source, "--accuracy", accuracies(tmp_path / "a.csv", rows, "settings")) == 0
    front = ParetoSet.load(source / "front.json")
    assert [m.attributes["accuracy"] for m in front.members[:2]] == [0.9, 0.8]


def test_a_file_without_accuracies_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = results(tmp_path / "in")
    assert run(source, "--accuracy", tmp_path / "absent.csv") == 2
    assert "`accuracy` must be a file" in capsys.readouterr().err
    given = measurements(tmp_path / "m.csv", [(CELLS[0], 1.0)])
    assert run(source, "--accuracy", given) == 2
    assert "must name a file with the columns architecture and accuracy" in capsys.readouterr().err
