"""The catalogue of published data: its facts, and where files are looked for."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path, PurePosixPath

import pytest

from hwnas.data import catalogue
from hwnas.data.catalogue import DataFile, PublishedData
from hwnas.errors import DataNotFoundError, UnknownNameError

ENTRIES = list(catalogue.catalogue().values())


@pytest.fixture
def one_file(monkeypatch: pytest.MonkeyPatch) -> DataFile:
    """Put one made-up data set with one file in the place of the catalogue."""
    file = DataFile("made/up.csv", hashlib.sha256(b"right").hexdigest(), "https://x.invalid/up.csv")
    data = PublishedData("made-up", "A file", "https://x.invalid", "MIT", "Nobody", "", (file,))
    monkeypatch.setattr(catalogue, "catalogue", lambda: {"made-up": data})
    return file


@pytest.mark.parametrize("data", ENTRIES, ids=lambda data: data.name)
def test_entry_is_complete(data: PublishedData) -> None:
    assert data.title
    assert data.citation
    assert data.place.startswith("https://")
    assert data.licence in {"MIT", "Apache-2.0", "NOASSERTION"}
    assert data.files
    for file in data.files:
        assert not PurePosixPath(file.path).is_absolute()
        assert ".." not in PurePosixPath(file.path).parts
        assert file.sha256 is None or re.fullmatch("[0-9a-f]{64}", file.sha256)
        # What is fetched is pinned to a whole commit and has a checksum; the rest says how.
        assert file.url is not None or data.instruction
        if file.url is not None:
            assert file.sha256
            assert re.match(
                r"https://raw\.githubusercontent\.com/[^/]+/[^/]+/[0-9a-f]{40}/", file.url
            )


def test_a_file_belongs_to_one_entry() -> None:
    paths = [file.path for data in ENTRIES for file in data.files]
    assert len(paths) == len(set(paths))


def test_facts_of_hw_nas_bench() -> None:
    data = catalogue.published("hw-nas-bench")
    assert {file.path: file.sha256 for file in data.files}["hw_nas_bench/hw_cifar10.csv"] == (
        "71e56e00ce03525aaccdb5bac4f9856b8733ed12741ff09e12784d30fa21a602"
    )
    assert "ICLR 2021" in data.citation


def test_misspelt_name_is_suggested() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'hw-nas-bench'"):
        catalogue.published("hwnasbench")


def test_folder_is_argument_then_variable_then_user_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HWNAS_DATA", str(tmp_path / "variable"))
    assert catalogue.data_folder(tmp_path / "argument") == tmp_path / "argument"
    assert catalogue.data_folder(None) == tmp_path / "variable"
    monkeypatch.delenv("HWNAS_DATA")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    assert catalogue.data_folder(None).name == "hwnas"
    monkeypatch.setenv("HWNAS_DATA", "")
    assert catalogue.data_folder(None).name == "hwnas"


def test_absent_file_names_the_command(one_file: DataFile, tmp_path: Path) -> None:
    assert catalogue.find(one_file.path, tmp_path) is None
    with pytest.raises(DataNotFoundError, match=r"hwnas data get made-up.*HWNAS_DATA") as caught:
        catalogue.require(one_file.path, tmp_path)
    assert "\n" not in str(caught.value)


def test_absent_file_fetched_by_hand_says_how(tmp_path: Path) -> None:
    with pytest.raises(DataNotFoundError, match=r"Copy HW-NAS-Bench-v1_0\.pickle from"):
        catalogue.require("hw_nas_bench/HW-NAS-Bench-v1_0.pickle", tmp_path)


@pytest.mark.parametrize(
    ("content", "state"), [(b"right", "ok"), (b"wrong", "wrong checksum"), (None, "missing")]
)
def test_verify(one_file: DataFile, tmp_path: Path, content: bytes | None, state: str) -> None:
    path = tmp_path / one_file.path
    path.parent.mkdir()
    if content is not None:
        path.write_bytes(content)
        assert catalogue.require(one_file.path, tmp_path) == path
    assert catalogue.verify("made-up", tmp_path) == [(one_file.path, state)]


def test_verify_without_a_known_checksum_says_so(tmp_path: Path) -> None:
    path = tmp_path / "hw_nas_bench/HW-NAS-Bench-v1_0.pickle"
    path.parent.mkdir()
    path.write_bytes(b"anything")
    assert [row.state for row in catalogue.verify("hw-nas-bench-pickle", tmp_path)] == [
        "no known checksum"
    ]


@pytest.mark.data
@pytest.mark.parametrize(
    "name", ["nasbench201", "nasbench201-robot", "hw-nas-bench", "help", "cifar10-sample"]
)
def test_published_files_are_the_published_ones(name: str, data_folder: Path) -> None:
    states = [row.state for row in catalogue.verify(name, data_folder)]
    assert states == ["ok"] * len(catalogue.published(name).files)
