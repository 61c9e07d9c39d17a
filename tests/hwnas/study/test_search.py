from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import hwnas
from hwnas import registry
from hwnas.costs.measured import RuntimeCost
from hwnas.errors import DataFormatError, InvalidValueError
from hwnas.evaluation.sources import CostValues
from hwnas.measure.limits import Limits, within_memory
from hwnas.spaces.nasbench201 import NasBench201
from hwnas.study.configuration import bounded, limits_of, names_of_scores, without_scores
from hwnas.study.hosts import Folder
from hwnas.study.search import Search, make_evaluator
from hwnas.study.settings import LEARNED, SearchSettings, read_stored
from hwnas.study.worker import Worker, check_requirements


def test_settings_come_back_from_what_a_study_keeps() -> None:
    settings = SearchSettings(objectives=("params",), constraints=("params<=1e6",), seed=3)
    stored = read_stored(json.dumps(settings.identity()), "settings")
    assert SearchSettings.from_identity(stored) == settings


def test_scores_that_have_changed_are_not_mixed(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = SearchSettings(objectives=("hwnas-any", "hwnas-agg"))
    now = settings.identity()
    assert now["scores"] == {"hwnas-any": 2}
    assert SearchSettings.from_identity(json.loads(json.dumps(now))).identity()["scores"]
    settings.insist_on_scores_of(now)
    former = {k: v for k, v in now.items() if k != "scores"}
    joined = SimpleNamespace(settings=former)
    host = SimpleNamespace(join=lambda *_: joined)
    monkeypatch.setattr("hwnas.study.worker.get_host", lambda _: host)
    with pytest.raises(InvalidValueError, match=r"\{\} there and \{'hwnas-any': 2\} here"):
        Worker("sqlite:///absent.db").run()
    same = SearchSettings(objectives=("hwnas-agg", "params"))
    assert "scores" not in same.identity()
    assert SearchSettings(objectives=(LEARNED,)).identity()["scores"] == {
        "hwnas-any": 2,
        "hwnas-model": 4,
    }
    same.insist_on_scores_of(same.identity())


@pytest.mark.parametrize("stored", [None, 3, "", "[1]", "{", "[" * 100_000])
def test_what_is_no_json_object_is_damage(stored: Any) -> None:
    with pytest.raises(DataFormatError, match="must keep its settings as a JSON object"):
        read_stored(stored, "settings")


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({"other": 1}, "of this version of hwnas"),
        ({"batch": "8"}, "must have int as batch, but got '8'"),
        ({"seed": True}, "must have int as seed"),
        ({"costs": "count:macs"}, "must have a list of texts as costs"),
        ({"objectives": [1]}, "must have a list of texts as objectives"),
    ],
)
def test_damaged_settings_are_one_line(changed: dict[str, Any], text: str) -> None:
    with pytest.raises(InvalidValueError, match=text):
        SearchSettings.from_identity({**SearchSettings().identity(), **changed})


def test_damaged_requirements_are_one_line() -> None:
    here = {"versions": {"torch": "2"}, "costs": {}}
    check_requirements(here, here)
    with pytest.raises(DataFormatError, match="must say costs in its requirements"):
        check_requirements({"versions": {}, "costs": "none"}, here)


def test_a_slip_in_a_constraint_is_told_before_anything_is_scored(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("hwnas.study.search.make_objectives", pytest.fail)
    with pytest.raises(InvalidValueError, match="constraint"):
        make_evaluator(SearchSettings(constraints=("params=<5",)))


class Own(NasBench201):
    """A space of the user's."""


def test_networks_of_ones_own_are_bounded_by_default() -> None:
    for name in registry.BUILT_IN["spaces"]:
        space: Any = registry.make("spaces", name)
        assert limits_of(space) is None, name
    assert limits_of(NasBench201(), 5) == Limits(5)
    assert limits_of(Own()) == Limits()
    assert bounded(Own()) == within_memory(Limits())
    assert bounded(NasBench201()) is None
    with pytest.raises(InvalidValueError, match="must be above 0"):
        limits_of(Own(), 0)
    found = make_evaluator(
        SearchSettings(objectives=("params",), costs=("torch:cpu:latency",)), limit_seconds=7
    )
    (cost,) = (o.source.cost for o in found.objectives if isinstance(o.source, CostValues))
    assert isinstance(cost, RuntimeCost)
    assert (found.limits, cost.limits) == (within_memory(Limits(7)), Limits(7))


class Scored(Exception):  # noqa: N818
    """A network was scored."""


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"constraints": ("params<=1",)}, "none keeps params"),
        ({"constraints": ("hwnas-aggg>=1",)}, "Did you mean 'hwnas-agg'"),
        ({"constraints": ("latencyy<=5",)}, "latencyy"),
        ({"space": "mobilenetv3", "reduced": "16,2"}, "size of their images themselves"),
    ],
    ids=["bound", "score", "name", "reduced"],
)
@pytest.mark.filterwarnings("ignore:.*that were looked at keep")
def test_what_cannot_be_met_is_told_before_a_score_has_its_sample_scored(
    settings: dict[str, Any], text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def score(*_: object, **__: object) -> None:
        raise Scored

    monkeypatch.setattr("hwnas.study.configuration.score_objective", score)
    usual: dict[str, Any] = {
        "space": "nasbench-macro", "objectives": ("hwnas-agg",), "costs": ("count:flops",)
    }  # fmt: skip
    with pytest.raises(InvalidValueError, match=text):
        Search(SearchSettings(**(usual | settings)), Folder(tmp_path)).run()
    with pytest.raises(Scored):
        Search(SearchSettings(**usual), Folder(tmp_path)).run()


@pytest.mark.parametrize("text", ["params<=1", "latencyy<=5"])
@pytest.mark.filterwarnings("ignore:.*that were looked at keep")
def test_what_cannot_be_met_is_told_before_a_score_is_chosen(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def choose(*_: object, **__: object) -> None:
        raise Scored

    monkeypatch.setattr("hwnas.study.search.default_score", choose)
    usual: dict[str, Any] = {
        "space": "nasbench-macro", "objectives": (), "costs": ("count:flops",), "trials": 1
    }  # fmt: skip
    with pytest.raises(InvalidValueError, match=text.partition("<")[0]):
        Search(SearchSettings(**usual, constraints=(text,)), Folder(tmp_path)).run()
    for fine in ((), ("jacob_cov+params>=0",)):
        with pytest.raises(Scored):
            Search(SearchSettings(**usual, constraints=fine), Folder(tmp_path)).run()


@pytest.mark.parametrize(
    "given",
    [{"objectives": ["params", "flops"]}, {"objectives": "naswot", "constraints": "naswot>=1"}],
    ids=["counts", "bound"],
)
def test_scores_alone_are_searched(given: dict[str, Any]) -> None:
    front = hwnas.search(costs=(), trials=3, batch_size=8, **given)
    assert len(front.evaluated) == 3
    assert front.members


def test_a_bound_on_a_score_waits_for_it_and_one_on_a_count_does_not() -> None:
    texts = ["hwnas-agg>=3", "naswot>=1", "params<=5", "latency<=2"]
    scores = names_of_scores(["hwnas-agg", "naswot", "params"])
    assert without_scores(texts, scores) == ["params<=5", "latency<=2"]
    assert without_scores(texts, names_of_scores(["hwnas-agg"])) == texts[1:]
