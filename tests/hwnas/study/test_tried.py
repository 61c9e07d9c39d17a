"""Networks of a user's own are tried in another process before they are used in this one."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest

import hwnas
from hwnas.errors import HwnasError, InvalidValueError
from hwnas.measure.limits import Limits, within_memory
from hwnas.spaces.nasbench201 import NasBench201
from hwnas.spaces.networks import Networks
from hwnas.study import tried
from hwnas.study.baseline import PresentNetwork
from hwnas.study.tried import insist_that_they_run
from hwnas.tasks.catalogue import get_task

MODULE = """
import os
import time
from dataclasses import dataclass, field

from torch import nn

from hwnas.spaces.assignments import AssignmentSpace
from hwnas.spaces.choices import Options
from hwnas.tasks.catalogue import get_task


class Trap(nn.Flatten):
    def forward(self, x):
        os._exit(7)


@dataclass(frozen=True)
class Traps(AssignmentSpace):
    name: str = field(default="traps", init=False, repr=False)
    default_task: object = field(default=get_task("cifar10"), init=False, repr=False)

    def ask(self, choose):
        return choose("kind", Options(("good", "deadly", "misfit")))

    def build(self, arch, task=None):
        kind = self.asked(arch)
        width = 3072 if kind != "misfit" else 5
        return nn.Sequential(Trap() if kind == "deadly" else nn.Flatten(), nn.Linear(width, 10))


@dataclass(frozen=True)
class Broken(AssignmentSpace):
    kind: str
    name: str = field(default="broken", init=False, repr=False)
    default_task: object = field(default=get_task("cifar10"), init=False, repr=False)

    def ask(self, choose):
        return choose("width", Options((4,)))

    def is_valid(self, arch):
        return self.kind != "never"

    def build(self, arch, task=None):
        if self.kind == "raises":
            raise RuntimeError("no such part")
        return nn.Sequential(nn.Conv2d(3, 4, 3), Trap())


def present():
    os._exit(9)


def slow():
    time.sleep(60)


def quick():
    return nn.Sequential(nn.Flatten(), nn.Linear(3072, 10))
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    (tmp_path / "traps_for_test.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    return importlib.import_module("traps_for_test")


def test_a_network_that_ends_its_process_or_does_not_fit_is_named(module: Any) -> None:
    space = module.Traps()
    networks = Networks(space, get_task("cifar10"))
    good, deadly, misfit = (space.decode({"kind": k}) for k in ("good", "deadly", "misfit"))
    insist_that_they_run(networks, [good])
    with pytest.raises(InvalidValueError, match=r"`architecture` .*deadly.* of traps .*EXIT\(7\)"):
        insist_that_they_run(networks, [good, deadly])
    with pytest.raises(InvalidValueError, match=r"misfit.*cannot be multiplied"):
        insist_that_they_run(networks, [misfit])
    with pytest.raises(HwnasError, match=r"EXIT\(9\)"):
        PresentNetwork.named("traps_for_test:present")


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("deadly", r"EXIT\(7\)"),
        ("raises", "RuntimeError: no such part"),
        ("never", "no architecture that was drawn is valid"),
    ],
)
def test_a_reduction_is_tried_in_another_process(module: Any, kind: str, reason: str) -> None:
    with pytest.raises(InvalidValueError, match=f"`reduced` .* none of broken .*{reason}"):
        hwnas.search(
            module.Broken(kind), objectives="naswot", costs="count:macs", trials=2, reduced="16,8"
        )


def test_a_present_network_keeps_the_limits_of_ones_own_networks(module: Any) -> None:
    name = module.__name__
    with pytest.raises(InvalidValueError, match=r"0\.5 s"):
        hwnas.search(baseline=f"{name}:slow", limit_seconds=0.5, trials=2)
    found = PresentNetwork.named(f"{name}:quick", 70)
    assert found.limits == within_memory(Limits(70))
    assert PresentNetwork.named(f"{name}:quick").limits == within_memory(Limits())


def test_networks_of_hwnas_itself_need_no_other_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tried, "child_with", None)
    space = NasBench201()
    cell = space.parse("|nor_conv_3x3~0|+|none~0|none~1|+|none~0|none~1|none~2|")
    insist_that_they_run(Networks(space, get_task("cifar10")), [cell])
