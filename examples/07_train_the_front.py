"""Search, train the members for real, and see what the score was worth.

    python examples/07_train_the_front.py [FOLDER] [TRIALS] [EPOCHS] [SEEDS]

The data are scikit-learn's 1,797 digits, twice as large; 600 of them are for training. It takes
minutes on two cores, and goes on where it was stopped.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from hwnas.cli.progress import progress

with progress.loading(__name__):  # says that it is alive while PyTorch is imported
    import numpy as np
    from sklearn.datasets import load_digits
    from torch import nn

    import hwnas
    from hwnas.cli.trained import show_trained, take_accuracies
    from hwnas.reports.code_members import export_code_members
    from hwnas.spaces.functions import FunctionSpace
    from hwnas.spaces.trial import Trial


def build(trial: Trial) -> nn.Module:
    """Build two to four stages, each a depthwise or a full convolution, with or without a pool."""
    layers: list[nn.Module] = []
    c = 1
    for i in range(trial.suggest_int("depth", 2, 4)):
        width = trial.suggest_int(f"width_{i}", 8, 32, step=8)
        kernel = trial.suggest_categorical(f"kernel_{i}", [1, 3, 5])
        if trial.suggest_categorical(f"depthwise_{i}", [False, True]):
            layers.append(nn.Conv2d(c, c, kernel, padding=kernel // 2, groups=c))
            kernel = 1
        layers += [nn.Conv2d(c, width, kernel, padding=kernel // 2), nn.BatchNorm2d(width)]
        layers.append(nn.ReLU())
        if trial.suggest_categorical(f"pool_{i}", [False, True]):
            layers.append(nn.MaxPool2d(2))
        c = width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(c, 10))


def save_digits(file: Path) -> None:
    """Write images, labels, and which of them are tested."""
    digits = load_digits()
    images = np.kron(digits.images, np.ones((2, 2)))[:, None].astype(np.uint8) * 15
    split = np.where(np.arange(len(images)) < 600, "train", "test")
    np.savez(file, images=images, labels=digits.target, split=split)


def main(folder: Path, trials: int = 60, epochs: int = 30, seeds: int = 3) -> None:
    """Search, export, train and compare."""
    folder.mkdir(parents=True, exist_ok=True)
    save_digits(data := folder / "digits.npz")
    space = FunctionSpace(build, input=(1, 16, 16), classes=10)
    with progress.running("searching") as told:
        front = hwnas.search(
            space, images=str(data), objectives="naswot", costs="count:macs",
            trials=trials, out=folder, report=told.count,
        )  # fmt: skip
        export_code_members(front, space, space.default_task, folder / "code", report=told.count)
    for seed in range(seeds):
        line = f"--data digits.npz --member all --epochs {epochs} --batch 64 --seed {seed} --resume"
        subprocess.run([sys.executable, "code/train.py", *line.split()], check=True, cwd=folder)
    accuracies = folder / "code/accuracy.csv"
    with progress.running("comparing"):
        show_trained(take_accuracies(front, space, accuracies, space.default_task), as_json=False)


if __name__ == "__main__":
    main(Path(sys.argv[1] if sys.argv[1:] else "digits"), *map(int, sys.argv[2:5]))
