"""Networks that do not end are waited for once."""

from __future__ import annotations

import pytest

from hwnas.measure.endless import endless, forget, network_name, once
from hwnas.measure.limits import CallError, EndlessError, Limits
from hwnas.spaces.nasbench201 import NasBench201
from hwnas.tasks.catalogue import get_task


def test_a_network_that_did_not_end_is_called_again_with_more_time_alone() -> None:
    name = network_name(NasBench201(channels=3, cells=1), "one that hangs")
    calls = []

    def call(seconds: float | None) -> None:
        with once(name, Limits(seconds)):
            calls.append(seconds)
            raise EndlessError(f"it did not end within {seconds} s")

    assert endless(name, Limits(5)) is None
    for seconds, told in ((5, 5), (5, 5), (4, 5), (6, 6), (5, 6), (None, None)):
        with pytest.raises(EndlessError, match=f"within {told} s"):
            call(seconds)
    assert calls == [5, 6, None]
    assert endless(name, Limits(1e9)) == "it did not end within None s"
    assert endless(name, None) is None


def test_a_network_that_is_too_slow_for_one_task_or_in_one_run_is_called_for_another() -> None:
    space, slow = NasBench201(channels=3, cells=1), get_task("ImageNet")
    name = network_name(space, "slow", slow)
    with pytest.raises(EndlessError), once(name, Limits(5)):
        raise EndlessError("it did not end")
    assert endless(name, Limits(5)) == "it did not end"
    assert endless(network_name(space, "slow", get_task("cifar10")), Limits(5)) is None
    assert network_name(space, "slow") == network_name(space, "slow", space.default_task)
    forget()
    assert endless(name, Limits(5)) is None


def test_what_fails_otherwise_is_called_again() -> None:
    for _ in range(2):
        with pytest.raises(CallError, match="raised"), once("other", Limits(5)):
            raise CallError("raised")
    assert endless("other", Limits(5)) is None
