"""The user's file of machines."""

from __future__ import annotations

from pathlib import Path

import pytest

from hwnas.bundles.machines import VARIABLE, get_machine, machine_names
from hwnas.bundles.settings import BundleSettings
from hwnas.bundles.ssh import Ssh
from hwnas.errors import DataNotFoundError, HwnasError, InvalidValueError, UnknownNameError


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "remotes.toml"
    monkeypatch.setenv(VARIABLE, str(path))
    return path


def test_a_machine_with_settings(file: Path) -> None:
    file.write_text(
        '[board]\nssh = "me@board"\npython = "/x/python"\nssh_config = "/x/c"\nthreads = 4\n'
        'precision = "int8"\nseconds = 2\n[other]\nssh = "other"\n'
    )
    assert machine_names() == ["board", "other"]
    found = get_machine("board", batch=2, threads=3)
    assert found.settings == BundleSettings("cpu", "int8", 2, 3, 2.0)
    assert found.far.transport == Ssh("me@board", Path("/x/c"))
    assert found.far.python == "/x/python"
    assert get_machine("other").settings == BundleSettings()


def test_no_file_names_no_machines(file: Path) -> None:
    assert machine_names() == []
    with pytest.raises(DataNotFoundError, match=rf"{file}.*write \[board\] and ssh"):
        get_machine("board")


@pytest.mark.parametrize(
    "text",
    [
        "[board", "ssh = 'x'", "[board]", "[board]\nssh = 1", "[board]\nssh = '-x'", "['a/b']",
        "[board]\nssh = 'x'\nprecission = 'fp32'", "[board]\nssh = 'x'\nthreads = 0",
        "[board]\nssh = 'x'\nthreads = true", "[board]\nssh = 'x'\nthreads = 1.5",
        "[board]\nssh = 'x'\nseconds = nan", "[board]\nssh = 'x'\nprovider = 'x'",
        "[board]\nssh = 'x'\npython = 'a b'",
    ],
)  # fmt: skip
def test_wrong_files_are_refused_in_a_line(file: Path, text: str) -> None:
    file.write_text(text)
    with pytest.raises(HwnasError) as caught:
        get_machine("board")
    assert "\n" not in str(caught.value)


def test_wrong_names_and_settings_are_refused(file: Path) -> None:
    file.write_text('[board]\nssh = "board"\n')
    with pytest.raises(UnknownNameError, match="'board'"):
        get_machine("bord")
    with pytest.raises(InvalidValueError, match="`threads` must be of type int"):
        get_machine("board", threads="x")
