"""Counts and scores as features of every predictor."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import rankdata, spearmanr

from hwnas import registry
from hwnas.costs.counters import CounterCost
from hwnas.costs.source import CostRequest
from hwnas.errors import DataNotFoundError, HwnasError, InvalidValueError, UnknownNameError
from hwnas.evaluation.sources import Effort
from hwnas.spaces.fbnet import FBNet
from hwnas.spaces.nasbench201 import NasBench201
from hwnas.tasks.catalogue import get_task
from hwnas.testing import draw
from hwnas.typing import FloatArray
from hwnas_predictors import encodings, extra_columns
from hwnas_predictors.binary_relation import BinaryRelationPredictor
from hwnas_predictors.brp_nas import GcnPredictor, MlpPredictor
from hwnas_predictors.encodings import (
    additive_counts,
    counted_networks,
    one_hot,
    one_hot_names,
)
from hwnas_predictors.extra_columns import ExtraColumns
from hwnas_predictors.help import HelpPredictor
from hwnas_predictors.transfer import TransferPredictor

NETWORK: dict[str, Any] = {"hidden": 32, "layers": 2, "epochs": 60, "rate": 5e-3}
KINDS: list[tuple[Any, dict[str, Any]]] = [
    (TransferPredictor, {}),
    (HelpPredictor, {"hidden": 32, "rounds": 400, "query": 64}),
    (GcnPredictor, {**NETWORK, "epochs": 120}),
    (MlpPredictor, NETWORK),
    (BinaryRelationPredictor, {**NETWORK, "epochs": 120}),
]


def classes(space: NasBench201, n: int) -> list[Any]:
    """Draw different networks."""
    return list({space.canonical_key(arch): arch for arch in draw(space, n)}.values())


def chance(space: NasBench201, archs: list[Any]) -> dict[str, float]:
    """Score by chance, which nothing but the score itself tells."""
    values = np.random.default_rng(5).normal(size=len(archs)).tolist()
    return {space.canonical_key(arch): v for arch, v in zip(archs, values, strict=True)}


@pytest.mark.parametrize("power", [0.0, 0.75])
def test_counts_become_what_costs_become(space: NasBench201, power: float) -> None:
    archs = draw(space, 50)
    columns = ExtraColumns.fit(space, archs, ["macs", "layers"], "cifar10", power=power)
    macs = CounterCost(space, "macs").predict(archs)
    ratios = macs / np.exp(np.log(macs).mean())
    wanted = np.log(ratios) if power == 0 else (ratios**power - 1) / power
    found = columns(archs)
    np.testing.assert_allclose(found[:, 0], wanted / wanted.std(), rtol=1e-9)
    np.testing.assert_allclose(found.std(axis=0), 1.0)


def test_counts_that_add_up_are_summed(monkeypatch: pytest.MonkeyPatch) -> None:
    space = FBNet()
    each = np.random.default_rng(0).integers(1, 1000, len(one_hot_names(space)))
    counted: list[int] = []

    def summed(space: Any, archs: Any, dataset: Any, metrics: Any) -> FloatArray:
        assert dataset == get_task("cifar100")
        counted.append(len(archs))
        return np.log(np.outer(one_hot(space, archs) @ each, np.ones(len(metrics))))

    for module in (encodings, extra_columns):
        monkeypatch.setattr(module, "counter_columns", summed)
    archs = draw(space, 300)
    columns = ExtraColumns.fit(space, archs, ["macs"], "cifar100")
    assert counted == [counted_networks(space)]
    new = draw(space, 4, seed=7)
    wanted = (
        summed(space, new, get_task("cifar100"), ("macs",)) - columns.centres
    ) / columns.spreads
    np.testing.assert_allclose(columns(new), wanted, atol=1e-9)
    # In a file the sums need no network.
    arrays = columns.to_arrays()
    loaded = ExtraColumns.from_arrays(space, "cifar100", 0.0, arrays)
    counted.clear()
    np.testing.assert_array_equal(loaded(new), columns(new))
    assert not counted
    # A few networks are counted themselves.
    assert not len(ExtraColumns.fit(space, new, ["macs"], "cifar100").weights)
    assert counted == [4]


@pytest.mark.parametrize("metric", ["macs", "layers"])
def test_counts_of_cells_do_not_add_up(space: NasBench201, metric: Any) -> None:
    assert additive_counts(space, get_task("cifar10"), [metric]) is None


@pytest.mark.parametrize(("share", "interaction"), [(0.0, 0.0), (0.001, 0.0), (0.0, 1e-6)])
def test_counts_add_up_exactly_and_everywhere_or_not_at_all(
    monkeypatch: pytest.MonkeyPatch, share: float, interaction: float
) -> None:
    class Uneven(FBNet):
        """Draws all but one operation of the first layer once in a thousand."""

        def sample(self, rng: np.random.Generator) -> Any:
            arch = FBNet().sample(rng)
            if share and rng.random() > share:
                arch = replace(arch, operations=("k3_e1", *arch.operations[1:]))
            return arch

    space = Uneven()
    each = np.random.default_rng(0).integers(1, 1000, len(one_hot_names(space)))

    def summed(space: Any, archs: Any, dataset: Any, metrics: Any) -> FloatArray:
        flags = one_hot(space, archs)
        counts = flags @ each + interaction * flags[:, 3] * flags[:, -3] * 1e3
        assert dataset == get_task("cifar100")
        logs: FloatArray = np.log(np.outer(counts, np.ones(len(metrics))))
        return logs

    monkeypatch.setattr(encodings, "counter_columns", summed)
    found = additive_counts(space, get_task("cifar100"), ["macs"])
    assert (found is not None) == (share == interaction == 0)


def test_few_candidates_are_built_and_no_fewer_than_are_asked_for(
    space: NasBench201, monkeypatch: pytest.MonkeyPatch
) -> None:
    archs = classes(space, 400)
    model = TransferPredictor(space, extra=["macs"], dataset="cifar100")
    # Where dead operations are pruned they are drawn twice.
    model.fit(archs[:12], np.arange(1.0, 13.0), dead_operations=["executed"])
    described: list[int] = []
    blocks = TransferPredictor._blocks
    cheap = TransferPredictor(space, extra=["macs"])
    cheap.fit(archs[:12], np.arange(1.0, 13.0), dead_operations=["executed"])

    def counted(_: Any, archs: Any, view: Any) -> Any:
        described.append(len(archs))
        return blocks(cheap, archs, view)

    monkeypatch.setattr(TransferPredictor, "_blocks", counted)
    every = list(space)
    # Those that cannot be chosen do not crowd out the few that can: the first 1,000 here.
    cells = [cell for cell in every if cell.is_live() and space.is_valid(cell)][:900]
    dead = [cell for cell in every if not cell.is_live()][:1000]
    assert len(model.choose_support(5, archs=[*dead, *cells])) == 5
    assert described == [150]
    assert len(model.choose_support(160, archs=cells)) == 160
    cheap.choose_support(5, archs=cells)
    assert described[-1] == 900


def test_scores_become_places(space: NasBench201) -> None:
    archs = classes(space, 400)
    known = {k: np.exp(9 * v) for k, v in chance(space, archs).items()}
    keys = [space.canonical_key(arch) for arch in archs]
    known[keys[3]], known[keys[4]] = np.nan, np.inf
    columns = ExtraColumns.fit(space, archs, ["mine"], "cifar10", {"mine": known})
    found = columns(archs)[:, 0]
    assert found[3] == 0.0
    assert found[4] == found.max() == pytest.approx(np.sqrt(3))
    rest = np.setdiff1d(np.arange(len(archs)), [3, 4])
    values = np.array([known[keys[i]] for i in rest])
    share = (rankdata(values) - 0.5) / len(values)
    # Between two quantiles the place follows the score, not its rank.
    np.testing.assert_allclose(found[rest], np.sqrt(3) * (2 * share - 1), atol=0.13)
    assert (np.diff(found[rest][np.argsort(values)]) >= 0).all()


def test_equal_scores_have_their_mean_place(space: NasBench201) -> None:
    archs = classes(space, 1000)
    keys = [space.canonical_key(arch) for arch in archs]
    low = len(keys) * 3 // 5
    tied = {key: max(i - low, 0.0) for i, key in enumerate(keys)}
    found = ExtraColumns.fit(space, archs, ["a"], "cifar10", {"a": tied})(archs)[:, 0]
    np.testing.assert_allclose(found[:low], np.sqrt(3) * (2 * 0.3 - 1), atol=0.15)
    assert abs(found.mean()) < 0.15
    same = dict.fromkeys(keys, 7.0)
    columns = ExtraColumns.fit(space, archs, ["a"], "cifar10", {"a": same})
    assert not columns(archs).any()


def test_a_proxy_without_any_score_is_refused(space: NasBench201) -> None:
    archs = classes(space, 30)
    none = dict.fromkeys(map(space.canonical_key, archs), np.nan)
    with pytest.raises(InvalidValueError, match="a has none of the"):
        ExtraColumns.fit(space, archs, ["a"], "cifar10", {"a": none})


def test_counts_are_of_the_data_set_that_is_named(space: NasBench201) -> None:
    archs = draw(space, 12)
    columns = ExtraColumns.fit(space, archs, ["macs"], "ImageNet16-120")
    macs = CounterCost(space, "macs", get_task("ImageNet16-120")).predict(archs)
    assert columns.centres[0] == pytest.approx(np.log(macs).mean())
    wanted = np.log(macs) - np.log(macs).mean()
    np.testing.assert_allclose(columns(archs)[:, 0], wanted / wanted.std(), atol=1e-9)
    loaded = ExtraColumns.from_arrays(space, "ImageNet16-120", 0.0, columns.to_arrays())
    np.testing.assert_array_equal(loaded(archs), columns(archs))
    assert columns.builds_networks
    assert not ExtraColumns.fit(space, archs, ["macs"], "cifar10").builds_networks
    one = [archs[0], archs[0]]
    assert not ExtraColumns.fit(space, one, ["macs"], "cifar10")(one).any()


def test_the_user_s_scores_come_first(space: NasBench201) -> None:
    archs = classes(space, 60)
    mine = chance(space, archs)
    names = ["params", "jacob_cov", "macs", "naswot"]
    columns = ExtraColumns.fit(space, archs, names, "cifar10", dict.fromkeys(names[:2], mine))
    assert columns.names == ("macs", "params", "jacob_cov", "naswot")
    assert columns.own == ("params", "jacob_cov")
    found = columns(archs)
    np.testing.assert_array_equal(found[:, 1], found[:, 2])
    order = np.argsort([mine[space.canonical_key(arch)] for arch in archs])
    assert (np.diff(found[order, 1]) >= 0).all()


def test_the_transfer_model_has_a_block_of_them(space: NasBench201) -> None:
    archs = classes(space, 60)
    model = TransferPredictor(space, extra=["mine"], scores={"mine": chance(space, archs)})
    model.fit(archs, np.arange(1.0, len(archs) + 1))
    *_, extra, every = model._blocks(archs)
    np.testing.assert_array_equal(extra, model._extra_columns(archs))
    np.testing.assert_array_equal(every[:, -1:], extra)
    assert np.ptp(extra) > 1


@pytest.mark.parametrize(("kind", "settings"), KINDS)
def test_what_has_no_cost_needs_no_score(
    space: NasBench201, kind: Any, settings: dict[str, Any]
) -> None:
    archs = classes(space, 40)
    known = chance(space, archs[:-1])
    costs = np.append(np.arange(1.0, len(archs)), np.nan)
    few = {k: min(v, 5) if k in ("epochs", "rounds") else v for k, v in settings.items()}
    model = kind(space, extra=["mine"], scores={"mine": known}, **few).fit(archs, costs)
    assert model.unscored(archs) == archs[-1:]
    with pytest.raises(DataNotFoundError, match="`scores` must hold mine of every"):
        model.predict(archs)


def test_what_was_set_after_the_fit_changes_neither_costs_nor_file(
    space: NasBench201, tmp_path: Path
) -> None:
    archs = draw(space, 60)
    costs: FloatArray = CounterCost(space, "macs").predict(archs) / 1e6
    for kind, settings in ((TransferPredictor, {}), (MlpPredictor, NETWORK)):
        model: Any = kind(space, extra=["macs"], **settings).fit(archs, costs)
        found = model.predict(archs)
        for extra in ([], ["params", "macs"], ["macss"]):
            model.set_params(extra=extra)
            model.save(tmp_path / "p.npz")
            again: Any = kind.load(tmp_path / "p.npz")
            np.testing.assert_array_equal(again.predict(archs), found)
        with pytest.raises(UnknownNameError, match="macss"):
            model.fit(archs, costs)
        np.testing.assert_array_equal(model.predict(archs), found)


def test_a_loaded_predictor_looks_shipped_scores_up_again(
    space: NasBench201, tmp_path: Path
) -> None:
    archs = draw(space, 20)
    costs = np.arange(1.0, 21.0)
    TransferPredictor(space, extra=["jacob_cov"]).fit(archs, costs).save(tmp_path / "p.npz")
    loaded: Any = TransferPredictor.load(tmp_path / "p.npz")
    with pytest.raises(DataNotFoundError, match="and cifar100: score"):
        loaded.set_params(dataset="cifar100").fit(archs, costs)


def test_networks_that_are_built_are_no_look_up(space: NasBench201) -> None:
    archs = draw(space, 12)
    costs = np.arange(1.0, 13.0)
    cheap = TransferPredictor(space, extra=["macs"]).fit(archs, costs)
    built = TransferPredictor(space, extra=["macs"], dataset="cifar100").fit(archs, costs)
    assert (cheap.effort, built.effort) == (Effort.LOOKUP, Effort.SCORE)
    assert TransferPredictor(space).fit(archs, costs).effort is Effort.LOOKUP


def test_scores_of_a_part_choose_from_it_and_cannot_be_searched_with(
    space: NasBench201, tmp_path: Path
) -> None:
    archs = classes(space, 400)
    known = chance(space, archs)
    model = TransferPredictor(space, extra=["mine"], scores={"mine": known})
    model.fit(archs, np.arange(1.0, len(archs) + 1)).save(tmp_path / "p.npz")
    chosen = model.choose_support(8)
    assert {space.canonical_key(arch) for arch in chosen} <= set(known)
    source = registry.load("costs", "predictor")()
    request = CostRequest(space, None, None, get_task("cifar10"))
    with pytest.raises(InvalidValueError, match="has no zero-cost scores of"):
        source.open(tmp_path / "p.npz", request)
    whole = TransferPredictor(space, extra=["jacob_cov"]).fit(archs, np.ones(len(archs)))
    whole.save(tmp_path / "whole.npz")
    assert source.open(tmp_path / "whole.npz", request).predict(archs[:2]).shape == (2,)


@pytest.mark.parametrize(("kind", "settings"), KINDS)
def test_predictors_learn_from_a_score_and_keep_it(
    space: NasBench201, kind: Any, settings: dict[str, Any], tmp_path: Path
) -> None:
    archs = classes(space, 200)
    known = chance(space, archs)
    costs = np.exp(0.5 * np.array([known[space.canonical_key(arch)] for arch in archs]))
    if kind is HelpPredictor:
        settings = {**settings, "references": archs[:10]}
    model = kind(space, extra=["mine"], scores={"mine": known}, **settings)
    found = model.fit(archs[:100], costs[:100]).predict(archs[100:])
    assert abs(spearmanr(found, costs[100:]).statistic) > 0.8
    model.save(tmp_path / "p.npz")
    loaded = kind.load(tmp_path / "p.npz")
    np.testing.assert_array_equal(loaded.predict(archs[100:]), found)
    assert list(loaded.extra) == ["mine"]
    again = loaded.fit(archs[:100], costs[:100]).predict(archs[100:])
    np.testing.assert_array_equal(again, found)


@pytest.mark.parametrize("kind", [TransferPredictor, MlpPredictor])
def test_counts_and_shipped_scores_are_found_by_name(
    space: NasBench201, kind: Any, tmp_path: Path
) -> None:
    archs = draw(space, 80)
    costs: FloatArray = CounterCost(space, "macs").predict(archs) / 1e6
    model = kind(space, extra=("macs", "jacob_cov")).fit(archs, costs)
    model.save(tmp_path / "p.npz")
    loaded = kind.load(tmp_path / "p.npz")
    whole = list(space)[::50]
    np.testing.assert_array_equal(loaded.predict(whole), model.predict(whole))
    assert list(loaded.extra) == ["macs", "jacob_cov"]
    assert loaded.scores is None  # they are not the user's


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"extra": "macs"}, "`extra` must list different names"),
        ({"extra": ["macs", "macs"]}, "`extra` must list different names"),
        ({"extra": None}, "`extra` must list different names"),
        ({"extra": [1]}, "`extra` must list different names"),
        ({"extra": ["mac"]}, "`extra` must be one of .*Did you mean 'macs'"),
        ({"extra": ["macs"], "dataset": "cifar"}, "`dataset` must be one of"),
        ({"extra": ["a"], "scores": {"a": {}}}, "`scores` must hold a of every architecture"),
    ],
)
def test_unknown_columns_are_refused(
    space: NasBench201, settings: dict[str, Any], text: str
) -> None:
    archs = draw(space, 5)
    with pytest.raises(HwnasError, match=text):
        TransferPredictor(space, **settings).fit(archs, [1.0, 2.0, 3.0, 4.0, 5.0])


def test_scores_that_are_not_shipped_must_be_given() -> None:
    space = NasBench201(cells=1)
    with pytest.raises(DataNotFoundError, match="hwnas score --out"):
        ExtraColumns.fit(space, draw(space, 5), ["jacob_cov"], "cifar10")


def test_networks_without_a_score_stay_unknown_in_a_file(
    space: NasBench201, tmp_path: Path
) -> None:
    archs = classes(space, 40)
    a, b = chance(space, archs[:30]), chance(space, archs)
    model = TransferPredictor(space, extra=["a", "b"], scores={"a": a, "b": b})
    model.fit(archs[:30], np.arange(1.0, 31.0)).save(tmp_path / "p.npz")
    for known in (model, TransferPredictor[Any].load(tmp_path / "p.npz")):
        with pytest.raises(DataNotFoundError, match="`scores` must hold"):
            known.predict(archs[35:])
