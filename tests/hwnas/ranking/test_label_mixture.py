import numpy as np
import pytest

from hwnas.ranking.aggregation import normal_scores
from hwnas.ranking.label_mixture import TRUSTS, LabelMixture
from hwnas.ranking.label_process import LabelProcess, Points
from hwnas.ranking.metrics import spearman
from hwnas.typing import FloatArray


def pool(agreement: float, n: int = 300, seed: int = 0) -> tuple[Points, FloatArray]:
    """Draw inputs, a score, and a function that the score tells by a correlation."""
    rng = np.random.default_rng(seed)
    score, rest = rng.normal(size=(2, n))
    inputs = rng.normal(size=(n, 6))
    return Points([inputs], score[:, None]), agreement * score + (1 - agreement**2) ** 0.5 * rest


def test_it_is_the_mixture_of_the_processes_by_their_likelihood() -> None:
    points, truth = pool(0.7)
    rows = np.arange(12)
    processes = [LabelProcess(trust).fit(points.take(rows), truth[rows]) for trust in TRUSTS]
    likely = np.array([1, 1, 2, 2, 3, 3, 4, 4]) * np.exp([-p.misfit for p in processes])
    likely = np.where(likely < 0.02 * likely.sum(), 0, likely)
    draws = [process.predict(points) for process in processes]
    mean = sum(w * m for w, (m, _) in zip(likely / likely.sum(), draws, strict=True))
    square = sum(w * (m**2 + s**2) for w, (m, s) in zip(likely / likely.sum(), draws, strict=True))
    found = LabelMixture().fit(points.take(rows), truth[rows]).predict(points)
    np.testing.assert_allclose(found, [mean, np.sqrt(square - mean**2)], atol=1e-9)


def test_only_processes_that_count_are_given_all_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    conditioned = []
    condition = LabelProcess.condition

    def noted(self: LabelProcess, labelled: Points, targets: FloatArray) -> LabelProcess:
        conditioned.append(self)
        return condition(self, labelled, targets)

    monkeypatch.setattr(LabelProcess, "condition", noted)
    points, truth = pool(0.1)
    mixture = LabelMixture().fit(points.take(slice(60)), truth[:60])
    assert conditioned == mixture._processes
    assert 1 <= len(conditioned) < len(TRUSTS)


@pytest.mark.parametrize("labels", [3, 5, 10])
def test_few_labels_leave_a_good_score_as_good_as_it_was(labels: int) -> None:
    lost = []
    for seed in range(10):
        points, truth = pool(0.93, seed=seed)
        rest = np.arange(labels, 300)
        told = LabelMixture().fit(points.take(slice(labels)), normal_scores(truth[:labels]))
        before = spearman(points.scores[rest, 0], truth[rest])
        lost.append(before - spearman(told.predict(points)[0][rest], truth[rest]))
    assert np.mean(lost) < 0.015


def test_labels_that_contradict_the_score_outweigh_it() -> None:
    points, truth = pool(0.99)
    points = Points([np.zeros((300, 0))], points.scores)
    for labels, sign in ((1, 1), (60, -1)):
        told = LabelMixture().fit(points.take(slice(labels)), -truth[:labels])
        assert np.sign(spearman(told.predict(points)[0][60:], points.scores[60:, 0])) == sign


def test_a_score_that_is_worth_nothing_does_not_keep_labels_from_being_learned() -> None:
    rng = np.random.default_rng(4)
    inputs = rng.normal(size=(300, 2))
    points, truth = Points([inputs], rng.normal(size=(300, 1))), np.sin(inputs[:, 0])
    told = LabelMixture().fit(points.take(slice(40)), normal_scores(truth[:40]))
    assert spearman(told.predict(points)[0][40:], truth[40:]) > 0.95


def test_without_a_score_the_inputs_are_learned_from() -> None:
    inputs = np.linspace(-2, 2, 101)[:, None]
    points = Points([inputs], np.zeros((101, 0)))
    told = LabelMixture().fit(points.take(slice(None, None, 10)), inputs[::10, 0])
    means, deviations = told.predict(points)
    assert spearman(means, inputs[:, 0]) > 0.99
    assert np.all(deviations > 0)
