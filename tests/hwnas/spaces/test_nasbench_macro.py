"""NAS-Bench-Macro: texts, equal chains, counts by hand, and published accuracies."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from hwnas.costs.counters import count
from hwnas.data.nasbench_macro import FILE, ChainAccuracies
from hwnas.errors import (
    DataFormatError,
    DataNotFoundError,
    InvalidArchitectureError,
    UnknownNameError,
)
from hwnas.spaces.nasbench_macro import MacroChain, NasBenchMacro
from hwnas.testing import FacetsContract, SearchSpaceContract

SPACE = NasBenchMacro()
ACCURACIES = ChainAccuracies(SPACE)


class TestContract(SearchSpaceContract):
    @pytest.fixture
    def space(self) -> NasBenchMacro:
        return SPACE


class TestFacets(FacetsContract):
    @pytest.fixture
    def space(self) -> NasBenchMacro:
        return SPACE


def test_classes_of_equal_chains() -> None:
    archs = list(SPACE)
    assert len(archs) == len(SPACE) == len(set(archs)) == 6_561
    # 9 first stages; in the others 3 first layers and 9 pairs behind it, of which
    # (identity, a) is (a, identity) for two operations a: 3 * 7 = 21.
    assert len(set(map(SPACE.canonical_key, archs))) == 9 * 21 * 21
    assert SPACE.representative(MacroChain("00201001")) == MacroChain("00210010")


def test_equal_chains_are_equal_networks() -> None:
    a, b = (SPACE.build(MacroChain(text)).eval() for text in ("10201002", "10210020"))
    b.load_state_dict(dict(zip(b.state_dict(), a.state_dict().values(), strict=True)))
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(a(images), b(images))


@pytest.mark.parametrize("digits", ["00000000", "11111111", "22222222", "01221020"])
def test_counts_by_hand(digits: str) -> None:
    params, macs = 27 * 32 + 64, 27 * 32 * 32**2
    place, width, side = 0, 32, 32
    for length in (2, 3, 3):
        for number in range(length):
            operation = digits[place]
            place += 1
            before, now = (width, 2 * width) if number == 0 else (width, width)
            before_side, side = side, side // 2 if number == 0 else side
            width = now
            if operation == "0":
                if number == 0:
                    params += before * now + 2 * now
                    macs += before * now * side**2
                continue
            kernel, expansion = (3, 3) if operation == "1" else (5, 6)
            inside = before * expansion
            params += before * inside + kernel**2 * inside + inside * now + 4 * inside + 2 * now
            macs += before * inside * before_side**2
            macs += (kernel**2 * inside + inside * now) * side**2
    params += width * 1280 + 2 * 1280 + 1280 * 10 + 10
    macs += width * 1280 * side**2 + 1280 * 10
    with torch.device("meta"):
        network = SPACE.build(MacroChain(digits))
    found = count(network, (3, 32, 32))
    assert (found.params, found.macs) == (params, macs)


@pytest.mark.parametrize("text", ["0122102", "012210201", "01221023", "k3_e3", "٠1221020"])
def test_other_texts_are_one_line(text: str) -> None:
    with pytest.raises(InvalidArchitectureError, match="must be 8 digits from 0 to 2") as raised:
        SPACE.parse(text)
    assert "\n" not in str(raised.value)


def write(folder: Path, content: object) -> Path:
    """Write a file in the benchmark's layout, and give the data folder."""
    path = folder / FILE
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(content))
    return folder


def test_accuracies_are_means_of_the_trainings(tmp_path: Path) -> None:
    entries = {
        "00000000": {"test_acc": [80.0, 81.0, 82.0], "mean_acc": 81.0, "std": 0.8},
        "12210012": {"test_acc": [92.0, 92.5, 93.0], "mean_acc": 92.5, "std": 0.4},
    }
    found = ACCURACIES.accuracies("cifar10", "test", write(tmp_path, entries))
    assert found == {"00000000": 81.0, "12210012": 92.5}


@pytest.mark.parametrize(
    "content",
    [
        [],
        {},
        {"0122": {"test_acc": [80.0]}},
        {"00000000": {"mean_acc": 80.0}},
        {"00000000": {"test_acc": [80.0, 101.0]}},
        {"00000000": {"test_acc": [80.0, "81"]}},
        {"00000000": [80.0]},
    ],
)
def test_damaged_tables_are_one_line(tmp_path: Path, content: object) -> None:
    with pytest.raises(DataFormatError, match="hwnas data verify nasbench-macro") as raised:
        ACCURACIES.accuracies("cifar10", "test", write(tmp_path, content))
    assert "\n" not in str(raised.value)


def test_what_there_is_not(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="cifar10"):
        ACCURACIES.accuracies("cifar100", "test", tmp_path)
    with pytest.raises(UnknownNameError, match="split"):
        ACCURACIES.accuracies("cifar10", "validation", tmp_path)
    with pytest.raises(DataNotFoundError):
        ACCURACIES.accuracies("cifar10", "test", tmp_path)


def test_choices_are_drawn_uniformly() -> None:
    rng = np.random.default_rng(0)
    digits = "".join(str(SPACE.sample(rng)) for _ in range(300))
    assert all(abs(digits.count(d) / len(digits) - 1 / 3) < 0.05 for d in "012")
