from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hwnas.errors import InvalidValueError
from hwnas.pareto.metrics import front_quality, hypervolume, is_non_dominated
from hwnas.spaces.nasbench201 import Cell, NasBench201
from hwnas.spaces.proxylessnas import ProxylessNas
from hwnas.strategies import AskTell, History, Knowledge, Problem, Proposer
from hwnas.strategies.predictor_guided import PredictorGuided
from hwnas.strategies.random_search import RandomSearch
from hwnas.typing import FloatArray

SPACE = NasBench201()
GAIN = {"none": 0.0, "skip_connect": 1.0, "avg_pool_3x3": 1.5, "nor_conv_1x1": 4.0}
COST = {"none": 0.0, "skip_connect": 0.0, "avg_pool_3x3": 1.0, "nor_conv_1x1": 2.0}


def losses(cells: Any) -> FloatArray:
    """Give an error that falls with the work a cell does, and a cost that adds up."""
    gains = [[GAIN.get(o, 6.0) for o in cell.operations] for cell in cells]
    costs = [sum(COST.get(o, 5.0) for o in cell.operations) for cell in cells]
    rows = [(-sum(g) - 4 * min(max(g), 4.0), c) for g, c in zip(gains, costs, strict=True)]
    return np.array(rows, dtype=np.float64).reshape(-1, 2)


def tight_hypervolume(proposer: Proposer[Any], seed: int, n: int = 50, batch: int = 1) -> float:
    strategy = AskTell(proposer, SPACE, seed)
    found: list[Cell] = []
    for _ in range(n // batch):
        archs = strategy.ask(batch)
        strategy.tell(archs, losses(archs))
        found += archs
    every = [cell for cell in SPACE if SPACE.is_valid(cell) and SPACE.representative(cell) == cell]
    return front_quality(losses(found), losses(every)).tight_hypervolume


KNOWN = Knowledge[Any](known_losses={1: lambda cells: losses(cells)[:, 1]})


def test_the_model_finds_more_than_random_search_and_with_a_known_cost_still_more() -> None:
    random = tight_hypervolume(RandomSearch(Problem(SPACE)), 0)
    blind = tight_hypervolume(PredictorGuided(Problem(SPACE)), 0)
    knowing = tight_hypervolume(PredictorGuided(Problem(SPACE, knowledge=KNOWN)), 0)
    assert random + 0.1 < blind < knowing


def test_the_model_learns_in_a_space_that_cannot_be_listed() -> None:
    space = ProxylessNas()

    def chains(archs: Any) -> FloatArray:
        kernels = [[int(o[1]) for o in a.operations if o != "skip"] for a in archs]
        return np.array([(-sum(k), sum(x**2 for x in k)) for k in kernels], dtype=np.float64)

    knowledge = Knowledge[Any](known_losses={1: lambda archs: chains(archs)[:, 1]})
    bought: dict[bool, float] = {}
    for learned in (True, False):
        problem = Problem(space, knowledge=knowledge)
        proposer = PredictorGuided(problem) if learned else RandomSearch(problem)
        strategy, found = AskTell(proposer, space, 0), []
        for _ in range(40):
            archs = strategy.ask(1)
            strategy.tell(archs, chains(archs))
            found.append(chains(archs)[0])
        shares = np.array(found) / [-147.0, 1029.0]  # of 21 kernels of 7
        bought[learned] = hypervolume(np.column_stack([-shares[:, 0], shares[:, 1]]), [0.0, 1.0])
    assert bought[True] > bought[False] + 0.01


@pytest.mark.parametrize("count", [64, 70])
def test_the_model_learns_from_what_others_proposed(count: int) -> None:
    """A study of one's own has trials that are hardly ever in the sample of a large space."""
    space, rng = ProxylessNas(), np.random.default_rng(1)

    def size(archs: Any) -> FloatArray:
        return np.array([[-sum("7" in o for o in a.operations), 0.0] for a in archs])

    archs = [space.sample(rng) for _ in range(count)]
    known = Knowledge[Any](known_losses={1: lambda archs: size(archs)[:, 1]})
    proposer = PredictorGuided(Problem(space, knowledge=known))
    taken = {space.canonical_key(arch) for arch in archs}
    history = History(archs, size(archs), [], taken, 0)
    found = proposer.propose(history, np.random.default_rng(0))
    anew = PredictorGuided(Problem(space, knowledge=known))
    assert anew.propose(history, np.random.default_rng(0)) == found
    assert (proposer._pool.rows(archs) >= 0).sum() == 64
    sizes = size([space.sample(rng) for _ in range(200)])[:, 0]
    assert size([found])[0, 0] <= np.quantile(sizes, 0.05)


def test_a_batch_spreads_out() -> None:
    proposer = PredictorGuided(Problem(SPACE, knowledge=KNOWN))
    assert tight_hypervolume(proposer, 0, batch=5) > 0.9


def test_the_first_ones_are_the_front_of_scores_and_known_costs() -> None:
    # With two scores that agree, their joint ranks order cells as each of them does.
    def scores(cells: Any) -> FloatArray:
        return np.column_stack([-losses(cells)[:, 0], -3 * losses(cells)[:, 0]])

    knowledge = Knowledge(scores=scores, known_losses=KNOWN.known_losses)
    first = AskTell(PredictorGuided(Problem(SPACE, knowledge=knowledge)), SPACE).ask(10)
    every = [cell for cell in SPACE if SPACE.is_valid(cell)]
    values = losses(every)
    front = {tuple(row) for row in values[is_non_dominated(values)].tolist()}
    assert all(tuple(row) in front for row in losses(first).tolist())


def test_infeasible_and_costless_architectures_are_left_out() -> None:
    def cost(cells: Any) -> FloatArray:
        values = losses(cells)[:, 1]
        values[[cell.operations[0] == "skip_connect" for cell in cells]] = np.nan
        return values

    problem = Problem(
        SPACE,
        feasible=lambda cells: np.array(["none" not in cell.operations for cell in cells]),
        knowledge=Knowledge(known_losses={1: cost}),
    )
    strategy = AskTell(PredictorGuided(problem, initial=4), SPACE)
    proposed = []
    for _ in range(25):
        archs = strategy.ask(1)
        strategy.tell(archs, losses(archs))
        proposed += archs
    assert all("none" not in cell.operations for cell in proposed)
    assert all(cell.operations[0] != "skip_connect" for cell in proposed[4:])


def test_known_objectives_alone_are_taken_layer_by_layer(words: Any, word_losses: Any) -> None:
    known = {j: lambda archs, j=j: word_losses(archs)[:, j] for j in range(2)}
    strategy = AskTell(
        PredictorGuided(Problem(words, knowledge=Knowledge(known_losses=known)), initial=2), words
    )
    archs = strategy.ask(2)
    strategy.tell(archs, word_losses(archs))
    every = [arch for arch in words if words.is_valid(arch) and words.representative(arch) == arch]
    front = {every[i] for i in np.flatnonzero(is_non_dominated(word_losses(every)))}
    rest = front - set(archs)
    assert set(strategy.ask(len(rest))) == rest


def test_labels_beyond_the_most_change_rivals_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hwnas.strategies.predictor_guided.MOST_LABELS", 12)
    cells = [cell for cell in SPACE if SPACE.is_valid(cell)][100:4100:100]
    unique = list({SPACE.canonical_key(cell): cell for cell in cells}.values())
    keys = {SPACE.canonical_key(cell) for cell in unique}
    seen = History(unique, losses(unique), [], keys, 0)
    proposer = PredictorGuided(Problem(SPACE, knowledge=KNOWN))
    assert proposer.propose(seen, np.random.default_rng(0)) is not None
    assert len(proposer._processes[0]._rows) == 12


def test_too_few_initial_ones_are_refused() -> None:
    with pytest.raises(InvalidValueError, match="`initial` must be at least 2, but got 1"):
        PredictorGuided(Problem(SPACE), initial=1)
