"""Pairs of constant weights for epsilon on NAS-Bench-201, beside the authors' ablation.

Gracheva, Neural Architecture Search via Two Constant Shared Weights Initialisations (arXiv
2302.04406): 5,000 random cells, CIFAR-10 test accuracy, a batch of 256 images of CIFAR-10, float32;
cells without a value are left out. Here are fewer cells and a grey ramp of fewer images, which the
paper finds equally good, and the test accuracies of networks trained without the validation images.
`published_tables.py --table epsilon-weights` prints it; the outputs of each weight are computed
once a cell, so that all pairs together cost ten forward passes.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
import torch

from hwnas.cli.progress import progress
from hwnas.data.nasbench201 import accuracies
from hwnas.errors import ProxyError
from hwnas.networks.settings import default_settings
from hwnas.proxies.engine.subject import Subject
from hwnas.proxies.epsilon import ConstantWeightOutputs, epsilon_of
from hwnas.ranking.metrics import kendall, spearman, top_by_accuracy
from hwnas.spaces.nasbench201 import Cell, NasBench201
from hwnas.tasks.catalogue import get_task
from hwnas.typing import FloatArray

WEIGHTS = (1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
_Row = tuple[int, float, float, float, float]
PUBLISHED: Mapping[tuple[float, float], _Row] = {
    (1e-8, 1e-7): (2957, 0.27, -0.46, 0.20, -0.37),
    (1e-8, 1e-6): (2957, 0.42, -0.41, 0.28, -0.30),
    (1e-8, 1e-5): (2957, 0.43, -0.19, 0.31, -0.13),
    (1e-8, 1e-4): (2957, 0.47, -0.01, 0.32, 0.00),
    (1e-8, 1e-3): (2957, 0.62, 0.06, 0.43, 0.05),
    (1e-8, 1e-2): (2957, 0.83, 0.69, 0.64, 0.49),
    (1e-8, 1e-1): (2957, 0.84, 0.64, 0.65, 0.46),
    (1e-8, 1.0): (2957, 0.87, 0.59, 0.70, 0.43),
    (1e-8, 10.0): (2957, 0.87, 0.58, 0.70, 0.43),
    (1e-7, 1e-6): (2957, 0.33, -0.20, 0.22, -0.13),
    (1e-7, 1e-5): (2957, 0.39, -0.06, 0.29, -0.04),
    (1e-7, 1e-4): (2957, 0.47, -0.01, 0.32, 0.00),
    (1e-7, 1e-3): (2957, 0.62, 0.06, 0.43, 0.05),
    (1e-7, 1e-2): (2957, 0.83, 0.69, 0.64, 0.49),
    (1e-7, 1e-1): (2957, 0.84, 0.64, 0.65, 0.46),
    (1e-7, 1.0): (2957, 0.87, 0.59, 0.70, 0.43),
    (1e-7, 10.0): (2957, 0.87, 0.58, 0.70, 0.43),
    (1e-6, 1e-5): (2957, 0.41, -0.06, 0.30, -0.04),
    (1e-6, 1e-4): (2957, 0.47, -0.01, 0.32, 0.00),
    (1e-6, 1e-3): (2957, 0.62, 0.06, 0.43, 0.05),
    (1e-6, 1e-2): (2957, 0.83, 0.69, 0.64, 0.49),
    (1e-6, 1e-1): (2957, 0.84, 0.64, 0.65, 0.46),
    (1e-6, 1.0): (2957, 0.87, 0.59, 0.70, 0.43),
    (1e-6, 10.0): (2957, 0.87, 0.58, 0.70, 0.43),
    (1e-5, 1e-4): (2957, 0.47, -0.01, 0.32, 0.00),
    (1e-5, 1e-3): (2957, 0.62, 0.06, 0.43, 0.05),
    (1e-5, 1e-2): (2957, 0.83, 0.69, 0.64, 0.49),
    (1e-5, 1e-1): (2957, 0.84, 0.64, 0.65, 0.46),
    (1e-5, 1.0): (2957, 0.87, 0.59, 0.70, 0.43),
    (1e-5, 10.0): (2957, 0.87, 0.58, 0.70, 0.43),
    (1e-4, 1e-3): (2957, 0.62, 0.06, 0.43, 0.05),
    (1e-4, 1e-2): (2957, 0.82, 0.69, 0.63, 0.49),
    (1e-4, 1e-1): (2957, 0.84, 0.64, 0.65, 0.46),
    (1e-4, 1.0): (2957, 0.87, 0.58, 0.69, 0.42),
    (1e-4, 10.0): (2957, 0.87, 0.58, 0.69, 0.42),
    (1e-3, 1e-2): (4802, 0.25, 0.41, 0.17, 0.28),
    (1e-3, 1e-1): (4802, 0.31, 0.27, 0.20, 0.19),
    (1e-3, 1.0): (4802, 0.31, 0.22, 0.21, 0.15),
    (1e-3, 10.0): (4802, 0.26, 0.21, 0.17, 0.15),
    (1e-2, 1e-1): (4907, 0.15, 0.42, 0.10, 0.29),
    (1e-2, 1.0): (4907, 0.12, 0.39, 0.06, 0.27),
    (1e-2, 10.0): (4907, 0.12, 0.39, 0.06, 0.27),
    (1e-1, 1.0): (4907, 0.01, 0.26, -0.03, 0.16),
    (1e-1, 10.0): (4907, 0.01, 0.26, -0.03, 0.16),
    (1.0, 10.0): (4907, -0.02, 0.25, -0.05, 0.16),
}
"""Cells of 5,000 with a value, Spearman of all and of the best tenth, Kendall likewise: the
notebook `NAS-Bench-201/Ablations.ipynb` of github.com/egracheva/epsinas."""
_CELLS, _IMAGES, _DRAWN = 100, 32, 5_000


def epsilon_weights() -> None:
    """Print a row a pair of weights."""
    space = NasBench201()
    everything, known = list(space), accuracies("cifar10", "test")
    chosen = np.random.default_rng(0).choice(len(everything), _CELLS, replace=False)
    cells = [everything[i] for i in chosen]
    truth = np.array([known[str(cell)] for cell in cells])
    scores = _scores(space, cells)
    print("| weights | with a value | published | SPR | published | top 10 % | published | KT | "
          "published | top 10 % | published |")  # fmt: skip
    print("| --- " * 11 + "|")
    for (low, high), (there, *figures) in PUBLISHED.items():
        found = scores[low, high]
        kept = np.isfinite(found)
        top = kept & top_by_accuracy(np.where(kept, truth, -np.inf), 0.1 * kept.mean())
        ours = [metric(found[part], truth[part]) for metric in (spearman, kendall)
                for part in (kept, top)]  # fmt: skip
        pairs = " | ".join(f"{a:.2f} | {b:.2f}" for a, b in zip(ours, figures, strict=True))
        print(f"| {low:g}, {high:g} | {kept.mean():.0%} | {there / _DRAWN:.0%} | {pairs} |")


def _scores(space: NasBench201, cells: Sequence[Cell]) -> Mapping[tuple[float, float], FloatArray]:
    """Give the score of each cell by the pair of weights, NaN where there is none."""
    signal, task = (
        ConstantWeightOutputs(WEIGHTS, "ramp", _IMAGES, double=False),
        get_task("cifar10"),
    )
    pairs = list(itertools.combinations(range(len(WEIGHTS)), 2))
    table = np.full((len(cells), len(pairs)), np.nan)
    with progress.running("scoring") as bar, default_settings(), torch.no_grad():
        for row, cell in enumerate(cells):
            outputs = signal.measure(Subject(space.build(cell, task), task.input.shape))
            for column, (i, j) in enumerate(pairs):
                try:
                    table[row, column] = epsilon_of([outputs[i], outputs[j]])
                except ProxyError:
                    continue
            bar.count("cells", row + 1, len(cells))
    return {(WEIGHTS[i], WEIGHTS[j]): table[:, k] for k, (i, j) in enumerate(pairs)}
