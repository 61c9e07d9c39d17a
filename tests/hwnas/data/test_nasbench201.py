"""The official index of NAS-Bench-201 and the accuracies."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from hwnas.data.nasbench201 import OfficialIndex, accuracies
from hwnas.data.safe_pickle import load_pickle
from hwnas.errors import DataFormatError, DataNotFoundError, InvalidValueError, UnknownNameError
from hwnas.ranking.metrics import kendall
from hwnas.spaces.nasbench201 import Cell, NasBench201, parse_cell

HEADER = "file id,arch str,cfg name,C,N,train accuracy,validation accuracy,test accuracy"
INDEX_FILE = "help/nasbench201/str_arch2idx.pt"


@pytest.fixture(scope="module")
def order() -> list[Cell]:
    """All cells in a made-up order."""
    cells = list(NasBench201())
    return [cells[i] for i in np.random.default_rng(0).permutation(len(cells))]


def rows(order: list[Cell]) -> list[str]:
    """Write rows whose validation accuracy is a thousandth of the index, the test accuracy half."""
    return [f"{i},{c},infer.tiny,16,5,99,{i / 1000},{i / 2000}" for i, c in enumerate(order)]


def write(folder: Path, lines: list[str], dataset: str = "cifar10") -> None:
    path = folder / f"nasbench201/nasbench201_{dataset}.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([HEADER, *lines]) + "\n")


def test_index_from_the_table(order: list[Cell], tmp_path: Path) -> None:
    lines = rows(order)
    write(tmp_path, [lines[i] for i in np.random.default_rng(1).permutation(len(lines))])
    index = OfficialIndex.load(tmp_path)
    assert [index.cell(i) for i in (0, 1, 15_624)] == [order[0], order[1], order[-1]]
    assert [index.index(cell) for cell in order] == list(range(15_625))
    assert OfficialIndex.load(tmp_path) is index


def test_index_from_help(order: list[Cell], tmp_path: Path) -> None:
    (tmp_path / INDEX_FILE).parent.mkdir(parents=True)
    torch.save({str(cell): i for i, cell in enumerate(order)}, tmp_path / INDEX_FILE)
    assert OfficialIndex.load(tmp_path).cells == tuple(order)


@pytest.mark.parametrize("index", [-1, 15_625])
def test_index_out_of_range(order: list[Cell], index: int) -> None:
    with pytest.raises(InvalidValueError, match=f"0 to 15624, but got {index}"):
        OfficialIndex(tuple(order)).cell(index)


def test_index_is_absent(tmp_path: Path) -> None:
    with pytest.raises(DataNotFoundError, match="hwnas data get nasbench201"):
        OfficialIndex.load(tmp_path)


def test_damaged_indices(order: list[Cell], tmp_path: Path) -> None:
    lines = rows(order)
    for number, (content, named) in enumerate(
        [
            (lines[:-1], "must have 15625 complete rows, but got 15624"),
            ([*lines[:-1], lines[0]], "must number all 15625 cells"),
            ([*lines[:-1], lines[0].replace("0,", "15624,", 1)], "some occur twice"),
            ([*lines[:-1], "15624,|conv~0|,infer.tiny,16,5,1,1,1"], "3 nodes"),
            ([*lines[:-1], "15624,"], "must hold 8 cells a line, but has 2 in row 15625"),
        ]
    ):
        folder = tmp_path / str(number)
        write(folder, content)
        with pytest.raises(DataFormatError, match=named):
            OfficialIndex.load(folder)


@pytest.mark.parametrize("content", [b"", b"no torch file"])
def test_damaged_help_index(tmp_path: Path, content: bytes) -> None:
    (tmp_path / INDEX_FILE).parent.mkdir(parents=True)
    (tmp_path / INDEX_FILE).write_bytes(content)
    with pytest.raises(DataFormatError, match="must be a complete PyTorch file of plain numbers"):
        OfficialIndex.load(tmp_path)


def test_accuracies_by_exact_string(order: list[Cell], tmp_path: Path) -> None:
    write(tmp_path, rows(order), "cifar100")
    validation = accuracies("cifar100", folder=tmp_path)
    test = accuracies("cifar100", "test", folder=tmp_path)
    assert len(validation) == len(test) == 15_625
    assert validation[str(order[5000])] == 5.0
    assert test[str(order[5000])] == 2.5


def test_full_test_accuracies_are_those_after_training_on_all_images(
    order: list[Cell], tmp_path: Path
) -> None:
    write(tmp_path, rows(order))
    write(tmp_path, rows(order), "cifar100")
    file = tmp_path / "nasbench201/nb2_cf10_test_accuracy.p"
    file.write_bytes(pickle.dumps([np.float64(90 + i / 10_000) for i in range(15_625)]))
    found = accuracies("cifar10", "full-test", tmp_path)
    assert len(found) == 15_625
    assert found[str(order[700])] == 90.07
    assert accuracies("cifar100", "full-test", tmp_path) == accuracies("cifar100", "test", tmp_path)
    file.write_bytes(pickle.dumps([90.0] * 7))
    with pytest.raises(DataFormatError, match="must be a list of 15625 accuracies"):
        accuracies("cifar10", "full-test", tmp_path)


def test_published_layers_are_of_the_full_test_accuracies(data_folder: Path) -> None:
    """VKDNW's Table I, whose rows for layers and FLOPs depend on no seed."""
    live = [cell for cell in NasBench201() if cell.is_live()]
    layers = [sum(o.startswith("nor_conv") for o in cell.operations) for cell in live]
    for dataset, figures in {"cifar10": 0.626, "cifar100": 0.646, "ImageNet16-120": 0.623}.items():
        truth = accuracies(dataset, "full-test", data_folder)
        found = kendall(layers, [truth[str(cell)] for cell in live])
        assert found == pytest.approx(figures, abs=0.003)


def test_accuracies_of_unknown_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hwnas.data.nasbench201.packaged_file", lambda _: None)
    with pytest.raises(UnknownNameError, match="Did you mean 'cifar10'"):
        accuracies("cifar-10", folder=tmp_path)
    with pytest.raises(UnknownNameError, match="Did you mean 'validation'"):
        accuracies("cifar10", "valid", folder=tmp_path)
    with pytest.raises(DataNotFoundError, match=r"^Run pip install 'hwnas\[bench\]', which.* get "):
        accuracies("cifar10", folder=tmp_path)
    with pytest.raises(DataNotFoundError, match=r"^`nasbench201/nasbench201_cifar10\.csv` must be"):
        accuracies("cifar10", "test", tmp_path)


@pytest.mark.parametrize("content", ["\n", "a,b\n1,2\n"])
def test_foreign_tables_are_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "nasbench201/nasbench201_cifar10.csv"
    path.parent.mkdir()
    path.write_text(content)
    with pytest.raises(DataFormatError, match="must hold the columns arch str, "):
        accuracies("cifar10", folder=tmp_path)


def test_damaged_accuracies_are_named(order: list[Cell], tmp_path: Path) -> None:
    lines = rows(order)
    for number, (last, named) in enumerate(
        [
            ("100.5,1", "has 100.5 in row 15625, column 'validation accuracy'"),
            ("-1,1", "has -1 in row 15625"),
            ("inf,1", "has inf in row 15625"),
            ("high,1", "has 'high' in row 15625|has '0.0' in row 1"),
        ]
    ):
        folder = tmp_path / str(number)
        write(folder, [*lines[:-1], f"15624,{order[-1]},infer.tiny,16,5,99,{last}"], "cifar100")
        with pytest.raises(DataFormatError, match=named):
            accuracies("cifar100", folder=folder)
    write(tmp_path, lines, "cifar100")
    path = tmp_path / "nasbench201/nasbench201_cifar100.csv"
    path.write_text(path.read_text()[:-3])
    with pytest.raises(DataFormatError, match="a last line that is cut off"):
        accuracies("cifar100", folder=tmp_path)
    file = tmp_path / "nasbench201/nb2_cf10_test_accuracy.p"
    file.write_bytes(pickle.dumps([90.0] * 15_624 + [900.0]))
    with pytest.raises(DataFormatError, match="has 900 in row 15625, column 'test accuracy'"):
        accuracies("cifar10", "full-test", tmp_path)


@pytest.mark.data
def test_published_index(data_folder: Path) -> None:
    index = OfficialIndex.load(data_folder)
    known = {
        0: "|avg_pool_3x3~0|+|nor_conv_1x1~0|skip_connect~1|"
        "+|nor_conv_1x1~0|skip_connect~1|skip_connect~2|",
        1: "|nor_conv_3x3~0|+|nor_conv_3x3~0|avg_pool_3x3~1|"
        "+|skip_connect~0|nor_conv_3x3~1|skip_connect~2|",
        6111: "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|"
        "+|skip_connect~0|nor_conv_3x3~1|nor_conv_1x1~2|",
    }
    for number, text in known.items():
        assert index.cell(number) == parse_cell(text)
        assert index.index(parse_cell(text)) == number


@pytest.mark.data
def test_three_published_files_agree_on_the_index(data_folder: Path) -> None:
    texts = [str(cell) for cell in OfficialIndex.load(data_folder).cells]
    numbers = torch.load(data_folder / INDEX_FILE, weights_only=True)
    assert numbers == {text: i for i, text in enumerate(texts)}
    entries = load_pickle(data_folder / "nasbench201/nb2_cf10_hp12_info.p")
    assert [entry["arch"] for entry in entries] == texts


@pytest.mark.data
@pytest.mark.parametrize(
    ("dataset", "split", "best", "number"),
    [
        ("cifar10", "validation", 91.607, 6111),
        ("cifar100", "validation", 73.493, 9930),
        ("cifar100", "test", 73.513, 9930),
        ("ImageNet16-120", "validation", 46.733, 10676),
        ("ImageNet16-120", "test", 47.311, 857),
    ],
)
def test_published_extremes(
    data_folder: Path, dataset: str, split: str, best: float, number: int
) -> None:
    values = accuracies(dataset, split, data_folder)
    text = max(values, key=values.__getitem__)
    assert values[text] == pytest.approx(best, abs=5e-4)
    assert OfficialIndex.load(data_folder).index(parse_cell(text)) == number
