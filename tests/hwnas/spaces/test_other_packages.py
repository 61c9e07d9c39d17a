"""A space of another package, one file and one registration, and one that is registered nowhere."""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hwnas import registry
from hwnas.cli import main
from hwnas.errors import HwnasError
from hwnas.pareto import ObjectiveInfo, ParetoSet
from hwnas.spaces.facets import RankFigures, facet
from hwnas.spaces.space_text import _named, named_space, read_space, written_space

SPACE = """
import itertools
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from torch import nn

from hwnas.errors import InvalidArchitectureError, unknown_name
from hwnas.graphs.arch_graph import chain_graph
from hwnas.spaces.choices import Declared, Options
from hwnas.spaces.facets import Drawing, Truth
from hwnas.tasks.catalogue import get_task
from hwnas.tasks.task import image_classes

WIDTHS = (2, 3, 5, 8)


@dataclass(frozen=True)
class Net:
    widths: tuple[int, ...]

    def __str__(self):
        return "-".join(map(str, self.widths))


class Accuracies:
    splits = ("held-out",)

    def __init__(self, space):
        self.space = space

    def accuracies(self, dataset, split, folder=None):
        if dataset != "cifar10":
            raise unknown_name("dataset", dataset, ["cifar10"])
        return {str(net): 50.0 + sum(net.widths) for net in self.space}


class Bars:
    def __init__(self, space):
        pass

    def draw(self, arch):
        return f'<svg xmlns="http://www.w3.org/2000/svg" class="bars"><title>{arch}</title></svg>'


@dataclass(frozen=True)
class TinyNets(Declared[Net]):
    depth: int = 3
    name: str = field(default="tiny-nets", init=False, repr=False)
    facets: ClassVar = {Truth: Accuracies, Drawing: "tiny_nets:Bars"}

    def make(self, choose):
        return Net(tuple(choose(f"width_{i}", Options(WIDTHS)) for i in range(self.depth)))

    def values(self, arch):
        return {f"width_{i}": width for i, width in enumerate(arch.widths)}

    def parse(self, text):
        try:
            return self.decode(dict(zip(self.parameters, text.split("-"), strict=True)))
        except ValueError as error:
            raise InvalidArchitectureError(f"{text!r} must be {self.depth} widths: {error}")

    def __len__(self):
        return len(WIDTHS) ** self.depth

    def __iter__(self):
        return (Net(widths) for widths in itertools.product(WIDTHS, repeat=self.depth))

    @property
    def default_task(self):
        return get_task("cifar10")

    def build(self, arch, task=None):
        classes, (channels, *_) = image_classes(task or self.default_task, self.name)
        layers = []
        for width in arch.widths:
            layers += [nn.Conv2d(channels, width, 3, stride=2), nn.BatchNorm2d(width), nn.ReLU()]
            channels = width
        pool = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, classes)]
        return nn.Sequential(*layers, *pool)

    def to_graph(self, arch):
        return chain_graph(f"conv:{width}" for width in arch.widths)

    @property
    def graph_labels(self):
        return ("conv", *map(str, WIDTHS))
"""


@pytest.fixture
def _file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Put the file into the folder that the user works in."""
    (tmp_path / "tiny_nets.py").write_text(SPACE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    registry.targets.cache_clear()
    yield
    registry.targets.cache_clear()
    _named.clear()
    sys.modules.pop("tiny_nets", None)


@pytest.fixture
def _package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, _file: None) -> None:
    """Register it under a name with a hyphen."""
    about = tmp_path / "tiny-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[hwnas.spaces]\ntiny-nets = tiny_nets:TinyNets\n")
    monkeypatch.syspath_prepend(str(tmp_path))


def run(*arguments: Any) -> int:
    with pytest.raises(SystemExit) as end:
        main([*map(str, arguments)])
    assert isinstance(end.value.code, int)
    return end.value.code


def rows(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


@pytest.mark.usefixtures("_package")
def test_it_is_listed_and_ranked_by_its_own_accuracies(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("spaces", "--json") == 0
    assert {r["space"]: r["architectures"] for r in rows(capsys)}["tiny-nets"] == 64
    ranking = ("rank", "--space", "tiny-nets", "--proxy", "params", "--sample", 20, "--json")
    assert run(*ranking, "--labels", 10) == 0
    params, learned = rows(capsys)
    # Wider layers have more parameters, and the accuracies above grow with each width.
    assert params["kendall"] > 0.7
    assert (params["n"], params["networks"], params["split"]) == (20, 20, "held-out")
    assert "live" not in params
    # No features of its own: one flag a choice, and no ranking named after another's features.
    assert (learned["score"], learned["n"]) == ("hwnas-model", 10)
    assert facet(read_space("tiny-nets"), RankFigures) is None
    assert run(*ranking[:-1], "--split", "test") == 2
    assert "`split` must be one of held-out" in capsys.readouterr().err
    assert run(*ranking[:-1], "--dataset", "cifar100") == 2
    assert "`dataset` must be one of cifar10" in capsys.readouterr().err
    assert run("rank", "--space", "tiny-nets") == 2
    assert "--sample 256" in capsys.readouterr().err


@pytest.mark.usefixtures("_package")
def test_it_is_searched_drawn_exported_and_opened_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    search = ("search", "--space", "tiny-nets", "--objective", "params", "--cost", "count:flops")
    assert run(*search, "--sampler", "random", "--trials", 8, "--out", "found") == 0
    front = ParetoSet.load("found/front.json")
    assert front.space == "TinyNets(depth=3)"
    assert len(front.evaluated) == 8
    page = Path("found/report.html").read_text(encoding="utf-8")
    assert page.count('class="bars"') == len(front)
    assert run("pareto", "show", "found") == 0
    assert run("pareto", "export", "found", "--onnx", "--out", "again") == 0
    assert len(list(Path("again/onnx").glob("*.onnx"))) == len(front)
    measured = "\n".join(
        ["arch,flops", *(f"{m.arch},{7 + i}" for i, m in enumerate(front.members))]
    )
    Path("flops.csv").write_text(measured + "\n")
    verify = ("pareto", "verify", "found", "--measurements", "flops.csv", "--objective", "flops")
    assert run(*verify, "--out", "checked") == 0
    # A front that names the space by its registered name, too.
    ParetoSet.from_values(
        [front.members[0].arch], ["k"], [[1.0]], [ObjectiveInfo("x", "", "minimize")],
        space="tiny-nets",
    ).save(tmp_path / "named.json")  # fmt: skip
    capsys.readouterr()
    assert run("pareto", "export", "named.json", "--report", "--out", "named") == 0
    assert 'class="bars"' in Path("named/report.html").read_text(encoding="utf-8")


@pytest.mark.usefixtures("_package")
@pytest.mark.parametrize("method", ["transfer", "brp-nas", "mlp"])
def test_predictors_are_trained_on_it(method: str, capsys: pytest.CaptureFixture[str]) -> None:
    nets = list(itertools.product((2, 3, 5, 8), repeat=3))
    cost = {"-".join(map(str, n)): 1.0 + sum(n) for n in nets}
    lines = [f"{text},{value}" for text, value in cost.items()]
    train = [line for i, line in enumerate(lines) if i % 3]
    Path("train.csv").write_text("\n".join(["arch,latency_ms", *train]) + "\n")
    Path("rest.csv").write_text("\n".join(["arch,latency_ms", *lines[::3]]) + "\n")
    command = ("predict", "train", "--space", "tiny-nets", "--measurements", "train.csv")
    assert run(*command, "--method", method, "--out", "lab.npz") == 0
    capsys.readouterr()
    assert run("predict", "evaluate", "lab.npz", "--measurements", "rest.csv", "--json") == 0
    (row,) = rows(capsys)
    assert row["spearman"] > 0.9


@pytest.mark.usefixtures("_file")
def test_a_space_that_is_registered_nowhere_is_named_by_its_class(
    capsys: pytest.CaptureFixture[str],
) -> None:
    name = "tiny_nets:TinyNets"
    search = ("search", "--objective", "params", "--cost", "count:flops", "--trials", 4)
    assert run(*search, "--sampler", "random", "--space", f"{name}:depth=2", "--out", "found") == 0
    front = ParetoSet.load("found/front.json")
    assert front.space == f"{name}(depth=2)"
    # In a new process nothing is imported because a file says so.
    _named.clear()
    del sys.modules["tiny_nets"]
    capsys.readouterr()
    assert run("pareto", "show", "found") == 0
    assert run("pareto", "export", "found", "--onnx", "--out", "no") == 2
    assert f"add --space {name}" in capsys.readouterr().err
    assert "tiny_nets" not in sys.modules
    assert run("pareto", "export", "found", "--out", "all", "--space", name) == 0
    assert len(list(Path("all/onnx").glob("*.onnx"))) == len(front)
    assert 'class="bars"' in Path("all/report.html").read_text(encoding="utf-8")
    assert run("rank", "--space", name, "--sample", 6, "--proxy", "params", "--json") == 0


@pytest.mark.usefixtures("_file")
def test_a_predictor_of_a_space_that_is_registered_nowhere(
    capsys: pytest.CaptureFixture[str],
) -> None:
    name, file = "tiny_nets:TinyNets", "lab.npz"
    lines = [f"{a}-{b}-{c},{1 + a + b + c}" for a, b, c in itertools.product((2, 3, 5), repeat=3)]
    Path("lab.csv").write_text("\n".join(["arch,latency_ms", *lines]) + "\n")
    train = ("predict", "train", "--measurements", "lab.csv", "--method", "mlp", "--out", file)
    assert run(*train, "--space", name) == 0
    search = ("search", "--objective", "params", "--cost", f"predictor:{file}", "--trials", 4)
    assert run(*search, "--sampler", "random", "--space", name) == 0
    _named.clear()
    capsys.readouterr()
    assert run("predict", "export", file, "--arch", "2-2-2", "--json") == 2
    assert "named by --space MODULE:CLASS" in capsys.readouterr().err
    assert run("predict", "export", file, "--arch", "2-2-2", "--json", "--space", name) == 0
    assert rows(capsys)[0]["architecture"] == "2-2-2"


@pytest.mark.usefixtures("_file")
def test_accuracies_of_a_file_take_the_place_of_the_spaces(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nets = ["2-2-2", "3-3-3", "5-5-5", "8-8-8", "2-2-3"]
    lines = [f"{text},{90 - i}" for i, text in enumerate(nets[:4])]
    (tmp_path / "mine.csv").write_text("\n".join(["arch,accuracy", *lines, f"{nets[4]},"]) + "\n")
    rank = ("rank", "--space", "tiny_nets:TinyNets", "--truth", "mine.csv", "--proxy", "params")
    assert run(*rank, "--sample", 9, "--json") == 0
    (row,) = rows(capsys)
    # Only the four that have a value, and of these more parameters are worse.
    assert (row["n"], row["split"], row["kendall"]) == (4, "mine.csv", -1)
    scores = "".join(f"{text},{i}\n" for i, text in enumerate(nets))
    (tmp_path / "scores.csv").write_text(f"arch,params\n{scores}")
    assert run(*rank, "--scores", "scores.csv", "--json") == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out)["n"] == 4
    assert "1 architectures without a known accuracy were left out" in printed.err
    for wrong, message in (
        (["--split", "test"], "must not be given with --truth"),
        (["--dataset", "cifar10", "--dataset", "cifar100"], "must not be given with --truth"),
    ):
        assert run(*rank, "--sample", 9, *wrong) == 2
        assert message in capsys.readouterr().err
    (tmp_path / "mine.csv").write_text("arch,accuracy\n2-2-2,1\n3-3-3,101\n")
    assert run(*rank, "--sample", 9) == 2
    assert "in percent, 0 to 100, but has 101" in capsys.readouterr().err
    (tmp_path / "mine.csv").write_text("arch,accuracy\n2-2-2,91\n")
    assert run(*rank, "--sample", 9) == 2
    assert "of at least two architectures, but has 1" in capsys.readouterr().err


def test_a_space_without_accuracies_says_how_they_are_given(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run("rank", "--space", "fbnet", "--sample", 4) == 2
    assert "fbnet has no facet Truth: give --truth FILE.csv" in capsys.readouterr().err


@pytest.mark.usefixtures("_file")
def test_texts_of_spaces_are_read_back_and_name_what_is_missing() -> None:
    space = named_space("tiny_nets:TinyNets(depth=2)")
    assert written_space(space) == "tiny_nets:TinyNets(depth=2)"
    assert read_space(written_space(space)) == space
    assert read_space("TinyNets(depth=2)") == space
    _named.clear()
    with pytest.raises(HwnasError, match=r"named by --space MODULE:CLASS"):
        read_space("TinyNets(depth=2)")
    for text, message in (
        ("tiny_nets:Absent", "has no 'Absent'"),
        ("no_such_module:Space", "no module 'no_such_module'"),
        ("tiny_nets:TinyNets:width=2", "must be its own"),
        ("tiny_nets:TinyNets(depth=__import__('os'))", "`space` must be"),
    ):
        with pytest.raises(HwnasError, match=message):
            named_space(text)
