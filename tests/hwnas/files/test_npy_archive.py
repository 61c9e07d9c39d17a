"""Archives of arrays: numpy's are read as numpy reads them, odd ones are one clear error."""

from __future__ import annotations

import io
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hwnas.files import npy_archive
from hwnas.files.npy_archive import read_arrays

ARRAYS: dict[str, Any] = {
    "f": np.array([[1.5, np.nan], [-np.inf, 0.0], [2.0, 3.0]]),
    "columns": np.asfortranarray(np.arange(6, dtype=np.int64).reshape(2, 3)),
    "big": np.arange(3, dtype=">f4"),
    "flags": np.array([True, False]),
    "texts": np.array(["ö", "", "中文"]),
    "scalar": np.array(2.5),
    "none": np.zeros((0, 33)),
    "no_text": np.array([], dtype=np.str_),
    "half": np.arange(3, dtype=np.float16),
}


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_arrays_of_numpy(tmp_path: Path, save: Any) -> None:
    save(tmp_path / "a.npz", **ARRAYS)
    found = read_arrays(tmp_path / "a.npz")
    assert list(found) == list(ARRAYS)
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == array.dtype
        assert found[name].flags.writeable
        assert found[name].flags.f_contiguous == array.flags.f_contiguous


def member(shape: str = "(3,)", descr: str = "'<f8'", raw: bytes = bytes(24)) -> bytes:
    header = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + raw


def archive(path: Path, *members: bytes, method: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", method) as file:
        for i, content in enumerate(members):
            file.writestr(f"a{i}.npy", content)
    return path


def test_a_plain_member_is_read(tmp_path: Path) -> None:
    assert read_arrays(archive(tmp_path / "a.npz", member()))["a0"].tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (member("(4,)"), r"shape \(4,\) has 24 bytes"),
        (member("(1000000000000000,)"), "has 24 bytes"),
        (member("(0, 1000000000000000)"), "has 24 bytes"),
        (member("(-3,)"), "no tuple of whole numbers"),
        (member("(3.0,)"), "no tuple of whole numbers"),
        (member("3"), "no tuple of whole numbers"),
        (member(descr="'|O'"), "is not admitted"),
        (member(descr="[('a', '<f8')]"), "is not admitted"),
        (member(descr="'<c16'"), "is not admitted"),
        (member(shape="(1,)", descr="'<U6'", raw=b"\xff" * 24), "characters that there are not"),
        (member(descr="'<f8"), "description of an array is damaged"),
        (member(shape="(" * 500), "description of an array is damaged"),
        (b"\x93NUMPY\x01\x00\xff\xff" + bytes(70_000), "too long"),
        (b"no array", "no array of numpy"),
        (b"", "no array of numpy"),
    ],
)
def test_odd_arrays_are_refused(tmp_path: Path, content: bytes, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        read_arrays(archive(tmp_path / "a.npz", content))


def test_odd_archives_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = archive(tmp_path / "a.npz", member(), method=zipfile.ZIP_LZMA)
    with pytest.raises(ValueError, match="packed in another way"):
        read_arrays(path)
    with warnings.catch_warnings(), zipfile.ZipFile(path, "w") as file:
        warnings.simplefilter("ignore")
        file.writestr("a.npy", member())
        file.writestr("a.npy", member())
    with pytest.raises(ValueError, match="a member twice"):
        read_arrays(path)
    stream = io.BytesIO()
    np.savez_compressed(stream, a=np.zeros(4000))
    path.write_bytes(stream.getvalue())
    monkeypatch.setattr(npy_archive, "LARGEST", 10_000)
    with pytest.raises(ValueError, match="its arrays have more than 10000 bytes"):
        read_arrays(path)
    monkeypatch.setattr(npy_archive, "LARGEST", 100)
    with pytest.raises(ValueError, match="it has more than 100 bytes"):
        read_arrays(path)
