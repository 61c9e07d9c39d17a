from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from hwnas.cli import _run
from hwnas.cli.pareto import app, open_pareto_set
from hwnas.pareto import ObjectiveInfo, ParetoSet
from hwnas.spaces.nasbench201 import NasBench201

SPACE = NasBench201(channels=4, cells=1)
CELL = "|nor_conv_3x3~0|+|avg_pool_3x3~0|nor_conv_1x1~1|+|skip_connect~0|none~1|nor_conv_3x3~2|"
SMALL = "|none~0|+|none~0|none~1|+|skip_connect~0|none~1|none~2|"
INFOS = (ObjectiveInfo("score", "", "maximize"), ObjectiveInfo("latency_ms", "ms", "minimize"))


def results(
    folder: Path, n: int = 2, space: NasBench201 | str = SPACE, **provenance: object
) -> Path:
    found = ParetoSet.from_values(
        [CELL, SMALL][:n],
        ["k1", "k2"][:n],
        [[0.75, 4.5], [0.25, 1.5]][:n],
        INFOS,
        space=space,
        provenance=provenance,
    )
    folder.mkdir(exist_ok=True)
    found.save(folder / "front.json")
    return folder


def run(*argv: object) -> int:
    return _run(app, [str(a) for a in argv])


def test_show_prints_names_units_directions_and_values(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("show", results(tmp_path)) == 0
    out, err = capsys.readouterr()
    for text in ("score ↑", "latency_ms (ms) ↓", "0.75", "4.5", CELL, SMALL):
        assert text in out
    assert "2 on the front, 2 evaluated" in err


def test_show_says_what_a_cost_was_measured_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key = "board/tensorrt-10.2.0/int8/b4/t1"
    assert run("show", results(tmp_path, costs=[{"objective": "latency_ms", "device": key}])) == 0
    assert f"on the front of {SPACE!r}; latency_ms on {key}" in capsys.readouterr().out


@pytest.mark.parametrize(("columns", "heads"), [("60", 2), ("160", 1)])
def test_architectures_have_a_table_of_their_own_on_a_narrow_terminal(
    columns: str,
    heads: int,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    assert run("show", results(tmp_path)) == 0
    lines = capsys.readouterr().out.splitlines()
    assert sum(line.split()[:1] == ["#"] for line in lines) == heads
    assert max(map(len, lines)) <= int(columns)
    ours = "".join("".join(lines).split())
    assert CELL[:40] in ours
    assert SMALL[:40] in ours
    assert sum("architecture" in line for line in lines) == 1


def test_show_json_is_json_lines_and_nothing_else(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("show", results(tmp_path) / "front.json", "--json") == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(r["architecture"], r["key"], r["score"], r["latency_ms"]) for r in rows] == [
        (CELL, "k1", 0.75, 4.5),
        (SMALL, "k2", 0.25, 1.5),
    ]
    assert rows[0]["units"] == {"score": "", "latency_ms": "ms"}


def test_an_empty_front_can_be_shown_and_exported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = results(tmp_path / "in", n=0, num_classes=10, in_shape=[3, 8, 8])
    assert run("show", source) == 0
    assert "0 on the front" in capsys.readouterr().err
    assert run("export", source, "--out", tmp_path / "out") == 0
    assert (tmp_path / "out" / "report.html").exists()


def test_export_writes_everything_by_default(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = results(tmp_path / "in", num_classes=3, in_shape=[3, 8, 8], seed=9)
    assert run("export", source, "--out", tmp_path / "out", "--json") == 0
    out = tmp_path / "out"
    assert open_pareto_set(str(out)) == open_pareto_set(str(source))
    with (out / "front.csv").open(encoding="utf-8") as file:
        assert [row["architecture"] for row in csv.DictReader(file)] == [CELL, SMALL]
    assert CELL in (out / "report.html").read_text(encoding="utf-8")
    assert sorted(p.name for p in (out / "onnx").iterdir()) == [
        "001-k1.onnx",
        "002-k2.onnx",
        "index.csv",
    ]
    assert sorted(str(p.relative_to(out / "code")) for p in (out / "code").rglob("*.*")) == [
        f"00{i}-k{i}/{name}"
        for i in (1, 2)
        for name in ("choices.json", "network.py", "weights.pt")
    ] + ["train.py", "train_data.py"]
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {str(Path(r["file"]).relative_to(out)) for r in rows} == {
        "front.json",
        "front.csv",
        "report.html",
        "onnx/001-k1.onnx",
        "onnx/002-k2.onnx",
        "code/001-k1/network.py",
        "code/002-k2/network.py",
        "code/train.py",
        "code/train_data.py",
    }
    assert [r["needs_hwnas"] for r in rows if "needs_hwnas" in r] == ["", ""]
    networks = [r for r in rows if r["file"].endswith(".onnx")]
    assert all(r["max_abs_diff"] <= 1e-4 and len(r["sha256"]) == 64 for r in networks)


@pytest.mark.parametrize(
    ("option", "name"),
    [("--json-file", "front.json"), ("--csv", "front.csv"), ("--report", "report.html")],
)
def test_export_writes_only_what_is_chosen(tmp_path: Path, option: str, name: str) -> None:
    assert run("export", results(tmp_path / "in"), "--out", tmp_path / "out", option) == 0
    assert [p.name for p in (tmp_path / "out").iterdir()] == [name]


def test_onnx_takes_its_shape_from_options_provenance_or_data_set(tmp_path: Path) -> None:
    import onnx

    def shapes(folder: Path) -> list[int]:
        graph = onnx.load(folder / "onnx" / "001-k1.onnx").graph
        ends = (graph.input[0], graph.output[0])
        return [d.dim_value for end in ends for d in end.type.tensor_type.shape.dim]

    known = results(tmp_path / "known", settings={"dataset": "ImageNet16-120"})
    assert run("export", known, "--onnx", "--out", tmp_path / "1") == 0
    assert shapes(tmp_path / "1") == [1, 3, 16, 16, 1, 120]
    options = ("--classes", 5, "--input", "1,8,12")
    assert run("export", known, "--onnx", "--out", tmp_path / "2", *options) == 0
    assert shapes(tmp_path / "2") == [1, 1, 8, 12, 1, 5]


def test_onnx_takes_batch_and_operators(tmp_path: Path) -> None:
    import onnx

    source = results(tmp_path, num_classes=3, in_shape=[3, 8, 8])
    forms = {"dynamic": ("batch", 17), "4": (4, 21)}
    for batch, (expected, opset) in forms.items():
        out = tmp_path / batch
        assert (
            run("export", source, "--onnx", "--out", out, "--batch", batch, "--opset", opset) == 0
        )
        model = onnx.load(out / "onnx" / "001-k1.onnx")
        dim = model.graph.input[0].type.tensor_type.shape.dim[0]
        assert (dim.dim_param or dim.dim_value) == expected
        assert [entry.version for entry in model.opset_import] == [opset]


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (("--batch", "0"), "`batch` must be a number of images from 1 on, or dynamic"),
        (("--batch", "many"), "'many'"),
        (("--opset", "9"), "`opset` must be in 13 to"),
    ],
)
def test_a_wrong_form_is_refused_before_anything_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], argv: tuple[str, ...], message: str
) -> None:
    source = results(tmp_path / "in", num_classes=3, in_shape=[3, 8, 8])
    assert run("export", source, "--onnx", "--csv", "--out", tmp_path / "out", *argv) == 2
    err = capsys.readouterr().err
    assert message in err
    assert not list((tmp_path / "out").rglob("*.*"))


def test_code_that_was_changed_is_not_overwritten(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = results(tmp_path, num_classes=3, in_shape=[3, 8, 8])
    assert run("export", source, "--code") == 0
    assert run("export", source, "--code") == 0
    (source / "code" / "train.py").write_text("mine")
    capsys.readouterr()
    assert run("export", source) == 2
    assert "its train.py is another: move it away" in capsys.readouterr().err
    assert (source / "code" / "train.py").read_text() == "mine"
    assert not (source / "report.html").exists()


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ((), "`--classes` and `--input` must be given"),
        (("--classes", "3"), "`--input` must be given"),
        (("--classes", "3", "--input", "3x8"), "'3x8'"),
    ],
)
def test_onnx_without_a_shape_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], argv: tuple[str, ...], message: str
) -> None:
    assert run("export", results(tmp_path), "--onnx", "--out", tmp_path / "out", *argv) == 2
    assert message in capsys.readouterr().err


def test_a_report_of_an_unknown_space_goes_without_drawings(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = results(tmp_path / "in", space="Elsewhere(x=1)")
    assert run("export", source, "--report", "--out", tmp_path / "out") == 0
    assert "No drawings in the report" in capsys.readouterr().err
    assert CELL in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("content", [None, "", '{"format": "hwnas.pareto_set", "sch', "[]"])
@pytest.mark.parametrize("command", [("show",), ("export", "--out", "x")])
def test_bad_input_is_one_line_and_code_2(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    content: str | None,
    command: tuple[str, ...],
) -> None:
    if content is not None:
        (tmp_path / "front.json").write_text(content)
    assert run(command[0], tmp_path, *command[1:]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("hwnas: `path` must be")
    assert err.count("\n") == 1
