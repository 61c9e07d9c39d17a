"""The lists of what there is, run as a user runs them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

import pytest
import typer

from hwnas.cli import _run, listing

app = typer.Typer()
app.command("proxies")(listing.proxies)


def test_proxies_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(app, ["--json"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {"intrain", "dextr", "wrcor", "apd", "hwnas-agg"} <= {row["name"] for row in rows}


@pytest.mark.parametrize("command", [listing.spaces, listing.proxies, listing.samplers])
def test_descriptions_are_plain_sentences(
    command: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    command(as_json=True)
    for row in map(json.loads, capsys.readouterr().out.splitlines()):
        assert not re.search(r"``|\.\.\.|^Make |settings", row["description"]), row


def test_agreement_of_two_seeds_in_a_space(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--space", "nasbench201:channels=4,cells=1", "--batch", "4", "--sample", "4"]
    arguments += ["--proxy", "flops", "--proxy", "plain"]
    assert _run(app, [*arguments, "--json"]) == 0
    flops, plain = map(json.loads, capsys.readouterr().out.splitlines())
    assert flops == {"name": "flops", "direction": "maximize", "seed_stability": 1.0}
    assert plain["seed_stability"] < 1
    assert _run(app, arguments) == 0
    printed = capsys.readouterr().out
    assert "4 networks, 4 gaussian images" in " ".join(printed.split())
    assert "seeds' ρ" in printed


def test_agreement_of_a_reduced_setting(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--space", "nasbench201:channels=4,cells=1", "--batch", "4", "--sample", "3"]
    arguments += ["--reduced", "16,2", "--proxy", "params"]
    assert _run(app, [*arguments, "--json"]) == 0
    row = json.loads(capsys.readouterr().out)
    assert row == {"name": "params", "direction": "maximize", "reduced_agreement": 1.0}
    assert _run(app, arguments) == 0
    assert "and as reduced to 16,2" in " ".join(capsys.readouterr().out.split())


def test_what_needs_a_space(capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(app, ["--proxy", "naswot"]) == 2
    assert "must be given with --space" in capsys.readouterr().err
