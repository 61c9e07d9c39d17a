"""Pickles are read with an allow-list: numbers pass, anything that could run code does not."""

from __future__ import annotations

import bz2
import codecs
import os
import pickle
import zipfile
from collections import Counter, OrderedDict
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hwnas.data.safe_pickle import load_pickle, load_torch
from hwnas.errors import DataFormatError


def write(path: Path, content: Any, protocol: int = 4) -> Path:
    path.write_bytes(pickle.dumps(content, protocol))
    return path


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_numbers_of_the_published_protocols(tmp_path: Path, protocol: int) -> None:
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
        (Counter(), "collections.Counter"),
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


@pytest.mark.parametrize("protocol", [0, 1, 5])
def test_other_protocols_are_refused(tmp_path: Path, protocol: int) -> None:
    with pytest.raises(DataFormatError, match=r"protocol 2 to 4|protocol 5 is not"):
        load_pickle(write(tmp_path / "p", [1, {"a": 2.5}], protocol))


ARRAYS = [
    np.arange(6).reshape(2, 3).astype(kind) for kind in ("<i8", ">f4", "u1", "?", "<f2", ">i2")
]


@pytest.mark.parametrize("array", [*ARRAYS, np.asfortranarray(ARRAYS[0])], ids=str)
def test_arrays_of_every_number_format(tmp_path: Path, array: Any) -> None:
    found = load_pickle(write(tmp_path / "p", [array, array]))
    np.testing.assert_array_equal(found[1], array)
    assert found[0].dtype == array.dtype
    assert found[0] is found[1]


@pytest.mark.parametrize(
    "content",
    [np.array(["a"]), np.array([None]), np.array([1j]), np.datetime64(1, "s"), np.zeros((0, 3)),
     np.zeros(1, dtype=[("a", "f8"), ("b", [("c", "f8")])]), 2**70, 1j],
    ids=str,
)  # fmt: skip
def test_other_values_are_refused(tmp_path: Path, content: Any) -> None:
    with pytest.raises(DataFormatError):
        load_pickle(write(tmp_path / "p", content))


def test_arrays_have_the_length_of_their_bytes(tmp_path: Path) -> None:
    path, data = tmp_path / "p", pickle.dumps(np.arange(200, dtype="u1"), 4)
    for wrong in (b"K\xc7", b"M\xff\xff"):
        path.write_bytes(data.replace(b"K\xc8", wrong))
        with pytest.raises(DataFormatError, match=r"an array of shape .* has 200 bytes"):
            load_pickle(path)


def test_structures_lie_within_their_size(tmp_path: Path) -> None:
    content = np.zeros(3, dtype=[("left", "<i8"), ("right", "<f4")])
    path = write(tmp_path / "p", content)
    assert load_pickle(path).dtype == content.dtype
    path.write_bytes(path.read_bytes().replace(b"K\x08", b"K\x09"))
    with pytest.raises(DataFormatError, match="a field lies outside of its structure"):
        load_pickle(path)


def test_expected_classes_are_records(tmp_path: Path) -> None:
    path = write(tmp_path / "p", Fraction(1, 2))
    with pytest.raises(DataFormatError, match=r"names fractions\.Fraction"):
        load_pickle(path)
    assert load_pickle(path, [("fractions", "Fraction")]).args in ((1, 2), ("1/2",))


def test_nesting_has_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content: list[Any] = []
    content.append(content)
    with pytest.raises(DataFormatError, match="it holds itself"):
        load_pickle(write(tmp_path / "p", content))
    for _ in range(30):
        content = [content]
    with pytest.raises(DataFormatError, match="nested too deep"):
        load_pickle(write(tmp_path / "p", content))
    monkeypatch.setattr("hwnas.data.safe_pickle._MOST_INSTRUCTIONS", 100)
    shared: list[Any] = []
    for _ in range(3):
        shared = [shared] * 10
    with pytest.raises(DataFormatError, match="repeated too often"):
        load_pickle(write(tmp_path / "p", shared))
    with pytest.raises(DataFormatError, match="more than 100 instructions"):
        load_pickle(write(tmp_path / "p", [1] * 200))


def test_large_files_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hwnas.data.safe_pickle.LARGEST_FILE", 100)
    for load in (load_pickle, load_torch):
        with pytest.raises(DataFormatError, match="more than 100 bytes"):
            load(write(tmp_path / "p", ["text"] * 100))


def test_packed_files_and_ordered_dicts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, content = tmp_path / "p.pbz2", OrderedDict([("b", OrderedDict()), ("a", 1.5)])
    whole = bz2.compress(pickle.dumps(content, 4))
    path.write_bytes(whole)
    assert load_pickle(path, packed=True) == {"b": {}, "a": 1.5}
    assert list(load_pickle(path, packed=True)) == ["b", "a"]
    for wrong in (whole[:-5], whole + b"x", b"", pickle.dumps(content, 4)):
        path.write_bytes(wrong)
        with pytest.raises(DataFormatError, match=r"complete pickle .* failed"):
            load_pickle(path, packed=True)
    path.write_bytes(bz2.compress(bytes(1 << 20)))
    monkeypatch.setattr("hwnas.data.safe_pickle.LARGEST_FILE", 1 << 10)
    with pytest.raises(DataFormatError, match="unpacks to more than 1024 bytes"):
        load_pickle(path, packed=True)


def test_torch_files_of_plain_values(tmp_path: Path) -> None:
    path = tmp_path / "t.pt"
    torch.save({"a": [1, 2.5], "b": np.int64(3)}, path)
    assert load_torch(path) == {"a": [1, 2.5], "b": 3}
    torch.save([torch.zeros(2)], path)
    with pytest.raises(DataFormatError, match="is not admitted"):
        load_torch(path)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("t/data.pkl", pickle.dumps([1], 2))
    with pytest.raises(DataFormatError, match=r"one data\.pkl that is not compressed"):
        load_torch(path)


@pytest.mark.data
def test_published_pickles(data_folder: Path) -> None:
    accuracies = load_pickle(data_folder / "nasbench201/nb2_cf10_test_accuracy.p")
    assert len(accuracies) == 15_625
    assert max(accuracies) == pytest.approx(94.373, abs=5e-4)
    entries = load_pickle(data_folder / "nasbench201/nb2_cf10_hp12_info.p")
    assert entries[0]["arch"].startswith("|avg_pool_3x3~0|+")
