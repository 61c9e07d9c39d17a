"""Pickles are read with an allow-list: numbers pass, anything that could run code does not."""

from __future__ import annotations

import codecs
import os
import pickle
from collections import OrderedDict
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hwnas.data.safe_pickle import load_pickle
from hwnas.errors import DataFormatError


def write(path: Path, content: Any, protocol: int = 4) -> Path:
    path.write_bytes(pickle.dumps(content, protocol))
    return path


@pytest.mark.parametrize("protocol", range(5))
def test_numbers_of_any_protocol(tmp_path: Path, protocol: int) -> None:
    content = {
        "a": [1, 2.5, None, True, "text", (1, 2)],
        "scalar": np.float64(0.1),
        "int": np.int64(-7),
        "array": np.arange(6.0).reshape(2, 3),
    }
    loaded = load_pickle(write(tmp_path / "p", content, protocol))
    assert loaded["a"] == content["a"]
    assert loaded["scalar"] == 0.1
    assert isinstance(loaded["scalar"], np.float64)
    assert loaded["int"] == -7
    np.testing.assert_array_equal(loaded["array"], content["array"])


@pytest.mark.parametrize("spelling", [b"numpy.core.multiarray", b"numpy._core.multiarray"])
def test_both_spellings_of_numpy(tmp_path: Path, spelling: bytes) -> None:
    data = pickle.dumps(np.float64(2.5), 2)
    assert b"numpy._core.multiarray" in data
    path = tmp_path / "p"
    path.write_bytes(data.replace(b"numpy._core.multiarray", spelling))
    assert load_pickle(path) == 2.5


class Malicious:
    """Makes a file when it is unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.target),)


def test_code_is_refused_and_not_run(tmp_path: Path) -> None:
    path = write(tmp_path / "p", {"nested": [Malicious(tmp_path / "made")]})
    with pytest.raises(DataFormatError, match=r"posix\.mkdir|nt\.mkdir"):
        load_pickle(path)
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (Fraction(1, 2), "fractions.Fraction"),
        (OrderedDict(), "collections.OrderedDict"),
        (print, "builtins.print"),
        (np.random.default_rng, "numpy.random"),
        (codecs.lookup, "_codecs.lookup"),
    ],
)
def test_other_names_are_refused(tmp_path: Path, content: Any, named: str) -> None:
    with pytest.raises(DataFormatError, match=named):
        load_pickle(write(tmp_path / "p", content))


def test_other_encodings_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "p"
    path.write_bytes(b"\x80\x02c_codecs\nencode\nX\x01\x00\x00\x00aX\x05\x00\x00\x00rot13\x86R.")
    with pytest.raises(DataFormatError, match="rot13"):
        load_pickle(path)


def test_every_truncation_is_refused(tmp_path: Path) -> None:
    whole = pickle.dumps({"a": [np.float64(1.5), 2], "b": "text"})
    path = tmp_path / "p"
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(DataFormatError, match="must be a complete pickle"):
            load_pickle(path)


@pytest.mark.parametrize("content", [b"", b"text, not a pickle", b"\x00" * 50, b"\x80\x04N"])
def test_foreign_files_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "p"
    path.write_bytes(content)
    with pytest.raises(DataFormatError) as caught:
        load_pickle(path)
    assert str(path) in str(caught.value)


@pytest.mark.data
def test_published_pickles(data_folder: Path) -> None:
    accuracies = load_pickle(data_folder / "nasbench201/nb2_cf10_test_accuracy.p")
    assert len(accuracies) == 15_625
    assert max(accuracies) == pytest.approx(94.373, abs=5e-4)
    entries = load_pickle(data_folder / "nasbench201/nb2_cf10_hp12_info.p")
    assert entries[0]["arch"].startswith("|avg_pool_3x3~0|+")
