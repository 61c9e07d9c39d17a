"""How well costs of a space of one's own are predicted from few measurements, without a pool.

Measures random networks of a space on this host, and learns from ten of them what the others take:
Spearman's correlation, the share within 10 % and the coverage of 90 % intervals on networks that
were not learned from, beside ridge regression of log costs on how often each choice is made and on
the choices (penalties chosen by leaving one out), and a line over MACs. ``chosen`` supports are
those of `TransferPredictor.choose_support` among the measured networks. In a folder with the
``my_nets.py`` of docs/own_network.md::

    SPACE=my_nets:build:input=1x96x96,classes=7
    python -m benchmarks.predictors.own_space measure $SPACE ort.csv --cost onnxruntime:cpu:latency
    python -m benchmarks.predictors.own_space judge $SPACE ort.csv --samples 10 20

A measurement that was interrupted goes on from its file, and measures again what failed.
"""

from __future__ import annotations

import argparse
import csv
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.predictors.transfer import judge
from hwnas.costs.source import make_cost
from hwnas.files.csv_table import architecture_of
from hwnas.spaces.space_text import named_space
from hwnas.typing import FloatArray, SearchSpace
from hwnas_predictors.encodings import one_hot
from hwnas_predictors.features import ArchFeatures
from hwnas_predictors.transfer import TransferPredictor

NAMES = ("chosen", "random", "counts", "choices", "MACs")
_TOGETHER = 8


def drawn(space: SearchSpace[Any], n: int) -> list[Any]:
    """Draw `n` architectures of different networks."""
    rng, found = np.random.default_rng(7), dict[str, Any]()
    while len(found) < n:
        arch = space.sample(rng)
        if space.is_valid(arch):
            found.setdefault(space.canonical_key(arch), arch)
    return list(found.values())


def read(space: SearchSpace[Any], path: Path) -> tuple[list[Any], FloatArray]:
    """Read architectures in the order of their first rows, and the costs of their last ones.

    Costs are NaN where the measurement failed.
    """
    with path.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    costs = {space.parse(architecture_of(row)): float(row["latency_ms"]) for row in rows}
    return list(costs), np.array(list(costs.values()))


def read_measured(space: SearchSpace[Any], path: Path) -> tuple[list[Any], FloatArray]:
    """Read those that have a cost."""
    archs, costs = read(space, path)
    known = np.isfinite(costs)
    return [arch for arch, flag in zip(archs, known, strict=True) if flag], costs[known]


def measure(space: SearchSpace[Any], path: Path, wanted: Sequence[Any], spec: str) -> None:
    """Measure those that the file has no cost of."""
    known = set(read_measured(space, path)[0]) if path.exists() else set()
    cost: Any = make_cost(spec, space, space.default_task)
    left = [arch for arch in wanted if arch not in known]
    with path.open("a", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        if not path.stat().st_size:
            writer.writerow(["architecture", "latency_ms"])
        for i in range(0, len(left), _TOGETHER):
            part = left[i : i + _TOGETHER]
            values = (found.value for found in cost.measure_all(part))
            writer.writerows([str(a), v] for a, v in zip(part, values, strict=True))
            stream.flush()


def ridge(features: FloatArray, rows: Sequence[int], costs: FloatArray) -> FloatArray:
    from sklearn.linear_model import RidgeCV

    model = RidgeCV(np.logspace(-3, 3, 13)).fit(features[rows], np.log(costs[rows]))
    predicted: FloatArray = np.exp(model.predict(features))
    return predicted


def figures(model: Any, archs: list[Any], rows: Sequence[int], costs: FloatArray) -> list[float]:
    """Judge on what was not learned from."""
    rest = np.setdiff1d(np.arange(len(archs)), rows)
    if isinstance(model, np.ndarray):
        return judge(model[rest], None, costs[rest])
    others = [archs[i] for i in rest]
    interval = model.predict_interval(others, 0.9)
    rank, within, _ = judge(model.predict(others), None, costs[rest])
    low, high = interval.T
    return [rank, within, float(((low <= costs[rest]) & (costs[rest] <= high)).mean())]


def judge_all(space: SearchSpace[Any], path: Path, samples: list[int], repeats: int) -> None:
    archs, costs = read_measured(space, path)
    start = TransferPredictor.without_pool(space)
    features = start._require_prior()[0]
    assert features.network is not None
    macs = features.network(archs)[0][:, 0]  # in the model's transform
    macs = (start.power * macs + 1) ** (1 / start.power)
    choices = one_hot(space, archs)
    counts = choices @ ArchFeatures(space, ())._text_of_choice
    for n in samples:
        found: dict[str, list[list[float]]] = defaultdict(list)
        for seed in range(repeats):
            chosen = start.choose_support(n, seed, archs)
            picked = [archs.index(arch) for arch in chosen]
            rows = np.random.default_rng([seed, n]).choice(len(archs), n, replace=False).tolist()
            slope, intercept = np.polyfit(macs[rows], costs[rows], 1)
            models = (
                (start.adapt(chosen, costs[picked]), picked),
                (start.adapt([archs[i] for i in rows], costs[rows]), rows),
                (ridge(counts, rows, costs), rows),
                (ridge(choices, rows, costs), rows),
                (slope * macs + intercept, rows),
            )
            for name, (model, used) in zip(NAMES, models, strict=True):
                found[name].append(figures(model, archs, used, costs))
        for name, lines in found.items():
            means = " | ".join(f"{value:.3f}" for value in np.mean(lines, axis=0))
            print(f"| {path.stem} | {n} | {name} | {means} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("measure", "judge"))
    parser.add_argument("space")
    parser.add_argument("file", type=Path)
    parser.add_argument("--cost", default="onnxruntime:cpu:latency")
    parser.add_argument("-n", type=int, default=160)
    parser.add_argument("--samples", type=int, nargs="+", default=[10])
    parser.add_argument("--repeats", type=int, default=6)
    arguments = parser.parse_args()
    space = named_space(arguments.space)
    if arguments.what == "measure":
        measure(space, arguments.file, drawn(space, arguments.n), arguments.cost)
    else:
        print("| file | samples | method | Spearman | within 10 % | coverage |")
        judge_all(space, arguments.file, arguments.samples, arguments.repeats)


if __name__ == "__main__":
    main()
