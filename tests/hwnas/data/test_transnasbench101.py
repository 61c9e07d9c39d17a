"""The results of TransNAS-Bench-101: files of another kind are refused, the real ones read."""

from __future__ import annotations

from pathlib import Path

import pytest

import hwnas
from hwnas.data.transnasbench101 import MicroResults
from hwnas.errors import DataFormatError, DataNotFoundError, InvalidValueError, UnknownNameError
from hwnas.spaces.facets import quantity_of
from hwnas.spaces.transnasbench101.micro import TransNasMicro
from hwnas.study.labels import published_classes

SPACE = TransNasMicro()
RESULTS = MicroResults(SPACE)


def write(folder: Path, task: str, header: str, rows: list[str]) -> None:
    path = folder / "transnasbench101" / f"transbench101_{task}.csv"
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join([header, *rows, ""]))


def rows(of: str = "{0}", n: int = 7_352) -> list[str]:
    return [f"{of.format(i % 100)},{i}" for i in range(n)]


def test_values_are_by_text_and_the_macro_networks_are_left_out(tmp_path: Path) -> None:
    write(tmp_path, "class_scene", "valid_top1,file_id", rows())
    found = RESULTS.accuracies("class_scene", "validation", tmp_path)
    assert len(found) == 4_096
    assert found["64-41414-0_00_000"] == 3_256 % 100
    assert found["64-41414-0_00_001"] == 3_257 % 100
    assert found["64-41414-3_33_333"] == 7_351 % 100


def test_more_is_better_and_similarities_are_percent(tmp_path: Path) -> None:
    write(tmp_path, "normal", "test_ssim,file_id", rows("0.{0}"))
    assert RESULTS.accuracies("normal", "test", tmp_path)["64-41414-0_00_001"] == pytest.approx(57)


def test_room_layout_is_the_loss_of_the_best_epoch(tmp_path: Path) -> None:
    # Of each column the files have the maximum over the epochs: of a loss, that of the worst one.
    lines = [f"0.9,-0.{i % 100},{i}" for i in range(7_352)]
    write(tmp_path, "room_layout", "test_loss,test_neg_loss,file_id", lines)
    assert RESULTS.accuracies("room_layout", "test", tmp_path)["64-41414-0_00_001"] == -0.57
    write(tmp_path, "room_layout", "test_neg_loss,file_id", rows("0.{0}"))
    with pytest.raises(DataFormatError, match="numbers from -inf to 0"):
        RESULTS.accuracies("room_layout", "test", tmp_path)


def test_a_ranking_of_room_layouts_is_one_of_losses(tmp_path: Path) -> None:
    assert quantity_of(RESULTS, "class_object") == "accuracy"
    lines = [f"-0.{i % 89 + 10},{i}" for i in range(7_352)]
    write(tmp_path, "room_layout", "valid_neg_loss,file_id", lines)
    known = RESULTS.accuracies("room_layout", "validation", tmp_path)
    cells = list(known)[:40]
    table = "\n".join(f"{cell},{known[cell]}" for cell in cells)
    (tmp_path / "scores.csv").write_text(f"architecture,synflow\n{table}\n")
    found = hwnas.rank(
        SPACE,
        "room_layout",
        "synflow",
        scores=str(tmp_path / "scores.csv"),
        data_folder=tmp_path,
        note=lambda _: None,
    )
    (row,) = [row for row in found[0].rows if row["score"] == "synflow"]
    assert (row["column"], row["kendall"]) == ("loss", 1)
    assert row["best_loss"] == -max(known[cell] for cell in cells)


def test_losses_are_not_stated_as_accuracies(tmp_path: Path) -> None:
    lines = [f"-0.{i % 89 + 10},{i}" for i in range(7_352)]
    write(tmp_path, "room_layout", "valid_neg_loss,file_id", lines)
    assert published_classes(SPACE, "room_layout", tmp_path) is None
    write(tmp_path, "class_scene", "valid_top1,file_id", rows())
    assert published_classes(SPACE, "class_scene", tmp_path) is not None


@pytest.mark.parametrize(
    ("header", "lines", "said"),
    [
        ("valid_top1,file_id", rows(n=7_351), "the networks 0 to 7351"),
        ("top1,file_id", rows(), "the columns file_id and valid_top1"),
        ("valid_top1,file_id", ["x,0", *rows()[1:]], "the columns"),
        ("valid_top1,file_id", ["nan,0", *rows()[1:]], "nan in row 1"),
        ("valid_top1,file_id", [*rows()[:-1], "101,7351"], "101 in row 7352"),
    ],
)
def test_other_files_are_one_line(tmp_path: Path, header: str, lines: list[str], said: str) -> None:
    write(tmp_path, "class_object", header, lines)
    with pytest.raises(DataFormatError, match=said) as raised:
        RESULTS.accuracies("class_object", "validation", tmp_path)
    assert "hwnas data verify transnasbench101`" in str(raised.value)


def test_what_there_is_not_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(DataNotFoundError, match="hwnas data get transnasbench101"):
        RESULTS.accuracies("class_object", "test", tmp_path)
    with pytest.raises(UnknownNameError, match="Did you mean 'autoencoder'"):
        RESULTS.accuracies("autoencode", "test", tmp_path)
    with pytest.raises(UnknownNameError, match="`split of normal` must be one of"):
        RESULTS.accuracies("normal", "training", tmp_path)
    with pytest.raises(InvalidValueError, match="only segmentsemantic"):
        RESULTS.accuracies("normal", "test-miou", tmp_path)
    with pytest.raises(InvalidValueError, match="whose networks were trained"):
        MicroResults(TransNasMicro(16)).accuracies("normal", "test", tmp_path)


def test_published_extremes(data_folder: Path) -> None:
    best = RESULTS.accuracies("class_object", "test", data_folder)
    assert max(best.values()) == pytest.approx(52.5577, abs=1e-3)
    # The optimum of segmentation that papers state is of pixel accuracy (survey, Table V: 94.61).
    miou = RESULTS.accuracies("segmentsemantic", "test-miou", data_folder)
    assert max(miou.values()) == pytest.approx(29.585, abs=1e-3)
    similar = RESULTS.accuracies("autoencoder", "test", data_folder)
    assert max(similar.values()) == pytest.approx(59.60, abs=1e-2)
