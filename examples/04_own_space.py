"""A search space of one's own: one function that asks for what it needs.

What is not asked for does not exist. An optional argument is the number of trials.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import Any

from hwnas.cli.progress import progress

with progress.loading(__name__):  # says that it is alive while PyTorch is imported
    import optuna
    from torch import nn

    from hwnas.evaluation import Evaluator
    from hwnas.graphs.arch_graph import ArchGraph, chain_graph
    from hwnas.spaces.assignments import Assignment, AssignmentSpace
    from hwnas.spaces.choices import Choose, Options
    from hwnas.study.configuration import EvaluationSetup, make_objectives
    from hwnas.tasks.catalogue import get_task
    from hwnas.tasks.task import Task, image_classes
    from hwnas_optuna import HardwareAwareObjective, HardwareAwareSampler, pareto_set_from_study


@dataclass(frozen=True)
class SmallNets(AssignmentSpace):
    """One to three convolutions, or poolings of the layer before."""

    name: str = field(default="small-nets", init=False, repr=False)
    default_task: Task = field(default=get_task("cifar10"), init=False, repr=False)

    def ask(self, choose: Choose) -> tuple[list[tuple[Any, ...]], float]:
        """Give (kind, width, kernel) of each layer, and the dropout."""
        layers = []
        for i in range(choose("depth", Options((1, 2, 3), ordered=True))):
            width = choose(f"width_{i}", Options(range(8, 33, 8), ordered=True))
            conv = choose(f"kind_{i}", Options(("conv", "pool"))) == "conv"
            kernel = choose(f"kernel_{i}", Options((1, 3, 5))) if conv else None
            layers.append(("conv" if conv else "pool", width, kernel))
        return layers, choose("dropout", Options((0.0, 0.1, 0.2), ordered=True))

    def build(self, arch: Assignment, task: Task | None = None) -> nn.Module:
        """Build the layers, with a norm and an activation behind each."""
        classes, (before, _, _) = image_classes(task or self.default_task, self.name)
        (layers, dropout), modules = self.asked(arch), list[nn.Module]()
        for _, width, kernel in layers:
            modules += [] if kernel else [nn.AvgPool2d(3, 1, 1)]
            modules += [nn.Conv2d(before, width, kernel or 1, padding=(kernel or 1) // 2)]
            modules += [nn.BatchNorm2d(width), nn.ReLU()]
            before = width
        head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(dropout)]
        return nn.Sequential(*modules, *head, nn.Linear(before, classes))

    def to_graph(self, arch: Assignment) -> ArchGraph:
        """Give the layers one after another."""
        layers, dropout = self.asked(arch)
        return chain_graph([*(":".join(map(str, layer)) for layer in layers), f"dropout{dropout}"])


def main(trials: int = 40) -> None:
    """Search for networks that score high with few multiply-accumulates."""
    with progress.running("searching"):
        space = SmallNets()
        setup = EvaluationSetup(space, space.default_task, batch_size=16, seed=0)
        objectives = make_objectives(setup, ["naswot"], ["count:macs"])
        objective = HardwareAwareObjective(Evaluator(space, objectives, report=progress.count))
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        sampler = HardwareAwareSampler(space, seed=0)  # or any of Optuna's
        study = optuna.create_study(directions=objective.directions, sampler=sampler)
        objective.describe(study)
        study.optimize(objective, n_trials=trials)
    print(pareto_set_from_study(study).to_dataframe().to_string())


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
