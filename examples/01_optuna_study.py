"""An Optuna study of one's own: training-free proxies next to the energy of HW-NAS-Bench.

Run it with the published tables: HWNAS_DATA=/where/they/are python examples/01_optuna_study.py
(`hwnas data get hw-nas-bench` downloads them). An optional argument is the number of trials.
"""

from __future__ import annotations

import sys

from hwnas.cli.progress import progress

with progress.loading(__name__):  # says that it is alive while PyTorch is imported
    import optuna

    from hwnas.evaluation import Evaluator
    from hwnas.evaluation.cache import ResultCache
    from hwnas.spaces.nasbench201 import NasBench201
    from hwnas.study.configuration import EvaluationSetup, make_constraints, make_objectives
    from hwnas.tasks.catalogue import get_task
    from hwnas_optuna import HardwareAwareObjective, pareto_set_from_study


def main(trials: int = 60) -> None:
    """Search for cells that score high and need little energy on an Edge GPU."""
    with progress.running("searching"):
        # Gaussian images of CIFAR-10's size; 16 of them are enough for a first look.
        setup = EvaluationSetup(NasBench201(), get_task("cifar10"), batch_size=16, seed=0)

        # Objectives: one proxy to maximise, one published cost to minimise.
        objectives = make_objectives(setup, ["naswot"], ["hw-nas-bench:edgegpu:energy"])
        # Constraints are checked first: an infeasible trial is pruned before its network is built.
        constraints = make_constraints(
            setup, ["hw-nas-bench:edgegpu:latency<=6", "params<=1e6"], objectives
        )
        with ResultCache.default() as cache:
            evaluator = Evaluator(
                setup.space, objectives, constraints, cache=cache, report=progress.count
            )
            objective = HardwareAwareObjective(evaluator)
            # From here on it is plain Optuna: any sampler, storage, callback or dashboard.
            optuna.logging.set_verbosity(optuna.logging.WARNING)
            study = optuna.create_study(
                directions=objective.directions,
                sampler=optuna.samplers.NSGAIISampler(population_size=20, seed=0),
            )
            objective.describe(study)
            study.optimize(
                objective,
                n_trials=trials,
                callbacks=[lambda study, _: progress.trials(len(study.trials), trials)],
            )
        front = pareto_set_from_study(study)

    pruned = front.provenance["infeasible"]
    print(f"{trials} trials, {pruned} pruned by a constraint, {len(front)} on the front")
    print(" | ".join(str(o) for o in front.objectives))
    for member in front.members:
        print(" | ".join(f"{value:9.3f}" for value in member.values), "|", member.arch)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
