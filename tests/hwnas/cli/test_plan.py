"""What a search says before it begins."""

from __future__ import annotations

import pytest

from hwnas.cli.plan import Planned, processor_of, tell, tell_plan
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


def test_rows_without_a_text_are_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    tell(("Space", "fbnet"), ("Device", processor_of("count:macs")))
    assert capsys.readouterr().err == "Space       fbnet\n"


def test_a_plan_is_said_once_and_before_the_first_count(
    capsys: pytest.CaptureFixture[str],
) -> None:
    plan = Planned(("Space", "fbnet"))
    assert capsys.readouterr().err == ""
    plan.count("naswot", 0, 4)
    plan.stage("writing")
    assert capsys.readouterr().err == "Space       fbnet\n"


def test_the_processor_is_named_where_it_measures() -> None:
    assert processor_of("count:macs", "onnxruntime:cpu:latency")
    assert processor_of("hw-nas-bench:edgegpu:latency") == ""
