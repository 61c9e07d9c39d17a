"""Write what the pages of the proxies say: docs/figures/proxies.csv and docs/figures/passes.csv.

The first says how each proxy ranks, a row a benchmark and data set; the second, with --passes N,
what it costs alone on N networks, in passes forward and backward of 64 images (CPU time, median).

NAS-Bench-201 is ranked as a whole by the scores that ship with hwnas; of other spaces the tables of
benchmarks/ranking/score_sample.py are read. Needs the published accuracies (HWNAS_DATA).

    python benchmarks/ranking/score_sample.py transnasbench101-micro --networks 176 --out t.npz
    python benchmarks/ranking/score_sample.py autoformer --known cifar100-224 --out a.npz
    python benchmarks/proxies/figures.py t.npz:transnasbench101-micro:class_object,autoencoder \
           a.npz:autoformer:cifar100-224,flowers102
    python benchmarks/proxies/figures.py --passes 3
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch

import hwnas
from benchmarks.proxies.speed import one_pass, seconds
from hwnas.evaluation.sources import ProxyValues
from hwnas.proxies import make_proxies, proxy_names
from hwnas.ranking.metrics import kendall
from hwnas.spaces.facets import Truth, require_facet
from hwnas.spaces.nasbench201 import NasBench201
from hwnas.spaces.space_text import named_space
from hwnas.study.configuration import reference_sample
from hwnas.tasks.task import image_task
from hwnas.typing import FloatArray

FOLDER = Path(__file__).resolve().parents[2] / "docs/figures"
COLUMNS = ("proxy", "space", "dataset", "split", "networks", "kendall")
BATCH = 64
DATASETS = ["cifar10", "cifar100", "ImageNet16-120"]
Row = tuple[str, str, str, str, int, float]


def whole_space(split: str) -> Iterator[Row]:
    """Rank all live cells of NAS-Bench-201."""
    for row in hwnas.rank("nasbench201", DATASETS, split=split).to_dataframe().to_dict("records"):
        if row["score"] in proxy_names():
            yield (
                row["score"], "nasbench201", row["dataset"], split, row["n"] - row["failed"],
                row["kendall"],
            )  # fmt: skip


def sample(path: str, space_name: str, dataset: str) -> Iterator[Row]:
    """Rank what a table of score_sample.py has."""
    space = named_space(space_name)
    with np.load(path, allow_pickle=False) as table:
        truth = require_facet(space, Truth)
        split = truth.splits[0]
        known = truth.accuracies(dataset, split)
        accuracies = np.array([known.get(text, np.nan) for text in table["archs"].tolist()])
        for column in table.files:
            kind, _, name = column.partition(".")
            if kind == "first":
                both = np.isfinite(accuracies) & np.isfinite(table[column])
                tau = kendall(directed(name, table[column][both]), accuracies[both])
                yield name, space_name, dataset, split, int(both.sum()), tau


def directed(name: str, scores: FloatArray) -> FloatArray:
    """Turn scores so that larger ones promise more."""
    (proxy,) = make_proxies([name])
    return scores if proxy.direction == "maximize" else -scores


def passes(networks: int) -> Iterator[tuple[str, str]]:
    """Time each proxy alone, the building of what it scores included."""
    torch.set_num_threads(1)
    space, task, cpu = NasBench201(), image_task(10, (3, 32, 32)), torch.device("cpu")
    cells = reference_sample(space, networks, 0)
    for name in proxy_names():
        source = ProxyValues(space, tuple(make_proxies([name])), task, BATCH, fresh=True)
        source.compute(cells[0], source.columns)  # warm up
        ratios = []
        for cell in cells:
            model = space.build(cell)
            whole = seconds(partial(one_pass, model, BATCH, 0, cpu), cpu)
            ratios.append(seconds(partial(source.compute, cell, source.columns), cpu) / whole)
        yield name, f"{np.median(ratios):.2g}"


def write(name: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    FOLDER.mkdir(exist_ok=True)
    with (FOLDER / name).open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        for row in rows:
            writer.writerow(row)
            file.flush()
    print(FOLDER / name)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tables", nargs="*", metavar="FILE:SPACE:DATASETS")
    parser.add_argument("--passes", type=int, metavar="N")
    arguments = parser.parse_args()
    if arguments.passes is not None:
        write("passes.csv", ("proxy", "passes"), passes(arguments.passes))
        return
    rows = [row for split in ("validation", "full-test") for row in whole_space(split)]
    for text in arguments.tables:
        path, space, datasets = text.rsplit(":", 2)
        rows += [row for dataset in datasets.split(",") for row in sample(path, space, dataset)]
    write("proxies.csv", COLUMNS, [(*row[:-1], f"{row[-1]:.3f}") for row in sorted(rows)])


if __name__ == "__main__":
    main()
