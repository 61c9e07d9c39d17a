"""NATS-Bench's accuracies, read from small files that are written by the published format."""

from __future__ import annotations

import bz2
import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hwnas.data.natsbench_size import FILE, SizeAccuracies, SizeFigures
from hwnas.errors import DataFormatError, DataNotFoundError, UnknownNameError
from hwnas.rank_study.study import RankSettings, RankStudy
from hwnas.spaces.facets import RankFigures, Truth, facet
from hwnas.spaces.natsbench_size import CELL, NatsBenchSize

SPACE = NatsBenchSize()
PARTS = {
    "cifar10-valid": ("x-valid", "ori-test"),
    "cifar10": ("ori-test",),
    "cifar100": ("x-valid", "x-test", "ori-test"),
    "ImageNet16-120": ("x-valid", "x-test", "ori-test"),
}


def training(dataset: str, epochs: int, last: float) -> dict[str, Any]:
    """Write what `nats_bench.api_utils.ResultsCount.state_dict` has, with its keys and types.

    The accuracies grow to the last one. Seeds are text here and whole numbers in the keys, and
    times are numpy's, as in the published trainings.
    """
    names = [f"{part}@{epoch}" for part in PARTS[dataset] for epoch in range(epochs)]
    grown = {
        f"{part}@{epoch}": np.float64(last - place - (epochs - 1 - epoch) / 10)
        for place, part in enumerate(PARTS[dataset])
        for epoch in range(epochs)
    }
    each = OrderedDict((i, 1.0) for i in range(epochs))
    config = {"name": "infer.shape.tiny", "channels": "8:8:8:8:8", "arch_str": "8:8:8:8:8",
              "genotype": CELL, "class_num": 10}  # fmt: skip
    return {
        "name": dataset, "net_state_dict": None, "train_acc1es": each, "train_acc5es": each,
        "train_losses": each, "train_times": OrderedDict((i, np.float64(9.5)) for i in each),
        "arch_config": config, "params": 0.1, "flop": 2.5, "seed": "0777", "epochs": epochs,
        "latency": [np.float64(0.01)], "eval_names": list(PARTS[dataset]), "eval_acc1es": grown,
        "eval_times": dict.fromkeys(names, np.float64(0.7)),
        "eval_losses": dict.fromkeys(names, 1.0),
    }  # fmt: skip


def results(number: int, text: str, epochs: int, lasts: dict[str, list[float]]) -> dict[str, Any]:
    seeds = {dataset: [777 + i for i in range(len(values))] for dataset, values in lasts.items()}
    runs = {
        (dataset, seed): training(dataset, epochs, last)
        for dataset, values in lasts.items()
        for seed, last in zip(seeds[dataset], values, strict=True)
    }
    return {"arch_index": number, "arch_str": text, "all_results": runs, "dataset_seed": seeds,
            "clear_net_done": True}  # fmt: skip


def written(folder: Path, number: int, text: str, first: float) -> Path:
    """Write the file of a network, whose trainings of 90 epochs end above those of 12."""
    lasts = {dataset: [first + 10 * i] for i, dataset in enumerate(PARTS)}
    lasts["cifar100"].append(first + 22)
    content = OrderedDict(
        (f"{epochs:02d}", results(number, text, epochs, {d: [v - 90 + epochs for v in values]
                                                       for d, values in lasts.items()}))
        for epochs in (1, 12, 90)
    )  # fmt: skip
    path = (folder / FILE).with_name(f"{number:06d}.pickle.pbz2")
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(bz2.compress(pickle.dumps(content, 4)))
    return path


def test_means_of_trainings_of_90_epochs(tmp_path: Path) -> None:
    written(tmp_path, 0, "8:8:8:8:8", 40)
    written(tmp_path, 9, "8:8:8:16:16", 41)
    truth: Any = facet(SPACE, Truth)
    assert isinstance(truth, SizeAccuracies)
    # The first set of a training ends at its last accuracy, each other one a point lower.
    for dataset, split, first in (
        ("cifar10", "validation", 40),
        ("cifar10", "test", 50),
        ("cifar100", "validation", 61),
        ("cifar100", "test", 60),
        ("ImageNet16-120", "validation", 70),
        ("ImageNet16-120", "test", 69),
    ):
        found = truth.accuracies(dataset, split, tmp_path)
        assert dict(found) == {"8:8:8:8:8": first, "8:8:8:16:16": first + 1}
        assert len(found) == 2
        assert "8:8:8:8:16" not in found


def test_a_sample_is_ranked_by_what_there_is(tmp_path: Path) -> None:
    for number, arch in zip(range(5), SPACE, strict=False):
        written(tmp_path, number, str(arch), 40 + number)
    settings = RankSettings(
        "natsbench-size", ("cifar100",), proxies=("params",), sample=4, data=tmp_path
    )
    (ranked,) = RankStudy.prepare(settings).run(print)
    (row,) = ranked.rows
    assert (row["n"], row["spearman"]) == (4, pytest.approx(1))


def test_the_survey_is_printed_beside_the_whole_space_alone() -> None:
    figures: Any = facet(SPACE, RankFigures)
    assert isinstance(figures, SizeFigures)
    row = {"n": 32_768, "score": "zen", "dataset": "ImageNet16-120", "split": "test"}
    assert figures.published(row, None) == {"published_best_accuracy": 46.27}
    for other in ({"n": 100}, {"split": "validation"}, {"dataset": "cifar10"}, {"score": "meco"}):
        assert figures.published(row | other, None) == {}
    assert figures.published(row, 50) == {}


def test_what_there_is_not(tmp_path: Path) -> None:
    truth = SizeAccuracies(SPACE)
    with pytest.raises(DataNotFoundError, match="NATS-sss-v1_0-50262-simple"):
        truth.accuracies("cifar10", "test", tmp_path)
    for dataset, split in (("ImageNet", "test"), ("cifar10", "train")):
        with pytest.raises(UnknownNameError):
            truth.accuracies(dataset, split, tmp_path)


def damage(content: Any, what: str) -> Any:
    runs = content["90"]["all_results"]
    values = runs["cifar100", 777]["eval_acc1es"]
    match what:
        case "other network":
            content["90"]["arch_str"] = "8:8:8:8:16"
        case "no epochs":
            del content["90"]
        case "no training":
            content["90"]["dataset_seed"]["cifar100"] = []
        case "another seed":
            content["90"]["dataset_seed"]["cifar100"] = [1]
        case "beyond 100":
            values["x-test@89"] = 101.0
        case "no number":
            values["x-test@89"] = "high"
        case "no list":
            content["90"]["all_results"] = 7
        case "no dict":
            return [1]
    return content


@pytest.mark.parametrize(
    "what",
    ["other network", "no epochs", "no training", "another seed", "beyond 100", "no number",
     "no list", "no dict"],
)  # fmt: skip
def test_what_is_damaged_is_one_line(what: str, tmp_path: Path) -> None:
    path = written(tmp_path, 0, "8:8:8:8:8", 40)
    content = damage(pickle.loads(bz2.decompress(path.read_bytes())), what)
    path.write_bytes(bz2.compress(pickle.dumps(content, 4)))
    found = SizeAccuracies(SPACE).accuracies("cifar100", "test", tmp_path)
    with pytest.raises(DataFormatError, match="hwnas data verify natsbench-size") as raised:
        found["8:8:8:8:8"]
    assert "\n" not in str(raised.value)
