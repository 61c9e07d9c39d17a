"""What a search says before it begins."""

from __future__ import annotations

import pytest

from hwnas.cli.plan import tell_plan
from hwnas.study.settings import SearchSettings


@pytest.mark.parametrize(
    ("objectives", "named"),
    [((), "the default score, count:macs"), (("naswot",), "naswot, count:macs")],
)
def test_the_objectives_are_named(
    objectives: tuple[str, ...], named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    tell_plan(SearchSettings(objectives=objectives, costs=("count:macs",)), "here")
    assert f"Objectives  {named}\n" in capsys.readouterr().err
