"""Which networks of NAS-Bench-201 to train: BRP-NAS's relation of two against regression.

All 5,424 connected networks, published validation accuracies. A predictor learns from N trained
networks, drawn at random or chosen in five iterations of which half goes to the best predicted
ones (Dudziak et al., 2020, Sec. 4). Printed are Kendall's rank correlation over the networks that
were not trained, the same over the best tenth of them, and the test accuracy of the network with
the best validation accuracy among the trained ones and the ten that the predictor ranks highest;
mean and standard deviation over seeds. With ``--extra`` the networks also see zero-cost scores that
ship with hwnas. Needs HWNAS_DATA::

    python -m benchmarks.predictors.binary_relation --samples 25 50 100 --seeds 5
    python -m benchmarks.predictors.binary_relation --extra jacob_cov params
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import kendalltau

from hwnas.data.nasbench201 import accuracies
from hwnas.spaces.nasbench201 import Cell, NasBench201
from hwnas.typing import FloatArray
from hwnas_predictors.binary_relation import BinaryRelationPredictor, select_iteratively
from hwnas_predictors.brp_nas import GcnPredictor

SPACE = NasBench201()
DATASETS = ("cifar10", "cifar100", "ImageNet16-120")
METHODS = ("regression", "relation", "relation, iterative")
ITERATIONS = 5
MORE = 10
"""Networks that are trained after the last prediction."""
COLUMNS = ("Kendall", "Kendall of the best tenth", "test accuracy")


@dataclass(frozen=True)
class Networks:
    """The networks and their accuracies in percent.

    Attributes:
        cells: `(n,)` representatives of the connected classes.
        validation: `(n,)` accuracies that a search sees.
        test: `(n,)` accuracies of what it finds.
    """

    cells: Sequence[Cell]
    validation: FloatArray
    test: FloatArray

    @classmethod
    def read(cls, dataset: str) -> Networks:
        """Read the published accuracies."""
        cells = [c for c in SPACE if SPACE.is_valid(c) and SPACE.representative(c) == c]
        tables = (accuracies(dataset), accuracies(dataset, "test"))
        validation, test = (np.array([table[str(c)] for c in cells]) for table in tables)
        return cls(cells, validation, test)

    def judge(self, trained: npt.NDArray[np.intp], predicted: FloatArray) -> list[float]:
        """Give what `COLUMNS` says."""
        rest = np.setdiff1d(np.arange(len(self.cells)), trained)
        best = rest[np.argsort(-self.validation[rest])[: len(rest) // 10]]
        ranks = [
            kendalltau(predicted[rows], self.validation[rows]).statistic for rows in (rest, best)
        ]
        seen = np.concatenate([trained, rest[np.argsort(-predicted[rest])[:MORE]]])
        return [*ranks, self.test[seen[np.argmax(self.validation[seen])]]]


def run(method: str, networks: Networks, n: int, seed: int, extra: Sequence[str]) -> list[float]:
    """Train `n` networks, predict all, and judge."""
    row = {cell: i for i, cell in enumerate(networks.cells)}
    if method == "relation, iterative":
        chosen, _ = select_iteratively(
            relation := BinaryRelationPredictor[Cell](SPACE, seed=seed, extra=extra),
            networks.cells,
            lambda cells: networks.validation[[row[cell] for cell in cells]],
            budget=n,
            iterations=ITERATIONS,
            seed=seed,
        )
        trained = np.array([row[cell] for cell in chosen])
        return networks.judge(trained, relation.win_share(networks.cells))
    trained = np.random.default_rng(seed).choice(len(networks.cells), n, replace=False)
    cells, values = [networks.cells[i] for i in trained], networks.validation[trained]
    if method == "regression":
        regression = GcnPredictor[Cell](
            SPACE, "accuracy", "percent", "maximize", seed=seed, extra=extra
        )
        return networks.judge(trained, regression.fit(cells, values).predict(networks.cells))
    relation = BinaryRelationPredictor[Cell](SPACE, seed=seed, extra=extra).fit(cells, values)
    return networks.judge(trained, relation.win_share(networks.cells))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dataset", nargs="+", choices=DATASETS, default=["cifar100"])
    parser.add_argument("--method", nargs="+", choices=METHODS, default=METHODS)
    parser.add_argument("--samples", type=int, nargs="+", default=[25, 50, 100])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--extra", nargs="+", default=[], help="proxies that the networks see too")
    arguments = parser.parse_args()
    print(f"| data set | method | trained | {' | '.join(COLUMNS)} |")
    print("| --- " * (3 + len(COLUMNS)) + "|")
    for dataset in arguments.dataset:
        networks = Networks.read(dataset)
        best = networks.test[np.argmax(networks.validation)]
        print(f"| {dataset} | best possible | | | | {best:.2f} |")
        for n in arguments.samples:
            for method in arguments.method:
                figures = [
                    run(method, networks, n, s, arguments.extra) for s in range(arguments.seeds)
                ]
                means, spreads = np.mean(figures, axis=0), np.std(figures, axis=0)
                texts = [
                    f"{mean:.{places}f} ± {spread:.{places}f}"
                    for mean, spread, places in zip(means, spreads, (3, 3, 2), strict=True)
                ]
                print(f"| {dataset} | {method} | {n} | {' | '.join(texts)} |", flush=True)


if __name__ == "__main__":
    main()
