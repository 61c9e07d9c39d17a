"""How the joint scores are chosen and shown."""

from __future__ import annotations

from collections import Counter

from benchmarks.ranking.choose_aggregate import _additions, ready_made
from hwnas.proxies import proxy_names
from hwnas.ranking.recipes import RECIPES


def test_the_sum_of_the_weights_stays_within_the_limit() -> None:
    chosen, pool = Counter({"params": 10, "-swap": 1}), ["params", "-params", "swap", "-swap"]
    assert list(_additions(chosen, pool, 12)) == [
        chosen + Counter(["params"]),
        chosen + Counter(["-swap"]),
    ]
    assert max(found.total() for found in _additions(chosen, pool, 13)) == 13


def test_opposed_members_of_ready_made_scores_count_the_other_way_round() -> None:
    names = proxy_names()
    shown = dict(ready_made([*names, *(f"-{name}" for name in names)]))
    assert shown["hwnas-any"]["-grad_norm"] == 1.0
    assert "grad_norm" not in shown["hwnas-any"]
    assert "hwnas-any" not in dict(ready_made(names))
    assert shown["vkdnw-agg"] == dict.fromkeys(RECIPES["vkdnw-agg"].proxies, 1.0)
