"""Search NAS-Bench-201 for networks with a high naswot score and few multiply-accumulates."""

from __future__ import annotations

import sys
from pathlib import Path

import optuna

import optunahub
from hwnas.study.search import make_evaluator
from hwnas.study.settings import SearchSettings


def main(n_trials: int) -> None:
    """Run a study with the package in this folder and print its front."""
    # From the registry: optunahub.load_module("samplers/hardware_aware_nas").
    module = optunahub.load_local_module(
        Path(__file__).parent.name, registry_root=str(Path(__file__).parents[1])
    )
    settings = SearchSettings(objectives=("naswot",), costs=("count:macs",), batch=8)
    evaluator = make_evaluator(settings)
    objective = module.HardwareAwareObjective(evaluator)
    sampler = module.HardwareAwareSampler(evaluator.space, seed=0)
    study = optuna.create_study(sampler=sampler, directions=objective.directions)
    study.optimize(objective, n_trials=n_trials)
    for trial in study.best_trials:
        print(trial.values, trial.user_attrs["hwnas:arch"])


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 50)
