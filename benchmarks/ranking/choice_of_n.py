"""The accuracy of the best-scored of N random cells of NAS-Bench-201, beside what papers state.

Gracheva, Neural Architecture Search via Two Constant Shared Weights Initialisations (arXiv
2302.04406): 500 times N cells are drawn from all 15,625, the one with the highest score is taken,
and mean and deviation of its accuracy are stated; *optimal* takes the most accurate one, *random*
the first. Scores are those that ship with hwnas; a cell without a score is not taken. Needs
HWNAS_DATA::

    python -m benchmarks.ranking.published_tables --table epsilon-2
    python -m benchmarks.ranking.choice_of_n --split full-test
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping

import numpy as np

import hwnas
from benchmarks.ranking.columns import show
from hwnas.proxies import proxy_direction
from hwnas.typing import FloatArray

Triple = tuple[float, float, float]
DATASETS = ("cifar10", "cifar100", "ImageNet16-120")
_NO_SCORES = ("optimal", "random")
Published = Mapping[tuple[str, int], tuple[Triple, Triple] | None]
EPSILON_2: Published = {
    ("optimal", 1000): ((91.34, 72.53, 45.93), (94.20, 72.84, 46.59)),
    ("random", 1000): ((84.11, 61.57, 33.97), (87.40, 61.67, 33.67)),
    ("naswot", 1000): ((89.69, 69.86, 43.95), (92.96, 69.98, 44.44)),
    ("synflow", 1000): ((89.91, 70.35, 41.73), (90.12, 70.37, 42.11)),
    ("grad_norm", 1000): ((88.13, 66.35, 33.88), (88.42, 66.48, 33.90)),
    ("grasp", 1000): ((87.85, 65.36, 32.23), (88.17, 65.45, 32.20)),
    ("snip", 1000): ((87.47, 64.61, 30.65), (87.81, 64.74, 30.55)),
    ("fisher", 1000): ((87.01, 63.54, 26.70), (87.36, 63.67, 29.56)),
    ("epsilon", 1000): ((91.03, 71.76, 45.11), (93.86, 71.79, 45.42)),
    ("gradsign", 100): ((89.84, 70.22, 42.07), (93.31, 70.33, 42.42)),
    ("epsilon", 100): ((90.44, 70.85, 44.03), (93.39, 71.00, 44.20)),
}
"""Mean validation and test accuracies for the three data sets, by method and N, as printed.

Fisher's two figures of ImageNet16-120 lie 2.9 apart, with one and the same deviation (10.83), where
those of other methods lie .7 apart at most: one of them may be a slip of the paper.
"""
NASGRAPH_6: Published = {
    (name, n): None
    for n in (100, 200)
    for name in ("optimal", "naswot", "grad_norm", "snip", "grasp", "fisher", "synflow",
                 "jacob_cov", "nasgraph_avg_degree")
}  # fmt: skip
"""Methods and N of NASGraph's Table 6 (2024); its numbers are not in the text at hand."""


def chosen(scores: FloatArray, truth: FloatArray, n: int, runs: int, seed: int) -> FloatArray:
    """Give the (runs,) accuracies of the cells with the highest score of n random ones."""
    known, rng = np.where(np.isnan(scores), -np.inf, scores), np.random.default_rng(seed)
    found = []
    for _ in range(runs):
        drawn = rng.choice(len(scores), size=n, replace=False)
        found.append(truth[drawn[np.argmax(known[drawn])]])
    return np.array(found)


def choices_of_n(
    published: Published,
    splits: tuple[str, ...] = ("validation", "full-test"),
    *,
    runs: int = 500,
    seed: int = 0,
    epsilon: str = "epsilon",
    images: str = "gaussian",
) -> None:
    """Print a row for each method and N, a table a split.

    Args:
        published: what the paper states, validation first.
        splits: accuracies.
        runs: choices.
        seed: seed of the choices.
        epsilon: the variant that stands for epsilon.
        images: which the scores are of.
    """
    names = [n for n in dict.fromkeys(name for name, _ in published) if n not in _NO_SCORES]
    wanted = [epsilon if name == "epsilon" else name for name in names]
    for split in splits:
        found = hwnas.rank(
            "nasbench201", DATASETS, wanted, split=split, population="all", images=images,
            note=lambda _: None,
        )  # fmt: skip
        body = []
        for (name, n), paper in published.items():
            stated = paper and paper[split != "validation"]
            cells = []
            for place, ranked in enumerate(found):
                truth = ranked.accuracies
                assert truth is not None
                scores = _scores(name, ranked.population.columns, truth)
                values = chosen(scores, truth, n, runs, seed)
                cells.append(f"{values.mean():.2f}±{values.std():.2f}")
                if stated:
                    cells[-1] += f" ({stated[place]:.2f})"
            body.append([name, f"{n:,}", *cells])
        title = f"{split} accuracy, {images} images, {runs} choices"
        show(title, ["method", "N", *DATASETS], body)


def _scores(name: str, columns: Mapping[str, FloatArray], truth: FloatArray) -> FloatArray:
    if name in _NO_SCORES:
        return truth if name == "optimal" else np.zeros(len(truth))
    column = next(column for column in columns if column.partition(".")[0] == name)
    sign = 1 if proxy_direction(column) == "maximize" else -1
    return np.asarray(sign * columns[column])


def main() -> None:
    """Print Table 2 of the epsilon paper by other accuracies, images or choices."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--split", default="test", help="validation, test or full-test")
    parser.add_argument("--runs", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epsilon", default="epsilon", help="or epsilon:published=true")
    parser.add_argument("--images", default="gaussian", help="or cifar10-sample")
    given = vars(parser.parse_args())
    choices_of_n(EPSILON_2, (given.pop("split"),), **given)


if __name__ == "__main__":
    main()
