"""The one binary format: what is written comes back, and what is damaged is one line."""

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hwnas.errors import DataFormatError, DataNotFoundError, InvalidValueError
from hwnas.files.npz import NpzFormat, opened_npz, write_npz

KIND = NpzFormat("hwnas test 2", "a file of the test", "run the test again", (1,))


def write(path: Path, **arrays: Any) -> Path:
    write_npz(path, KIND, {"b": [1, "ö"], "a": None}, arrays)
    return path


def test_what_is_written_comes_back_in_order_and_without_pickle(tmp_path: Path) -> None:
    numbers = np.array([[1.5, np.nan], [-np.inf, 0.0]])
    path = write(tmp_path / "new" / "t.npz", numbers=numbers, texts=np.array(["x", "yy"]))
    with opened_npz(path, KIND) as (header, arrays):
        assert list(header.items()) == [("format", "hwnas test 2"), ("b", [1, "ö"]), ("a", None)]
        assert list(arrays) == ["numbers", "texts"]
        np.testing.assert_array_equal(arrays["numbers"], numbers)
        assert arrays["texts"].tolist() == ["x", "yy"]
    # Anyone can read it with numpy and json alone.
    with np.load(path, allow_pickle=False) as content:
        assert json.loads(content["header"].tobytes())["format"] == "hwnas test 2"


def test_an_old_header_is_read(tmp_path: Path) -> None:
    path = tmp_path / "old.npz"
    np.savez(path, meta=np.array(json.dumps({"format": 1, "x": 2})), a=np.arange(3))
    with opened_npz(path, KIND) as (header, arrays):
        assert header["x"] == 2
        assert arrays["a"].tolist() == [0, 1, 2]


@pytest.mark.parametrize("found", ["hwnas test 3", 2, None])
def test_another_format_is_named(tmp_path: Path, found: object) -> None:
    path = tmp_path / "other.npz"
    np.savez(path, meta=np.array(json.dumps({"format": found})))
    with pytest.raises(DataFormatError, match=f"its format is {found!r}"), opened_npz(path, KIND):
        pytest.fail("it must not open")


def _without_header(path: Path) -> None:
    np.savez(path, a=np.arange(3))


def _objects(path: Path) -> None:
    np.savez(path, header=np.array([{}], dtype=object))


def _no_object(path: Path) -> None:
    np.savez(path, header=np.frombuffer(b"[1]", dtype=np.uint8))


def _cut(path: Path) -> None:
    write(path, a=np.arange(1000))
    path.write_bytes(path.read_bytes()[:-40])


def _other_zip(path: Path) -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("readme.txt", "hello")
    path.write_bytes(stream.getvalue())


@pytest.mark.parametrize(
    "make",
    [
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"PK"),
        lambda path: path.write_text("no table"),
        lambda path: path.mkdir(),
        _without_header,
        _objects,
        _no_object,
        _cut,
        _other_zip,
    ],
)
def test_damage_is_one_line_that_says_what_to_do(tmp_path: Path, make: Any) -> None:
    path = tmp_path / "t.npz"
    make(path)
    with pytest.raises(DataFormatError) as error, opened_npz(path, KIND):
        pytest.fail("it must not open")
    assert str(error.value).startswith(f"`{path}` must be a file of the test (hwnas test 2), but")
    assert str(error.value).endswith(" Run the test again.")
    assert "\n" not in str(error.value)


def test_what_is_missing_within_the_block_is_damage_and_our_own_errors_pass(tmp_path: Path) -> None:
    path = write(tmp_path / "t.npz", a=np.arange(3))
    with pytest.raises(DataFormatError, match="'weights'"), opened_npz(path, KIND) as (_, arrays):
        assert arrays["weights"]
    with pytest.raises(InvalidValueError, match="as it is"), opened_npz(path, KIND):
        raise InvalidValueError("as it is")


def test_no_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(DataNotFoundError, match="there is none: run the test again"):
        opened_npz(tmp_path / "t.npz", KIND).__enter__()
