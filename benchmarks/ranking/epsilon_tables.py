"""Tables of the epsilon paper that need more than a shipped score, beside our figures.

Gracheva, Neural Architecture Search via Two Constant Shared Weights Initialisations (arXiv
2302.04406), NAS-Bench-201: Table 1 of all cells; and the ablations of 5,000 random cells, CIFAR-10
test accuracy, a batch of 256 images of CIFAR-10, float32, cells without a value left out. Here are
fewer cells and 32 images, and the test accuracies of networks trained without the validation
images. `published_tables.py` prints them.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

import hwnas
from benchmarks.ranking.columns import beside, show
from hwnas.cli.progress import progress
from hwnas.data.cifar10_sample import cifar10_sample
from hwnas.data.nasbench201 import DATASETS, accuracies
from hwnas.data.nasbench201_figures import EPSILON_METRICS, EPSILON_TABLE_1
from hwnas.errors import ProxyError
from hwnas.networks.settings import default_settings
from hwnas.proxies.engine.subject import Subject
from hwnas.proxies.epsilon import ConstantWeightOutputs, epsilon_of
from hwnas.ranking.metrics import kendall, spearman, top_by_accuracy
from hwnas.seeding import seeded
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
notebook `NAS-Bench-201/Ablations.ipynb` of github.com/egracheva/epsinas, whose rows of weights from
1e-7 to 1 are the paper's Table 6."""
TABLE_9: Mapping[str, _Row] = {
    "uniform": (15284, 0.14, -0.17, 0.09, -0.11),
    "normal": (15284, 0.44, -0.29, 0.30, -0.20),
    "Kaiming uniform": (15284, 0.32, 0.11, 0.21, 0.07),
    "Kaiming normal": (15284, 0.49, -0.29, 0.33, -0.20),
    "orthogonal": (15284, 0.41, -0.20, 0.28, -0.13),
}
"""Two draws in place of two constants; the paper counts cells of 15,625 there."""
TABLE_11: Mapping[str, tuple[float, float, float, float]] = {
    "real data": (0.87, 0.59, 0.70, 0.43),
    "grey scale": (0.87, 0.44, 0.68, 0.31),
    "random normal": (0.54, 0.15, 0.38, 0.14),
    "random uniform": (0.56, 0.17, 0.40, 0.16),
    "random uniform (+)": (0.61, 0.17, 0.43, 0.16),
}
_LEAST = 5
"""Cells of the best tenth from which on it has a coefficient."""
_IMAGES, _DRAWN, _ALL = 32, 5_000, 15_625
_HEADERS = ("with a value", "SPR", "best 10 %", "KT", "best 10 %")


def epsilon_ranks() -> None:
    """Print a row a score, a table a data set."""
    headers = ["score", "SPR", "best 10 %", "KT", "best 10 %", "10/10 %", "64/5 %"]
    scores = {name.partition(".")[0]: name for name in EPSILON_TABLE_1}
    for place, found in enumerate(
        hwnas.rank(
            "nasbench201", DATASETS, [*scores], split="full-test", population="all",
            note=lambda _: None,
        )
    ):  # fmt: skip
        rows = {row["score"]: row for row in found.rows}
        body = []
        for score, name in scores.items():
            *cells, tenth, many = (rows[score][metric] for metric in EPSILON_METRICS)
            *papers, their_tenth, their_many = EPSILON_TABLE_1[name][place]
            pairs = [beside(a, b, 2) for a, b in zip(cells, papers, strict=True)]
            pairs += [beside(100 * tenth, 100 * their_tenth, 0), beside(many, their_many, 0)]
            body.append([score, *pairs])
        note = "the paper's epsilon is of the cells with a value in float32 alone"
        show(f"{DATASETS[place]}, all cells\n{note}", headers, body)


def epsilon_weights(count: int) -> None:
    """Print a row a pair of weights, of which ten are computed a cell."""
    space, cells, truth = _drawn(count)
    found = _scores(space, cells)
    rows = {f"{low:g}, {high:g}": (found[low, high], PUBLISHED[low, high]) for low, high in found}
    _print(f"weights, {count} cells", rows, truth, _DRAWN)


def epsilon_initialisations(count: int) -> None:
    """Print a row for each way of drawing the weights."""
    rows = {name: (_of_draws(draw, count), TABLE_9[name]) for name, draw in _DRAWS.items()}
    _print(f"two draws of the weights, {count} cells", rows, _drawn(count)[2], _ALL)


def epsilon_images(count: int) -> None:
    """Print a row for each kind of images."""
    rows = {
        name: (_of_images(images, count), (_CONSTANT, *TABLE_11[name]))
        for name, images in _inputs().items()
    }
    _print(f"images, {count} cells", rows, _drawn(count)[2], _DRAWN)


def _print(
    title: str, rows: Mapping[str, tuple[FloatArray, _Row]], truth: FloatArray, of: int
) -> None:
    body = []
    for name, (scores, (there, *paper)) in rows.items():
        kept = np.isfinite(scores)
        top = kept & top_by_accuracy(np.where(kept, truth, -np.inf), 0.1 * kept.mean())
        parts = (kept, top if top.sum() >= _LEAST else np.zeros(0, dtype=bool))
        ours = [metric(scores[part], truth[part]) if len(part) else np.nan
                for metric in (spearman, kendall) for part in parts]  # fmt: skip
        pairs = zip(ours, paper, strict=True)
        known = f"{kept.mean():.0%} ({there / of:.0%})"
        body.append([name, known, *(beside(a, b, 2) for a, b in pairs)])
    show(title, ["", *_HEADERS], body)


def _drawn(count: int) -> tuple[NasBench201, list[Cell], FloatArray]:
    """Draw cells; their test accuracies on CIFAR-10."""
    space = NasBench201()
    everything, known = list(space), accuracies("cifar10", "test")
    chosen = np.random.default_rng(0).choice(len(everything), count, replace=False)
    cells = [everything[i] for i in chosen]
    return space, cells, np.array([known[str(cell)] for cell in cells])


_CONSTANT = 2957
"""Cells of 5,000 with a value for the paper's weights: its Table 11 does not count them."""
_DRAWS: Mapping[str, Callable[[Tensor], object]] = {
    "uniform": nn.init.uniform_,
    "normal": nn.init.normal_,
    "Kaiming uniform": nn.init.kaiming_uniform_,
    "Kaiming normal": nn.init.kaiming_normal_,
    "orthogonal": nn.init.orthogonal_,
}
"""As PyTorch names them, at its defaults: the paper says no more."""


def _inputs() -> dict[str, Tensor]:
    """Give the `(B, 3, 32, 32)` images of Table 11; the real ones are of CIFAR-10."""
    draw, shape = torch.Generator().manual_seed(0), (_IMAGES, 3, 32, 32)
    grey = torch.arange(_IMAGES).view(-1, 1, 1, 1).expand(shape) / _IMAGES
    return {
        "real data": cifar10_sample(_IMAGES).inputs,
        "grey scale": grey.contiguous(),
        "random normal": torch.randn(shape, generator=draw),
        "random uniform": 2 * torch.rand(shape, generator=draw) - 1,
        "random uniform (+)": torch.rand(shape, generator=draw),
    }


def _of_draws(draw: Callable[[Tensor], object], count: int) -> FloatArray:
    """Score by two draws; batch norms keep their weights of 1, biases are 0."""

    def fill(network: nn.Module, number: int) -> None:
        with seeded(number):
            for parameter in network.parameters():
                if parameter.dim() > 1:
                    draw(parameter)

    return _of_fillings(fill, _inputs()["real data"], count)


def _of_images(images: Tensor, count: int) -> FloatArray:
    """Score by the two constants."""

    def fill(network: nn.Module, number: int) -> None:
        for name, parameter in network.named_parameters():
            nn.init.constant_(parameter, (1e-7, 1.0)[number] if "weight" in name else 0.0)

    return _of_fillings(fill, images, count)


def _of_fillings(fill: Callable[[nn.Module, int], None], images: Tensor, count: int) -> FloatArray:
    """Give the (count,) scores of two fillings of each network, NaN where there is none."""
    space, cells, _ = _drawn(count)
    task, found = get_task("cifar10"), []
    with progress.running("scoring") as bar, default_settings(), torch.no_grad():
        for number, cell in enumerate(cells, start=1):
            network, outputs = space.build(cell, task).train(), []
            for which in range(2):
                fill(network, which)
                outputs.append(network(images).flatten().double())
            try:
                found.append(epsilon_of(outputs))
            except ProxyError:
                found.append(np.nan)
            bar.count("cells", number, count)
    return np.array(found)


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
