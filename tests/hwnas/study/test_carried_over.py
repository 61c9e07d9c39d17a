from __future__ import annotations

import numpy as np
import pytest

from hwnas.errors import InvalidValueError
from hwnas.ranking.metrics import spearman
from hwnas.spaces.nasbench201 import Cell, NasBench201
from hwnas.spaces.transnasbench101.micro import MicroArch, TransNasMicro
from hwnas.study.accuracy_learning import learn_from
from hwnas.study.carried_over import CarriedOver
from hwnas.study.configuration import reference_sample
from hwnas.study.sample import Labelled, Sample
from hwnas.typing import FloatArray
from tests.hwnas.strategies.depth_and_widths import made_space

CELLS, MICRO = NasBench201(), TransNasMicro()


def convolutions(cell: Cell) -> float:
    weights = {"nor_conv_3x3": 2.0, "nor_conv_1x1": 1.0}
    return sum(weights.get(operation, 0.0) for _, operation in cell.edges())


def cells(n: int, seed: int) -> tuple[Sample[Cell], FloatArray]:
    archs = reference_sample(CELLS, n, seed)
    rng = np.random.default_rng(seed)
    truth = np.array([convolutions(cell) for cell in archs])
    columns = {"naswot": rng.normal(size=n), "params": np.exp(truth + 0.1 * rng.normal(size=n))}
    return Sample(CELLS, archs, columns), 60 + 3 * truth


def micro(n: int) -> tuple[Sample[MicroArch], FloatArray]:
    archs = reference_sample(MICRO, n, 3)
    rng = np.random.default_rng(9)
    truth = np.array([convolutions(arch.cell) for arch in archs])
    columns = {"naswot": rng.normal(size=n), "params": truth**3 + 0.1 * rng.normal(size=n)}
    return Sample(MICRO, archs, columns), 30 + truth


def test_what_proxies_mean_in_one_space_they_mean_in_another() -> None:
    there, accuracies = cells(120, 0)
    here, truth = micro(80)
    score = CarriedOver.of(Labelled(there, accuracies), here)
    assert spearman(score(here.archs, here.columns), truth) > 0.95
    one = score(here.archs[:1], {name: values[:1] for name, values in here.columns.items()})
    np.testing.assert_allclose(one, score(here.archs, here.columns)[:1], atol=1e-9)


def test_labels_of_another_space_help_a_few_of_this_one() -> None:
    there, accuracies = cells(120, 0)
    here, truth = micro(80)
    # The only proxy that both have says nothing: the paths of the graphs do.
    there, here = (Sample(s.space, s.archs, {"naswot": s.columns["naswot"]}) for s in (there, here))
    rows, rest = np.arange(5), np.arange(5, 80)
    alone = learn_from(here, rows, truth[rows])
    helped = learn_from(here, rows, truth[rows], elsewhere=[Labelled(there, accuracies)])
    assert spearman(helped.means[rest], truth[rest]) > 0.7
    assert spearman(helped.means[rest], truth[rest]) > spearman(alone.means[rest], truth[rest])


def test_labels_that_mislead_are_outvoted() -> None:
    there, accuracies = cells(120, 0)
    here, truth = cells(100, 7)
    rows, rest = np.arange(40), np.arange(40, 100)
    found = learn_from(here, rows, truth[rows], elsewhere=[Labelled(there, -accuracies + 100)])
    assert spearman(found.means[rest], truth[rest]) > 0.8


def test_spaces_must_have_a_proxy_in_common() -> None:
    there, accuracies = cells(20, 0)
    here, _ = micro(20)
    alone = Sample(here.space, here.archs, {"synflow": here.columns["params"]})
    with pytest.raises(InvalidValueError, match="`transfer` must have a proxy in common"):
        CarriedOver.of(Labelled(there, accuracies), alone)


def test_a_space_without_graphs_learns_from_one_that_has_them() -> None:
    there, accuracies = cells(60, 0)
    space = made_space()
    archs = reference_sample(space, 30, 0)
    truth = np.array([float(len(arch.chosen)) for arch in archs])
    here = Sample(space, archs, {"params": np.exp(truth), "naswot": np.sin(np.arange(30))})
    score = CarriedOver.of(Labelled(there, accuracies), here)
    assert spearman(score(archs, here.columns), truth) > 0.8


def test_choices_that_vary_in_one_sample_alone_are_left_out() -> None:
    space = made_space()
    archs = sorted(reference_sample(space, 60, 0), key=lambda arch: len(arch.chosen))
    truth = np.array([float(len(arch.chosen)) for arch in archs])
    few = [i for i in range(60) if truth[i] == truth[0]][:8]
    columns = {"params": np.exp(truth) + np.arange(60)}
    there = Sample(space, [archs[i] for i in few], {"params": columns["params"][few]})
    score = CarriedOver.of(
        Labelled(there, np.arange(60.0, 60 + len(few))), Sample(space, archs, columns)
    )
    assert score(archs, columns).shape == (60,)
