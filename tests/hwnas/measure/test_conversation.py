"""Conversations with a child process: answers, errors of either side, deaths, calls meanwhile."""

from __future__ import annotations

import os
import pickle
import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from hwnas.errors import InvalidArchitectureError
from hwnas.measure.conversation import InChild, converse
from hwnas.measure.isolation import Child
from hwnas.measure.limits import CallError, ChildEndedError, Limits
from hwnas.spaces.choosers import reading
from hwnas.spaces.elsewhere import HERE
from hwnas.spaces.options import Choose, Options
from hwnas.typing import Choice

WIDTHS = Options((8, 16, 24), ordered=True)


@pytest.fixture(scope="module")
def child() -> Iterator[Child]:
    made = Child(Limits(30))
    yield made
    made.close()


def two_sums(choose: Choose) -> tuple[int, int]:
    return choose("a", WIDTHS) + choose("b", WIDTHS), os.getpid()


def dies(choose: Choose) -> None:
    choose("a", WIDTHS)
    os._exit(3)


def hangs(choose: Choose) -> None:
    choose("a", WIDTHS)
    time.sleep(1000)


def swallows(choose: Choose) -> str:
    try:
        choose("a", WIDTHS)
    except Exception:
        return "went on"
    return "was answered"


def raises(choose: Choose) -> None:
    choose("a", WIDTHS)
    raise RuntimeError("no such width")


def test_a_child_asks_its_parent(child: Child) -> None:
    total, process = converse(child, two_sums, reading({"a": 8, "b": 24}))
    assert total == 32
    assert process != os.getpid()


@pytest.mark.parametrize("function", [two_sums, swallows])
def test_what_choosing_raises_is_raised_here(child: Child, function: Any) -> None:
    with pytest.raises(InvalidArchitectureError, match="must hold"):
        converse(child, function, reading({}))


def test_what_the_function_raises_is_its_type_and_text(child: Child) -> None:
    with pytest.raises(CallError, match="RuntimeError: no such width"):
        converse(child, raises, reading({"a": 8}))


def test_a_death_ends_one_conversation(child: Child) -> None:
    with pytest.raises(ChildEndedError, match=r"EXIT\(3\)"):
        converse(child, dies, reading({"a": 8}))
    assert converse(child, two_sums, reading({"a": 8, "b": 8}))[0] == 16


def test_a_conversation_has_its_time(child: Child) -> None:
    hasty = Child(Limits(1), process=child.process)
    with pytest.raises(ChildEndedError, match="within 1 s"):
        converse(hasty, hangs, reading({"a": 8}))
    assert not child.process.in_conversation


def test_who_answers_may_call_the_child_and_talk_to_it(child: Child) -> None:
    processes = []

    def choose(name: str, options: Options[Choice]) -> Any:
        del name
        processes.append(child.call(os.getpid))
        inner, process = converse(child, two_sums, reading({"a": 8, "b": 8}))
        processes.append(process)
        return options.values[inner // 16]

    total, process = converse(child, two_sums, choose)
    assert total == 32
    assert process not in processes
    assert len(set(processes)) == 1
    child.free().call(os.getpid)


def test_a_copy_in_a_child_runs_there() -> None:
    assert pickle.loads(pickle.dumps(InChild(Limits(5)))) is HERE
    assert HERE.call(partial(max, 3), 4) == 4
