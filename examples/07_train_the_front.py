"""Search, train the members for real, and see what the scores were worth.

    python examples/07_train_the_front.py [FOLDER] [TRIALS] [EPOCHS] [SEEDS]

The data are scikit-learn's 1,797 digits, twice as large; 600 train. A stopped run goes on.
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.datasets import load_digits
from torch import nn

import hwnas
from hwnas.cli.trained import show_trained, take_accuracies
from hwnas.reports.code_members import export_code_members
from hwnas.spaces.assignments import Assignment, AssignmentSpace
from hwnas.spaces.choices import Choose, Options
from hwnas.tasks.task import Task, image_classes, image_task

TASK = image_task(10, (1, 16, 16), "digits")
STAGE: dict[str, Options[Any]] = {
    "width": Options((8, 12, 16, 24, 32), ordered=True),
    "kernel": Options((1, 3, 5)),
    **dict.fromkeys(("depthwise", "pool"), Options((False, True))),
}


@dataclass(frozen=True)
class DigitNets(AssignmentSpace):
    """Two to four stages, each a depthwise or a full convolution, with or without a pool."""

    name: str = field(default="digit-nets", init=False, repr=False)
    default_task: Task = field(default=TASK, init=False, repr=False)

    def ask(self, choose: Choose) -> list[tuple[Any, ...]]:
        """Give what `STAGE` says of each stage."""
        depth = choose("depth", Options((2, 3, 4), ordered=True))
        return [tuple(choose(f"{n}_{i}", o) for n, o in STAGE.items()) for i in range(depth)]

    def build(self, arch: Assignment, task: Task | None = None) -> nn.Module:
        """Build the stages, with a norm and an activation behind each convolution."""
        classes, (c, _, _) = image_classes(task or self.default_task, self.name)
        layers: list[nn.Module] = []
        for width, k, depthwise, pool in self.asked(arch):
            layers += [nn.Conv2d(c, c, k, padding=k // 2, groups=c)] if depthwise else []
            k = 1 if depthwise else k
            layers += [nn.Conv2d(c, width, k, padding=k // 2), nn.BatchNorm2d(width), nn.ReLU()]
            layers += [nn.MaxPool2d(2)] if pool else []
            c = width
        return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(c, classes))


def main(folder: Path, trials: int = 100, epochs: int = 30, seeds: int = 2) -> None:
    """Search, export, train and compare."""
    digits, data = load_digits(), folder / "digits.npz"
    images = np.kron(digits.images, np.ones((2, 2)))[:, None].astype(np.uint8) * 15
    split = np.where(np.arange(len(images)) < 600, "train", "test")
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(data, images=images, labels=digits.target, split=split)
    space, scores, cost = DigitNets(), ("naswot", "synflow"), "count:macs"
    front = hwnas.search(
        space, images=str(data), objectives=scores, costs=cost, trials=trials, out=folder
    )
    export_code_members(front, space, TASK, folder / "code")
    for seed in range(seeds):
        line = f"--data digits.npz --member all --epochs {epochs} --batch 64 --seed {seed} --resume"
        subprocess.run([sys.executable, "code/train.py", *line.split()], check=True, cwd=folder)
    show_trained(take_accuracies(front, space, folder / "code/accuracy.csv", TASK), as_json=False)


if __name__ == "__main__":
    main(Path(sys.argv[1] if sys.argv[1:] else "digits"), *map(int, sys.argv[2:5]))
