"""A pinned file is found again from anywhere, until it holds something else."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from hwnas.errors import DataNotFoundError, InvalidValueError
from hwnas.files.pinned import pinned_file, split_pinned, unpinned_file


def test_a_file_is_found_again_as_long_as_it_is_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "with # mark.csv"
    path.write_bytes(b"one")
    monkeypatch.chdir(tmp_path)
    text = pinned_file("with # mark.csv", "labels")
    assert text == f"{path.resolve()}#{hashlib.sha256(b'one').hexdigest()[:16]}"
    monkeypatch.chdir("/")
    assert unpinned_file(text, "labels") == path.resolve()
    assert pinned_file(text, "labels") == text
    path.write_bytes(b"two")
    for again in (unpinned_file, pinned_file):
        with pytest.raises(InvalidValueError, match="`labels` must be what the study began with"):
            again(text, "labels")


def test_an_absent_file_is_named(tmp_path: Path) -> None:
    for find in (unpinned_file, pinned_file):
        with pytest.raises(DataNotFoundError, match=r"`truth` must be .*nothing\.csv is none"):
            find(str(tmp_path / "nothing.csv"), "truth")


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("a.csv#0123456789abcdef", ("a.csv", "0123456789abcdef")),
        ("a.csv#0123456789ABCDEF", ("a.csv#0123456789ABCDEF", None)),
        ("a.csv#0123", ("a.csv#0123", None)),
        ("#0123456789abcdef", ("#0123456789abcdef", None)),
    ],
)
def test_only_a_checksum_is_one(text: str, parts: tuple[str, str | None]) -> None:
    assert split_pinned(text) == parts
