"""Memory as a limit where none is given."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hwnas.measure import limits as limits_module
from hwnas.measure.limits import Limits, memory_left, within_memory


@pytest.fixture(autouse=True)
def asked_anew() -> Iterator[None]:
    memory_left.cache_clear()
    yield
    memory_left.cache_clear()


def test_what_is_left_bounds_what_nothing_else_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "meminfo"
    file.write_text("MemTotal:    4000 kB\nMemFree:      100 kB\nMemAvailable: 1500 kB\n")
    monkeypatch.setattr(limits_module, "MEMORY", file)
    monkeypatch.setattr(limits_module, "STATUS", file)
    assert within_memory(Limits(5)) == Limits(5, 1500 * 1024)
    assert within_memory(Limits(5, 77)) == Limits(5, 77)
    # Asked once: a child of equal limits serves all networks.
    file.write_text("MemAvailable: 9 kB\n")
    assert within_memory(Limits(5)).memory_bytes == 1500 * 1024


@pytest.mark.parametrize("text", ["", "MemTotal: 4000 kB\n", None])
def test_where_it_is_not_known_it_is_not_limited(
    text: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "meminfo"
    if text is not None:
        file.write_text(text)
    monkeypatch.setattr(limits_module, "MEMORY", file)
    assert within_memory(Limits(5)) == Limits(5)
