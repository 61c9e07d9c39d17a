from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

nni = pytest.importorskip("nni", reason="the extra nni is not installed")

import nni.nas.hub.pytorch as hub  # noqa: E402
from nni.nas.execution import SequentialExecutionEngine  # noqa: E402
from nni.nas.nn.pytorch import LayerChoice, ModelSpace  # noqa: E402
from nni.nas.profiler import Profiler  # noqa: E402
from nni.nas.space import SimplifiedModelSpace  # noqa: E402
from nni.nas.strategy import Random, RegularizedEvolution  # noqa: E402
from nni.nas.strategy.middleware import Chain, Filter  # noqa: E402
from torch import nn  # noqa: E402

from hwnas.errors import DataNotFoundError, InvalidValueError, UnknownNameError  # noqa: E402
from hwnas.pareto import ParetoSet  # noqa: E402
from hwnas.spaces.nasbench201 import NasBench201  # noqa: E402
from hwnas.tasks.task import image_task  # noqa: E402
from hwnas_nni import (  # noqa: E402
    CostFilter,
    CostProfiler,
    ObjectivesEvaluator,
    ParetoStrategy,
    ProxyEvaluator,
    codec_of,
)

SMALL = image_task(10, (3, 32, 32), "small")


@nni.trace
class Tiny(ModelSpace):
    """One convolution: an export to ONNX takes seconds of any larger network."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = LayerChoice([nn.Conv2d(3, 10, 3), nn.Conv2d(3, 10, 1)], label="layer")

    def forward(self, x: Any) -> Any:
        return self.layer(x).mean((2, 3))


def run(strategy: Any, space: Any, evaluator: Any, n: int) -> Any:
    engine = SequentialExecutionEngine(max_model_count=n)
    strategy(SimplifiedModelSpace.from_model(space, evaluator), engine)
    return engine


def test_proxies_score_models_of_any_space_without_training() -> None:
    evaluator = ProxyEvaluator(["params", "naswot"], batch_size=4)
    assert evaluator.objectives == {"params": "maximize", "naswot": "maximize"}
    strategy = ParetoStrategy(evaluator.objectives, strategy="random-search")
    space = hub.ShuffleNetSpace(num_labels=10, channel_search=False)
    run(strategy, space, evaluator, 2)
    codec = codec_of(SimplifiedModelSpace.from_model(space))
    for record in strategy._records:
        network = codec.space.build(record.arch)
        assert record.metrics["params"] == sum(p.numel() for p in network.parameters())
        assert record.metrics["naswot"] > 0
        assert record.metrics["default"] == record.metrics["params"]


def test_a_proxy_without_a_value_says_why(caplog: pytest.LogCaptureFixture) -> None:
    run(Random(dedup=True), Tiny(), ProxyEvaluator(["params", "naswot"], batch_size=4), 1)
    (said,) = (r.getMessage() for r in caplog.records if r.name == "hwnas_nni.evaluator")
    assert said.startswith("naswot has no value: ")
    assert "ReLU" in said


def test_scores_depend_on_seed_and_sample_only() -> None:
    def scores(seed: int) -> list[Any]:
        evaluator = ProxyEvaluator(["naswot"], batch_size=4, seed=seed)
        strategy = ParetoStrategy(evaluator.objectives, strategy="random-search")
        run(strategy, hub.NasBench201(4, 1), evaluator, 3)
        return [record.metrics for record in strategy._records]

    assert scores(0) == scores(0) != scores(1)


def test_objectives_of_tables_under_a_constraint(data_folder: Path) -> None:
    evaluator = ObjectivesEvaluator(
        objectives=["layers"],
        costs=["hw-nas-bench:edgegpu:energy"],
        constraints=["hw-nas-bench:edgegpu:latency<=5"],
        data_folder=str(data_folder),
    )
    strategy = ParetoStrategy(evaluator.objectives, strategy="random-search")
    run(strategy, hub.NasBench201(), evaluator, 40)
    front = ParetoSet.from_nni(type("Experiment", (), {"strategy": strategy})())
    assert front.provenance["infeasible"] > 0
    assert len(front) > 0
    assert str(front.space) == repr(NasBench201())
    table = CostProfiler(hub.NasBench201(), "hw-nas-bench:edgegpu:latency", data_folder=data_folder)
    codec = codec_of(SimplifiedModelSpace.from_model(hub.NasBench201()))
    for member in front.members:
        sample = codec.to_sample(codec.space.parse(member.arch))
        assert table.profile(sample) <= 5


def test_objectives_see_the_images_that_are_named() -> None:
    evaluator = ObjectivesEvaluator(objectives=["naswot"], images="photos")
    with pytest.raises(UnknownNameError, match="photos"):
        run(ParetoStrategy({"naswot": "maximize"}), hub.NasBench201(), evaluator, 1)


def test_only_known_spaces_have_objectives_by_name() -> None:
    evaluator = ObjectivesEvaluator(objectives=["layers"])
    strategy = ParetoStrategy({"layers": "maximize"})
    with pytest.raises(InvalidValueError, match="use ProxyEvaluator"):
        run(strategy, hub.ShuffleNetSpace(), evaluator, 1)


def test_a_profiler_counts_what_the_model_has() -> None:
    space = hub.MobileNetV3Space(num_labels=10)
    profiler = CostProfiler(space, "count:params", SMALL)
    assert isinstance(profiler, Profiler)
    codec = codec_of(space)
    sample = codec.to_sample(codec.space.sample(np.random.default_rng(0)))
    network = space.freeze(sample)
    assert isinstance(network, nn.Module)
    assert profiler.profile(sample) == sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize(
    "nni_strategy",
    [
        lambda: Random(seed=0),
        lambda: RegularizedEvolution(population_size=3, sample_size=2, seed=0),
    ],
    ids=["Random", "RegularizedEvolution"],
)
def test_thresholds_hold_for_our_strategies_and_for_those_of_nni(nni_strategy: Any) -> None:
    space = hub.NasBench201(4, 1)
    profiler = CostProfiler(space, "count:params", SMALL)
    bound = CostFilter(profiler, upper=12_000)
    evaluator = ProxyEvaluator(["layers"], batch_size=2)
    ours = ParetoStrategy(evaluator.objectives, filters=[bound])
    ours_engine = run(ours, hub.NasBench201(4, 1), evaluator, 8)
    theirs = Chain(nni_strategy(), Filter(bound))
    theirs_engine = run(theirs, hub.NasBench201(4, 1), ProxyEvaluator(["layers"], batch_size=2), 8)
    for engine in (ours_engine, theirs_engine):
        models = list(engine.list_models())
        assert len(models) == 8
        assert all(profiler.profile(model.sample) <= 12_000 for model in models)
    # The bound is one: some cells have more.
    cells = [codec_of(space).space.sample(np.random.default_rng(i)) for i in range(40)]
    costs = [profiler.profile(codec_of(space).to_sample(cell)) for cell in cells]
    assert min(costs) < 12_000 < max(costs)


@pytest.mark.parametrize(
    ("cost", "unit"),
    [
        ("count:macs", ""),
        ("count:any:peak_memory", "bytes"),
        ("onnxruntime:cpu:latency:max_seconds=0.05", "ms"),
    ],
)
def test_costs_of_a_space_that_is_only_known_to_nni(cost: str, unit: str) -> None:
    space = Tiny()
    profiler = CostProfiler(space, cost, SMALL)
    codec = codec_of(space)
    sample = codec.to_sample(codec.space.sample(np.random.default_rng(0)))
    value = profiler.profile(sample)
    assert profiler.cost.unit == unit
    assert value > 0
    assert CostFilter(profiler, upper=1e12).accepts(sample)
    assert not CostFilter(profiler, upper=0.0).accepts(sample)


def test_bad_settings_are_refused(tmp_path: Path) -> None:
    space = hub.NasBench201(4, 1)
    with pytest.raises(InvalidValueError, match="neither"):
        CostFilter(CostProfiler(space, "count:params"))
    with pytest.raises(DataNotFoundError):
        CostProfiler(hub.NasBench201(), "hw-nas-bench:edgegpu:energy", data_folder=tmp_path)
    with pytest.raises(LookupError, match="naswot"):
        ProxyEvaluator(["nasvot"])
