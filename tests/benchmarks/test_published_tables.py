"""The papers' tables stand beside ours, and fit on 80 columns."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.ranking import epsilon_tables
from benchmarks.ranking.choice_of_n import EPSILON_2, choices_of_n
from benchmarks.ranking.columns import beside, show
from benchmarks.ranking.published_tables import SCORED_NOW, main
from hwnas.spaces.nasbench201 import Cell


@pytest.mark.usefixtures("data_folder")
@pytest.mark.parametrize(
    ("name", "published"),
    [
        ("vkdnw-4", "-0.090"),
        ("epsilon-1", "50 (59)"),
    ],
)
def test_a_table_fits_on_80_columns(
    name: str, published: str, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["--table", name])
    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == name
    assert max(map(len, lines)) <= 80
    assert any(published in line for line in lines)


@pytest.mark.usefixtures("data_folder")
def test_choices_of_few_runs_fit_too(capsys: pytest.CaptureFixture[str]) -> None:
    choices_of_n(EPSILON_2, ("full-test",), runs=2)
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert "(94.20)" in next(line for line in lines if line.startswith("optimal"))


@pytest.mark.usefixtures("data_folder")
@pytest.mark.parametrize("name", list(SCORED_NOW))
def test_ablations_of_a_few_cells(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    space, cells, truth = epsilon_tables._drawn(3)
    monkeypatch.setattr(epsilon_tables, "_IMAGES", 4)
    monkeypatch.setattr(epsilon_tables, "_drawn", lambda _: (space, cells, truth))
    main(["--table", name, "--cells", "3"])
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert "with a value" in lines[5]
    published = {"epsilon-6": "59% ", "epsilon-9": "(98%)", "epsilon-11": "(59%)"}[name]
    assert published.strip() in lines[6]
    assert "– (" in lines[6]  # the best tenth of three cells has no coefficient


@pytest.mark.usefixtures("data_folder")
def test_epsilon_of_two_constants_is_the_proxys(monkeypatch: pytest.MonkeyPatch) -> None:
    from hwnas.proxies import make_proxies
    from hwnas.proxies.engine.scoring import score_network
    from hwnas.spaces.nasbench201 import NasBench201
    from hwnas.tasks.catalogue import get_task

    space, cell = NasBench201(), Cell(("skip_connect", "none", "nor_conv_1x1") * 2)
    monkeypatch.setattr(epsilon_tables, "_drawn", lambda _: (space, [cell], np.array([90.0])))
    grey = epsilon_tables._inputs()["grey scale"]
    proxies = make_proxies(["epsilon:published=true,batch_size=32"])
    task = get_task("cifar10")
    known = score_network(space.build(cell, task), task, proxies, batch_size=2, seed=0)
    (found,) = epsilon_tables._of_images(grey, 1)
    assert found == pytest.approx(known[proxies[0].name].value, rel=1e-4)


def test_figures_are_written_without_a_leading_zero() -> None:
    assert beside(0.5, -0.25, 2) == ".50 (-.25)"
    assert beside(0.0, 10.0, 0) == "0 (10)"


def test_a_table_without_rows_has_its_headers(capsys: pytest.CaptureFixture[str]) -> None:
    show("nothing", ["score", "KT"], [])
    assert capsys.readouterr().out.splitlines()[-1] == "score  KT"
