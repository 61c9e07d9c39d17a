"""Packages of others that are spoilt: each is told in one line, and the others are still listed."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hwnas import registry
from hwnas.cli import main
from hwnas.errors import InvalidValueError
from hwnas.meters import make_meter
from hwnas.proxies import make_proxy
from hwnas.runtimes import make_runtime
from hwnas.spaces.space_text import named_space

MODULE = """
from hwnas.spaces.assignments import AssignmentSpace
from hwnas.tasks.catalogue import get_task


class Upwards:
    "A proxy of no direction."
    name, direction, needs = "upwards", "up", frozenset()

    def score(self, signals):
        return 1.0


class Nothing:
    "It has nothing."


class Raises:
    def __init__(self):
        raise OSError("no\\nlibrary")


class Lists(AssignmentSpace):
    "It asks for a list."
    name, default_task = "lists", get_task("cifar10")

    def ask(self, choose):
        return choose("width", [1, 2])

    def build(self, arch, task=None):
        raise NotImplementedError
"""
ENTRY_POINTS = """
[hwnas.spaces]
lists = spoilt:Lists
gone = spoilt:Gone
[hwnas.proxies]
upwards = spoilt:Upwards
absent = spoilt_absent:Proxy
[hwnas.runtimes]
nothing = spoilt:Nothing
[hwnas.meters]
raises = spoilt:Raises
"""


@pytest.fixture(autouse=True)
def _spoilt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    about = tmp_path / "spoilt-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: spoilt\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(ENTRY_POINTS)
    (tmp_path / "spoilt.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    registry.targets.cache_clear()
    yield
    registry.targets.cache_clear()
    sys.modules.pop("spoilt", None)


@pytest.mark.parametrize(
    ("command", "column", "kept", "told"),
    [
        (
            "spaces",
            "space",
            "nasbench201",
            ["lists: `width` must be asked for with Options", "Gone"],
        ),
        ("proxies", "name", "naswot", ["its direction is 'up'", "'spoilt_absent'"]),
        ("costs", "cost", "onnxruntime:cpu:latency", ["`runtime` 'nothing' must be one as hwnas"]),
    ],
)
def test_what_is_whole_is_listed_and_the_rest_is_told(
    command: str, column: str, kept: str, told: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    if command == "costs":
        pytest.importorskip("onnxruntime")
    with pytest.raises(SystemExit) as end:
        main([command, "--json"])
    assert end.value.code == 0
    printed = capsys.readouterr()
    names = {json.loads(line)[column] for line in printed.out.splitlines()}
    assert kept in names
    assert not {"lists", "gone", "upwards", "absent"} & names
    for text in told:
        assert sum(text in line for line in printed.err.splitlines()) == 1


def test_doctor_tells_them(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["doctor", "--json"])
    assert end.value.code == 0
    found = json.loads(capsys.readouterr().out)
    assert "it has no name, packages" in found["runtimes"]["nothing"]
    assert "making it raised OSError: no library" in found["energy"]["raises"]


@pytest.mark.parametrize(
    ("ask", "text"),
    [
        (lambda: named_space("gone"), "SearchSpaceContract tests, but importing it raised Attrib"),
        (lambda: make_proxy("upwards"), "'up', not maximize or minimize: mend or uninstall the"),
        (lambda: make_runtime("nothing"), "but it has no name, packages, precisions, options, ver"),
        (lambda: make_meter("raises"), "but making it raised OSError: no library: mend or uninst"),
    ],
)
def test_each_is_refused_in_one_line(ask: object, text: str) -> None:
    assert callable(ask)
    with pytest.raises(InvalidValueError, match=text) as told:
        ask()
    assert "\n" not in str(told.value)
