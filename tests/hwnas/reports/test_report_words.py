"""What a report says in words, and that its command makes the search that it is of."""

from __future__ import annotations

import shlex
from dataclasses import asdict, replace
from typing import Any

import pytest
import typer

from hwnas.cli.search import search
from hwnas.pareto import ObjectiveInfo, ParetoSet
from hwnas.pareto.progress import hypervolumes
from hwnas.reports.report_table import pieces, short_count
from hwnas.reports.report_words import command, how_found, in_words, meanings, setting, title
from hwnas.study.search import Search
from hwnas.study.settings import SearchSettings


def front(*names: str, **provenance: Any) -> ParetoSet:
    infos = [ObjectiveInfo(name, "", "maximize") for name in names]
    return ParetoSet.from_values(
        ["a"], ["a"], [[1.0] * len(names)], infos, space="mine", provenance=provenance
    )


def test_the_title_names_the_objectives() -> None:
    assert title(front("a")) == "a"
    assert title(front("a", "b")) == "a against b"
    assert title(front("a", "b", "c")) == "a, b and c"


def test_the_setting_names_data_and_devices() -> None:
    costs = [
        {"objective": "b", "device": "cpu/onnxruntime-1.32.0/float32/b1/t1"},
        {"objective": "c", "device": "any/count/float32/b1"},
    ]
    said = setting(front("a", costs=costs, dataset={"name": "cifar10"}))
    assert said == (
        "1 architecture on the front, for cifar10, on cpu, ONNX Runtime 1.32.0, float32, batch 1, "
        "1 thread"
    )


def test_each_objective_is_explained() -> None:
    costs = [
        {"objective": "m", "device": "cpu/onnxruntime-1/float32/b1", "fingerprint": "here"},
        {"objective": "t", "device": "edgegpu/unknown/float32/b1"},
    ]
    said = dict(meanings(front("az-nas", "naswot", "m", "t", "own", costs=costs)))
    assert "expressivity, progressivity, trainability, flops" in said["az-nas"]
    assert "no training" in said["naswot"]
    assert said["m"].startswith("measured on cpu, ONNX Runtime 1")
    assert "known for edgegpu" in said["t"]
    assert "own" not in said


@pytest.mark.parametrize(
    ("known", "said"),
    [
        ({}, ""),
        ({"m_p95": 2.0}, " Below a value: p95, which 95 of 100 runs did not exceed."),
        (
            {"m_low": 1.0, "m_high": 2.0, "m_p95": 2.0},
            " Below a value: the 95 % interval of the median and p95, which 95 of 100 runs did not "
            "exceed.",
        ),
    ],
)
def test_what_stands_below_a_measured_cost_is_explained(known: dict[str, float], said: str) -> None:
    cost = {"objective": "m", "device": "cpu/onnxruntime-1/float32/b1", "fingerprint": "here"}
    found = front("m", costs=[cost])
    (member,) = found.members
    found = replace(found, members=(replace(member, attributes=known),))
    assert dict(meanings(found))["m"] == (
        f"measured on cpu, ONNX Runtime 1, float32, batch 1.{said}"
    )


def test_how_the_front_was_found() -> None:
    settings = {"sampler": "nsga2", "constraints": ["params<=1e6"]}
    said = how_found(front("a", evaluated=1234, settings=settings))
    assert said.startswith("Of 1,234 architectures proposed by nsga2, no other")
    assert said.endswith("within params<=1e6.")


@pytest.mark.parametrize(
    "settings",
    [
        SearchSettings(trials=9),
        SearchSettings(
            space="fbnet", dataset="cifar100", objectives=("az-nas", "naswot"),
            costs=("count:macs",), constraints=("params<=1e6", "flops<=2e9"), sampler="tpe",
            trials=7, batch=4, seed=3,
        ),
        SearchSettings(
            labels="a folder/labels.csv#0123456789abcdef", reduced="16,4",
            transfer=("nasbench201:labels=9,truth='b.csv#0123456789abcdef'", "fbnet"),
        ),
    ],
)  # fmt: skip
def test_the_command_makes_the_same_search(
    settings: SearchSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[SearchSettings] = []

    def run(self: Search) -> None:
        made.append(self.settings)
        raise KeyboardInterrupt

    monkeypatch.setattr(Search, "run", run)
    words = shlex.split(command({"settings": asdict(settings)}))
    app = typer.Typer(add_completion=False)
    app.command()(search)
    with pytest.raises((SystemExit, KeyboardInterrupt, typer.Abort)):
        app(words[2:])
    assert made == [settings]


def test_a_function_is_named_with_its_sizes_as_a_command_takes_them() -> None:
    settings = {"dataset": "1x96x96:7", "trials": 4}
    text = "my_nets:build:input=1x96x96,classes=7,source=v1abc"
    sizes = "--model my_nets:build --input 1,96,96 --classes 7"
    assert command({"settings": {"space": text, **settings}}) == f"hwnas search {sizes} --trials 4"
    tokens = "my_nets:build:input=32,classes=3,vocabulary=50"
    said = command({"settings": {"space": tokens, **settings}})
    assert said == "hwnas search --model my_nets:build --input 32 --classes 3,50 --trials 4"
    mine = {"space": text, **settings, "dataset": "mine.npz", "images": "mine.npz"}
    said = command({"settings": mine})
    assert said == "hwnas search --model my_nets:build --trials 4 --images mine.npz"
    unlabelled = {"space": text, **settings, "images": "mine.npz"}
    assert sizes in command({"settings": unlabelled})


def test_values_are_words_and_not_json() -> None:
    assert in_words({"a_b": [1, 2.5], "c": None, "d": True}) == "a b 1, 2.5; d yes"
    assert in_words([]) == ""


@pytest.mark.parametrize(
    ("arch", "parts"),
    [
        ("|a~0|+|b~0|c~1|", ("|a~0|+", "|b~0|", "c~1|")),
        ('{"depth": 2, "width": 3}', ('{"depth": 2, ', '"width": 3}')),
        ("plain", ("plain",)),
    ],
)
def test_architectures_break_between_operations(arch: str, parts: tuple[str, ...]) -> None:
    assert pieces(arch) == parts
    assert "".join(pieces(arch)) == arch


def test_counts_have_three_digits() -> None:
    assert [short_count(n) for n in (7, 999, 1_234_567, 2.5e9)] == ["7", "999", "1.23 M", "2.5 G"]


def test_the_hypervolume_grows_with_the_front() -> None:
    infos = [ObjectiveInfo("gain", "", "maximize"), ObjectiveInfo("cost", "ms")]
    # Scaled losses: (1, 0), dominated, (0, 1), (0.5, 0.5): only the last has an area, of 1/4.
    values = [[0.0, 0.0], [0.0, 1.0], [2.0, 2.0], [1.0, 1.0]]
    found = hypervolumes(
        ParetoSet.from_values(list("abcd"), list("abcd"), values, infos, space="mine")
    )
    assert found == [(1, 0.0), (3, 0.0), (4, 0.25)]
