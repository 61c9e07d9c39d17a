"""What a progress line says of a study: trials, members of the front, the best value so far."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from optuna.trial import FrozenTrial, TrialState

from hwnas.evaluation.evaluator import Evaluator
from hwnas.pareto.metrics import is_non_dominated
from hwnas.study.hosts import Watch
from hwnas.typing import Arch
from hwnas_optuna.participant import standing


def tell(
    watch: Watch | None, evaluator: Evaluator[Arch], trials: Sequence[FrozenTrial], n_trials: int
) -> None:
    """Say how far a study is.

    Args:
        watch: who is told; None for nobody.
        evaluator: its objectives are those of the study.
        trials: all of its trials.
        n_trials: trials that it has in the end.
    """
    if watch is None:
        return
    ended = sum(trial.state.is_finished() for trial in standing(trials))
    watch.trials(min(ended, n_trials), n_trials, _facts(evaluator, trials))


def _facts(evaluator: Evaluator[Arch], trials: Sequence[FrozenTrial]) -> list[str]:
    """Give the size of the front and the best of the first cost that has a unit, if there is one.

    Trials of one network, and of one point, count once on the front.
    """
    points = {tuple(t.values) for t in trials if t.state is TrialState.COMPLETE}
    if not points:
        return []
    values = np.array(sorted(points), dtype=np.float64)
    signs = [1.0 if o.direction == "minimize" else -1.0 for o in evaluator.objectives]
    objectives = list(evaluator.objectives)
    shown = next((o for o in objectives if o.direction == "minimize" and o.unit), objectives[0])
    column = values[:, objectives.index(shown)]
    best = column.min() if shown.direction == "minimize" else column.max()
    unit = shown.unit or shown.name
    return [f"front {int(is_non_dominated(values * signs).sum())}", f"best {best:.3g} {unit}"]
