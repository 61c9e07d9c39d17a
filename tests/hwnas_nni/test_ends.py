from __future__ import annotations

import itertools

import pytest

pytest.importorskip("nni", reason="the extra nni is not installed")

from hwnas_nni.ends import Ends


def test_reports_are_matched_whatever_trials_run() -> None:
    """Trial i was made for parameters i and runs `ran[i]`; one of three fails, or none."""
    orders = list(itertools.permutations(range(3)))
    for ran, order, fails in itertools.product(orders, orders, range(4)):
        ends: Ends[int] = Ends()
        for key in range(3):
            ends.begin(key)
        ended, done, lost = set[int](), set[int](), set[int]()
        for trial in order:
            if ran[trial] != fails:
                assert ends.report(ran[trial]) == (ran[trial] in ended)
                done.add(ran[trial])
            ended.add(trial)
            given = ends.end(trial)
            assert not done.intersection(given)
            lost.update(given)
        assert lost == {0, 1, 2} - done


def test_a_trial_alone_that_reports_nothing_is_lost_at_once() -> None:
    ends: Ends[str] = Ends()
    ends.begin("a")
    assert ends.end("a") == ["a"]
    assert not ends.report("a")  # Later than anybody waits.
    ends.begin("a")
    assert ends.end("a") == ["a"]
