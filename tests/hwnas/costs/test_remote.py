"""Costs on another machine, which is a folder of this one behind a program called ssh."""

from __future__ import annotations

import json
import math
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from hwnas.bundles.machines import VARIABLE
from hwnas.cli import _register, _run, app
from hwnas.costs.remote import RemoteCost
from hwnas.costs.source import make_cost, parse_cost_spec
from hwnas.errors import InvalidValueError, UnknownNameError
from hwnas.evaluation.origin import describe_cost
from hwnas.evaluation.sources import CostValues, Effort
from hwnas.spaces.nasbench201 import NasBench201
from hwnas.study.requirements import check_costs
from hwnas.tasks.catalogue import get_task
from hwnas.testing import CostModelContract
from tests.hwnas.bundles.loopback import fake_ssh

SPACE = NasBench201(channels=4, cells=1)


@pytest.fixture(autouse=True)
def board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the folder of the program ssh, which writes its calls there."""
    folder = fake_ssh(tmp_path / "bin", tmp_path / "home")
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv(VARIABLE, str(tmp_path / "remotes.toml"))
    monkeypatch.setenv("HWNAS_CACHE", str(tmp_path / "cache"))
    (tmp_path / "remotes.toml").write_text(
        f'[board]\nssh = "me@board"\npython = "{sys.executable}"\nseconds = 0.02\n'
    )
    return folder


def cost_of(text: str) -> RemoteCost[Any]:
    made = make_cost(text, SPACE, get_task("cifar10"))
    assert isinstance(made, RemoteCost)
    return made


class TestRemoteCost(CostModelContract):
    samples = 2

    @pytest.fixture
    def space(self) -> NasBench201:
        return SPACE

    @pytest.fixture
    def cost(self) -> RemoteCost[Any]:
        return cost_of("remote:board:latency")


def test_a_search_ends_where_the_machine_goes_away(
    board: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("hwnas.bundles.far.ATTEMPTS", 1)
    monkeypatch.chdir(tmp_path)
    program = board / "ssh"
    works = program.read_text()
    # It answers what it is, and is gone then.
    gone = "case $last in *--device*) ;; *) echo 'no route' >&2; exit 255;; esac\n"
    first, rest = works.split("echo", 1)
    program.write_text(f"{first}{gone}echo{rest}")
    command = [
        *("search", "--space", "nasbench201:channels=4,cells=1", "--objective", "params"),
        *("--cost", "remote:board:latency", "--trials", "2", "--out", "out"),
    ]
    _register(command[0])
    assert _run(app, command) == 2
    assert "`ssh` must reach a machine that can take the bundle" in capsys.readouterr().err
    program.write_text(works)
    assert _run(app, command) == 0
    assert "2 trials (0 repeated, 0 infeasible, 0 failed)" in capsys.readouterr().err


def test_a_cost_is_a_measurement_on_its_own_resource(board: Path) -> None:
    cost = cost_of("remote:board:latency:threads=2")
    assert not (board / "calls").exists()
    values = CostValues(SPACE, cost)
    assert (values.name, values.effort, values.resource) == (
        "board_t2_latency_ms", Effort.MEASURE, "ssh:board",
    )  # fmt: skip
    found = cost.measure(SPACE.parse("|none~0|+|none~0|none~1|+|nor_conv_1x1~0|none~1|none~2|"))
    assert found.key == cost.device
    assert (found.key.device, found.key.threads) == ("board", 2)
    assert found.value == pytest.approx(
        float(found.facts["ratio"]) * float(found.facts["reference_ms"])
    )
    assert math.isnan(found.p95)
    calls = (board / "calls").read_text().splitlines()
    assert all("-- me@board " in call for call in calls)
    assert sum("--device" in call for call in calls) == 1


def test_equal_settings_share_a_cache_and_others_do_not() -> None:
    one, two, three = (
        CostValues(SPACE, cost_of(f"remote:board:latency:threads={n}")) for n in (1, 1, 2)
    )
    assert one.cache_prefix("") == two.cache_prefix("") != three.cache_prefix("")


def test_int8_is_not_found_as_it_was_written_before() -> None:
    """Its activations were signed; other providers and runtimes have them so still."""
    said = [
        cost_of(f"remote:board:latency:{text}").identity()["run"].get("activations")
        for text in ("precision=int8", "precision=fp32", "precision=int8,provider=cuda")
    ]
    assert said == ["unsigned", None, None]


def test_a_study_with_values_of_signed_activations_is_not_gone_on_with() -> None:
    def told(precision: str) -> dict[str, Any]:
        cost = CostValues(SPACE, cost_of(f"remote:board:latency:precision={precision}"))
        return {"costs": {cost.name: describe_cost(cost)}}

    # Before, costs on other machines did not say how they were measured.
    before: Any = {name: {"costs": {}} for name in ("fp32", "int8")}
    for precision, said in before.items():
        for name, cost in told(precision)["costs"].items():
            said["costs"][name] = {k: v for k, v in cost.items() if k != "measured_as"}
    refused = r"measured raw there and is raw, unsigned activations now, .* in another folder\.$"
    with pytest.raises(InvalidValueError, match=refused):
        check_costs("s", before["int8"], told("int8"))
    check_costs("s", told("int8"), told("int8"))
    check_costs("s", before["fp32"], told("fp32"))


def test_another_machine_under_the_same_name_is_refused() -> None:
    cost = cost_of("remote:board:latency")
    cost.__dict__["_hardware"] = {**cost.machine.far.device(cost.machine.settings), "model": "x"}
    with pytest.raises(InvalidValueError, match="`machine` must stay x"):
        cost.measure(SPACE.parse("|none~0|+|none~0|none~1|+|nor_conv_1x1~0|none~1|none~2|"))


def test_names_are_those_of_the_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert parse_cost_spec("remote").device == "board"
    with pytest.raises(UnknownNameError, match="board"):
        parse_cost_spec("remote:bord:latency")
    monkeypatch.setenv(VARIABLE, str(tmp_path / "none"))
    for text in ("remote", "remote:board:latency"):
        with pytest.raises(InvalidValueError, match="there is none here"):
            parse_cost_spec(text)


def test_search_and_verify_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    _register()
    search = ["search", "--space", repr(SPACE), "--objective", "params", "--trials", "2"]
    assert _run(app, [*search, "--cost", "remote:board:latency", "--out", "r"]) == 0
    front = json.loads((tmp_path / "r/front.json").read_text())
    assert {o["name"] for o in front["objectives"]} == {"params", "board_latency_ms"}
    capsys.readouterr()
    again = ["pareto", "verify", "r", "--cost", "remote:board:latency", "--json"]
    assert _run(app, [*again, "--objective", "board_latency_ms"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert all(row["measured"] > 0 for row in rows)
    other = ["pareto", "verify", "r", "--cost", "onnxruntime:cpu:latency", "--json"]
    assert _run(app, [*other, "--objective", "board_latency_ms"]) == 2
