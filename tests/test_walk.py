"""A search goes one way, from the command line to its report."""

from __future__ import annotations

from pathlib import Path

from benchmarks.structure.walk import OURS, Walk, search


def test_a_search_enters_no_file_again_while_it_is_in_it(tmp_path: Path) -> None:
    walk = Walk(OURS).of(search(tmp_path, 3))
    assert (tmp_path / "results/report.html").is_file()
    assert walk.functions
    assert not walk.again
