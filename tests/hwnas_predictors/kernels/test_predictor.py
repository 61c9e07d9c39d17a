from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper

from hwnas.costs.source import make_cost
from hwnas.errors import DataFormatError, InvalidValueError
from hwnas.evaluation.cache import ResultCache
from hwnas.evaluation.evaluator import Evaluator
from hwnas.evaluation.objectives import cost_objective
from hwnas.spaces.nasbench201 import NasBench201
from hwnas.study.evaluated_problem import problem_of
from hwnas.tasks.catalogue import get_task
from hwnas.testing import CostModelContract
from hwnas.typing import DeviceKey, FloatArray
from hwnas_predictors.kernels.build import BuildSettings, build_predictor
from hwnas_predictors.kernels.features import NAMES
from hwnas_predictors.kernels.fused_graph import block_size, find_kernels
from hwnas_predictors.kernels.kernel import Kernel
from hwnas_predictors.kernels.predictor import Family, KernelPredictor
from hwnas_predictors.kernels.profiled_networks import NetworkTimer
from hwnas_predictors.kernels.regressors import Ridge
from hwnas_predictors.kernels.sampling import SamplingPlan
from hwnas_predictors.kernels.target import Target
from hwnas_predictors.kernels.whole_networks import WholeTimer
from hwnas_predictors.transfer import TransferPredictor
from tests.hwnas_predictors.kernels.conftest import network

RUNTIME = f"onnxruntime-{onnxruntime.__version__}"
SMALL = NasBench201(channels=8, cells=1)
CIFAR10 = get_task("cifar10")
EVERY = "|nor_conv_3x3~0|+|avg_pool_3x3~0|nor_conv_1x1~1|+|skip_connect~0|none~1|nor_conv_3x3~2|"
"""A cell of every operation."""


def per_byte(nanoseconds: float) -> Ridge:
    """A regressor whose latency is exactly so many ns for each byte."""
    weights = np.zeros(len(NAMES))
    weights[NAMES.index("bytes")] = 1.0
    zero = np.zeros(len(NAMES))
    return Ridge(zero, zero + 1, weights, np.array([np.log(nanoseconds * 1e-6)]))


def made(space: NasBench201 = SMALL) -> KernelPredictor[Any]:
    rng = np.random.default_rng(0)
    family = Family(space, CIFAR10)
    archs = [space.parse(EVERY)]
    archs += [space.sample(rng) for _ in range(30)]
    kinds = {k.kind for arch in archs for k in find_kernels(family.network(arch))}
    return KernelPredictor(
        regressors={kind: per_byte(1.0 + i) for i, kind in enumerate(sorted(kinds))},
        methods=dict.fromkeys(kinds, "ridge"),
        device=DeviceKey("cpu", RUNTIME, threads=1),
        block=block_size(),
        overhead_ms=0.25,
        kernel_overhead_ms=0.01,
        scale=1.5,
        relative_std=0.05,
        fingerprint="a CPU",
        family=family,
    )


@pytest.fixture(scope="module")
def predictor() -> KernelPredictor[Any]:
    return made()


class TestKernelPredictorAsACost(CostModelContract):
    samples = 3

    @pytest.fixture
    def space(self) -> NasBench201:
        return SMALL

    @pytest.fixture
    def cost(self, predictor: KernelPredictor[Any]) -> KernelPredictor[Any]:
        return predictor


def test_latency_is_overhead_plus_the_sum_over_kernels(predictor: KernelPredictor[Any]) -> None:
    model = network(
        [
            helper.make_node("Conv", ["x", "w"], ["a"], pads=[1, 1, 1, 1]),
            helper.make_node("Conv", ["a", "v"], ["y"], pads=[1, 1, 1, 1]),
        ],
        {"w": (16, 16, 3, 3), "v": (16, 16, 3, 3)},
    )
    kinds = sorted({k.kind for k in find_kernels(model)})
    two = replace(predictor, regressors={kind: per_byte(2.0) for kind in kinds})
    read_and_written = sum(k.configuration.bytes for k in find_kernels(model))
    assert two.predict_model(model) == pytest.approx(
        0.25 + 0.01 * len(find_kernels(model)) + 1.5 * 2e-6 * read_and_written
    )
    image = 4 * 16 * 12 * 10
    assert read_and_written >= 2 * (2 * image + 4 * 16 * 16 * 9)


def test_spread_and_interval_follow_the_prediction(predictor: KernelPredictor[Any]) -> None:
    archs = [SMALL.sample(np.random.default_rng(i)) for i in (1, 2)]
    values, stds = predictor.predict(archs, return_std=True)
    np.testing.assert_allclose(stds, 0.05 * values)
    np.testing.assert_allclose(predictor.predict_std(archs), stds)
    low, high = predictor.predict_interval(archs, 0.9).T
    np.testing.assert_allclose((high - low) / stds, 2 * 1.6448536, rtol=1e-6)


def test_calibration_finds_overheads_scale_and_spread(predictor: KernelPredictor[Any]) -> None:
    relus = [Kernel("Relu", "", ((1, c, 8, 8),), (1, c, 8, 8)) for c in (50, 1000, 3000, 6000)]
    numbers = ((0, 1), (1, 8), (2, 3), (3, 20), (1, 30), (2, 11))
    networks = [[relus[i]] * n for i, n in numbers]
    simple = replace(predictor, regressors={"relu": per_byte(2.0)})
    counts = np.array([len(network) for network in networks])
    sums = np.array([float(simple.kernel_ms(network).sum()) for network in networks])
    true = 0.5 + 0.02 * counts + 0.8 * sums
    for measured in (true, np.where(counts == 8, 10 * true, true)):
        # One measurement that went wrong changes nothing but the spread.
        found = simple.calibrate(networks, measured)
        assert found.overhead_ms == pytest.approx(0.5)
        assert found.kernel_overhead_ms == pytest.approx(0.02)
        assert found.scale == pytest.approx(0.8)
        predicted = [found.predict_kernels(network) for network in networks]
        np.testing.assert_allclose(predicted, true)
        error = float(np.sum((measured / true - 1) ** 2))
        assert found.relative_std == pytest.approx(np.sqrt(error / 6), abs=1e-9)
    # Two networks tell the scale and how far it is off, not the overheads.
    few = simple.calibrate(networks[:2], true[:2])
    assert (few.overhead_ms, few.kernel_overhead_ms) == (0, 0)
    assert few.relative_std > 0.01
    again = simple.held_out_ms(networks[:2], true[:2])
    scales = true[:2] / sums[:2]
    np.testing.assert_allclose(again, sums[:2] * scales[::-1])
    assert few.relative_std == pytest.approx(np.sqrt(np.mean((true[:2] / again - 1) ** 2)))
    small = float(simple.kernel_ms(relus[:1])[0])
    less = simple.calibrate(networks, 1.2 * sums - 0.1 * small * counts)
    assert less.kernel_overhead_ms == 0
    # From eight networks on, what was timed with each kernel may have been too much.
    more = [*networks, [relus[0]] * 5, [relus[1]] * 2]
    counts, sums = (np.concatenate(p) for p in ((counts, [5, 2]), (sums, [5 * small, 0.0])))
    sums[-1] = float(simple.kernel_ms(more[-1]).sum())
    less = simple.calibrate(more, 1.2 * sums - 0.1 * small * counts)
    assert less.kernel_overhead_ms == pytest.approx(-0.1 * small)
    assert less.scale == pytest.approx(1.2)
    free = replace(less, kernel_overhead_ms=-1e9)
    assert free.predict_kernels(more[0]) == pytest.approx(0.1 * sums[0])


def of_relus(predictor: KernelPredictor[Any]) -> tuple[KernelPredictor[Any], list[list[Kernel]]]:
    """Six networks of different sizes and numbers of kernels, and their predictor."""
    numbers = ((50, 1), (900, 8), (3000, 3), (50, 20), (900, 30), (3000, 11))
    networks = [[Kernel("Relu", "", ((1, c, 8, 8),), (1, c, 8, 8))] * n for c, n in numbers]
    return replace(predictor, regressors={"relu": per_byte(2.0)}), networks


def test_held_out_predictions_do_not_see_their_own_network(
    predictor: KernelPredictor[Any],
) -> None:
    simple, networks = of_relus(predictor)
    rng = np.random.default_rng(0)
    measured = np.array([simple.predict_kernels(network) for network in networks])
    measured *= np.exp(0.1 * rng.normal(size=6))
    found = simple.held_out_ms(networks, measured)
    spread = simple.calibrate(networks, measured).relative_std
    for i in range(6):
        changed = measured.copy()
        changed[i] *= 3
        again = simple.held_out_ms(networks, changed)
        assert again[i] == pytest.approx(found[i])
        assert simple.calibrate(networks, changed).relative_std > spread


def test_five_networks_tell_the_overheads_without_one_of_them(
    predictor: KernelPredictor[Any],
) -> None:
    simple, networks = of_relus(predictor)
    networks = networks[:5]
    measured = np.array([simple.predict_kernels(network) for network in networks])
    np.testing.assert_allclose(simple.held_out_ms(networks, measured), measured, rtol=1e-6)
    four = simple.held_out_ms(networks[:4], measured[:4])
    assert np.abs(four / measured[:4] - 1).max() > 0.1
    for wrong in (np.inf, np.nan, 0.0):
        with pytest.raises(InvalidValueError, match="latencies above 0"):
            simple.calibrate(networks[:2], np.array([1.0, wrong]))


def test_kernels_timed_alone_have_a_cost_of_their_images(
    predictor: KernelPredictor[Any], tmp_path: Path
) -> None:
    """Eight networks tell it, of runtimes whose kernels get their images from outside."""
    alone = replace(
        predictor,
        device=DeviceKey("cpu", "mnn-1", threads=1),
        regressors={"relu": per_byte(2.0), "relu nchwc": per_byte(9.0)},
        methods={"relu": "ridge", "relu nchwc": "ridge"},
    )
    drawn = np.random.default_rng(0).integers(1, 40, (9, 3))
    three = [
        Kernel("Relu", domain, ((1, c, 8, 8),), (1, c, 8, 8))
        for c, domain in ((500, ""), (400, "com.microsoft.nchwc"), (30, "com.microsoft.nchwc"))
    ]
    networks = [[k for k, n in zip(three, row, strict=True) for _ in range(n)] for row in drawn]
    moved = 2 * 64 * drawn @ [500, 400, 30] / 1e6
    sums = np.array([float(alone.kernel_ms(network).sum()) for network in networks])
    counts = drawn.sum(axis=1)
    true = 0.3 + 0.01 * counts + 1.1 * sums - 2.0 * moved
    assert (true > 0).all()
    found = alone.calibrate(networks, true)
    assert found.element_ms == pytest.approx(-2.0, abs=1e-5)
    assert found.scale == pytest.approx(1.1, abs=1e-5)
    found.save(tmp_path / "alone.npz")
    loaded = KernelPredictor.load(tmp_path / "alone.npz")
    np.testing.assert_allclose([loaded.predict_kernels(n) for n in networks], true)
    assert replace(alone, element_ms=-1e9).predict_kernels(networks[0]) > 0
    # Timed within one model of ONNX Runtime they have none.
    assert replace(alone, device=predictor.device).calibrate(networks, true).element_ms == 0


@pytest.mark.parametrize("level", [0.0, 1.0, 90])
def test_levels_are_probabilities(predictor: KernelPredictor[Any], level: float) -> None:
    with pytest.raises(InvalidValueError, match="between 0 and 1"):
        predictor.predict_interval([SMALL.sample(np.random.default_rng(1))], level)


def test_saved_predictor_is_the_same(predictor: KernelPredictor[Any], tmp_path: Path) -> None:
    predictor.save(tmp_path / "cpu.npz")
    loaded = KernelPredictor.load(tmp_path / "cpu.npz")
    archs = [SMALL.sample(np.random.default_rng(4))]
    np.testing.assert_array_equal(loaded.predict(archs), predictor.predict(archs))
    assert repr(loaded) == repr(predictor)
    assert (loaded.device, loaded.block) == (predictor.device, predictor.block)
    anything = replace(predictor, family=None, relative_std=float("nan"))
    anything.save(tmp_path / "any.npz")
    with pytest.raises(InvalidValueError, match="`family` must be given"):
        KernelPredictor.load(tmp_path / "any.npz").predict(archs)


def test_a_file_for_any_network_is_a_cost_of_the_space_and_data_set_that_is_searched(
    predictor: KernelPredictor[Any], tmp_path: Path
) -> None:
    for family, name in ((None, "any"), (predictor.family, "one")):
        replace(predictor, family=family).save(tmp_path / name)
    small = get_task("ImageNet16-120")
    archs = [SMALL.sample(np.random.default_rng(4))]
    for name in ("any", "one"):
        cost = make_cost(f"predictor:{tmp_path / name}", SMALL, small)
        # A quarter of the pixels.
        assert cost.predict(archs)[0] < predictor.predict(archs)[0]
    deeper = NasBench201(channels=8, cells=2)
    assert make_cost(f"predictor:{tmp_path / 'any'}", deeper, CIFAR10).predict(archs)[0] > 0
    with pytest.raises(InvalidValueError, match="`space` must be"):
        make_cost(f"predictor:{tmp_path / 'one'}", deeper, CIFAR10)


def test_a_search_asks_for_the_networks_that_it_evaluates_alone(
    predictor: KernelPredictor[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    predict = KernelPredictor.predict_kernels

    def counted(self: KernelPredictor[Any], kernels: Sequence[Kernel]) -> float:
        asked.append(len(kernels))
        return predict(self, kernels)

    monkeypatch.setattr(KernelPredictor, "predict_kernels", counted)
    evaluator = Evaluator(SMALL, [cost_objective(SMALL, predictor)])
    # A table would be known for the whole space before the first proposal.
    knowledge = problem_of(evaluator).knowledge
    assert knowledge is not None
    assert not knowledge.known_losses
    arch = SMALL.sample(np.random.default_rng(3))
    (found,) = evaluator.evaluate([arch])
    assert found.values["cpu_latency_ms"] == pytest.approx(predictor.predict([arch])[0])
    assert 0 < len(asked) < 5


@pytest.mark.parametrize(
    ("runtime", "precision", "old"),
    [
        ("openvino", "float32", True),
        ("openvino", "int8", True),
        ("onnxruntime", "int8", True),
        ("onnxruntime", "float32", False),
        ("litert", "int8", False),
    ],
)
def test_a_file_whose_kernels_were_read_otherwise_is_to_be_built_again(
    predictor: KernelPredictor[Any], runtime: str, precision: str, old: bool
) -> None:
    device = DeviceKey("cpu", f"{runtime}-1.0", threads=1, precision=precision)
    file = replace(predictor, device=device).to_file()
    assert KernelPredictor.from_file(file).device == device
    settings = {name: value for name, value in file.settings.items() if name != "reading"}
    before = replace(file, settings=settings)
    if old:
        with pytest.raises(DataFormatError, match=rf"build it again .* --runtime {runtime} --prec"):
            KernelPredictor.from_file(before)
    else:
        assert KernelPredictor.from_file(before).device == device


def test_foreign_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"\x80\x04N.")
    with pytest.raises(DataFormatError, match="must be a predictor file"):
        KernelPredictor.load(tmp_path / "file")


def test_other_uses_are_refused(predictor: KernelPredictor[Any]) -> None:
    with pytest.raises(InvalidValueError, match=r"`threads` must be 1, .*got 4"):
        predictor.require(threads=4)
    with pytest.raises(InvalidValueError, match=r"`runtime` must be 'onnxruntime-.*got 'tensorrt'"):
        predictor.require(runtime="tensorrt")
    relu = network([helper.make_node("Relu", ["x"], ["y"])], {})
    old = replace(predictor, device=DeviceKey("cpu", "onnxruntime-1.0.0", threads=1))
    with pytest.raises(InvalidValueError, match=r"`runtime` must be 'onnxruntime-1\.0\.0'"):
        old.predict_model(relu)
    with pytest.raises(InvalidValueError, match="`cpu` must compute blocks of 3 channels"):
        replace(predictor, block=3).predict_model(relu)
    pair = network([helper.make_node("Relu", ["x"], ["y"])], {}, image=(2, 16, 4, 4))
    with pytest.raises(InvalidValueError, match=r"`batch` must be 1, .*2 images"):
        predictor.predict_model(pair)
    sine = network([helper.make_node("Sin", ["x"], ["y"])], {})
    with pytest.raises(InvalidValueError, match=r"kernels that were measured, but got sin: .*onnx"):
        predictor.predict_model(sine)


def test_a_build_measures_fits_and_goes_on_from_its_cache(tmp_path: Path) -> None:
    settings: dict[str, Any] = {
        "max_seconds": 600.0,
        "networks": 2,
        "held_out": 2,
        "kernel_seconds": 0.01,
        "network_seconds": 0.05,
    }
    with ResultCache(tmp_path / "cache.sqlite") as cache:
        first = KernelPredictor.build([(SMALL, CIFAR10)], cache=cache, **settings)
        rows = len(cache)
        again = KernelPredictor.build([(SMALL, CIFAR10)], cache=cache, **settings)
        assert len(cache) == rows
    assert repr(again.predictor) == repr(first.predictor)
    np.testing.assert_array_equal(again.measured_ms, first.measured_ms)
    # Two networks with the profiler and without it, and the two that are held out.
    assert rows == 2 * 2 + len(first.measured_ms)
    used = [k for sample in first.samples.values() for k in sample.latencies]
    assert len(used) == len(set(used)) > 3
    values: FloatArray = first.predictor.predict([SMALL.sample(np.random.default_rng(0))])
    assert (values > 0).all()
    relative = first.measured_ms / first.predicted_ms - 1
    assert first.unseen
    assert first.predictor.relative_std == pytest.approx(np.sqrt(np.mean(relative**2)))
    assert first.predictor.device == DeviceKey("cpu", RUNTIME, threads=1)


def test_a_build_needs_networks() -> None:
    with pytest.raises(InvalidValueError, match="`families` or `models` must be given"):
        KernelPredictor.build([])
    with pytest.raises(InvalidValueError, match="`max_seconds` must be above 0, but got -1"):
        KernelPredictor.build([(SMALL, CIFAR10)], max_seconds=-1)


def test_a_build_of_networks_alone_says_that_it_measured_their_kernels(tmp_path: Path) -> None:
    family = Family(SMALL, CIFAR10)
    cells = [SMALL.sample(np.random.default_rng(i)) for i in (1, 2)]
    with ResultCache(tmp_path / "cache.sqlite") as cache:
        found = KernelPredictor.build(
            [], [family.network(cell) for cell in cells], cache=cache, max_seconds=10.0,
            kernel_seconds=0.01, network_seconds=0.05,
        )  # fmt: skip
    assert not found.unseen
    assert len(found.measured_ms) == 2


def test_networks_of_one_s_own_take_no_time_of_a_space(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time is up at once: two of one's own are measured, and two of the space."""
    measured: list[bytes] = []

    def times(_: NetworkTimer, model: onnx.ModelProto) -> FloatArray:
        measured.append(model.SerializeToString())
        return np.ones(len(find_kernels(model)))

    monkeypatch.setattr(NetworkTimer, "__call__", times)
    own = Family(SMALL, CIFAR10).network(SMALL.parse(EVERY))
    KernelPredictor.build(
        [(SMALL, CIFAR10)], [own] * 5, max_seconds=1e-6, networks=4, held_out=2,
        network_seconds=0.05,
    )  # fmt: skip
    assert measured[:2] == [own.SerializeToString()] * 2
    assert own.SerializeToString() not in measured[2:]
    assert len(measured) == 2 + 2  # `own` has all types of kernel


def test_networks_that_are_known_calibrate_behind_one_that_time_was_up_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Time is up at once: the fourth has a type of kernel of its own, so that it was timed."""

    def knows(_: WholeTimer, model: onnx.ModelProto) -> bool:
        return bool(model.graph.node[0].op_type == "Erf")

    def whole_ms(_: WholeTimer, model: onnx.ModelProto) -> float:
        return float(len(model.graph.node))

    def kernels_ms(_: NetworkTimer, model: onnx.ModelProto) -> FloatArray:
        return np.ones(len(find_kernels(model)))

    monkeypatch.setattr(WholeTimer, "knows", knows)
    monkeypatch.setattr(WholeTimer, "__call__", whole_ms)
    monkeypatch.setattr(NetworkTimer, "__call__", kernels_ms)
    chains = [["Relu"] * n for n in (1, 2, 3)] + [["Erf"] * 4]
    found = KernelPredictor.build([], [chain(names) for names in chains], max_seconds=1e-6)
    np.testing.assert_array_equal(found.measured_ms, [1.0, 2.0, 4.0])
    assert found.untimed == 1


def chain(operators: Sequence[str]) -> onnx.ModelProto:
    tensors = ["x", *(f"t{i}" for i in range(len(operators) - 1)), "y"]
    pairs = zip(operators, tensors, tensors[1:], strict=False)
    return network([helper.make_node(name, [a], [b]) for name, a, b in pairs], {})


@pytest.mark.parametrize(("runtime", "profiled"), [("onnxruntime", True), ("litert", False)])
def test_kernels_in_int8_are_measured_where_they_stand_if_the_runtime_says(
    runtime: str, profiled: bool, tmp_path: Path
) -> None:
    if not profiled:
        pytest.importorskip("ai_edge_litert", reason="needs the extra litert")
    with ResultCache(tmp_path / "cache.sqlite") as cache:
        found = KernelPredictor.build(
            [(SMALL, CIFAR10)], cache=cache, precision="int8", runtime=runtime, networks=2,
            held_out=2, max_seconds=1e-6, kernel_seconds=0.01, network_seconds=0.05,
            plan=SamplingPlan(initial=2, rounds=0),
        )  # fmt: skip
        kernels = sum(len(sample.latencies) for sample in found.samples.values())
        # Of the two networks that were profiled both times.
        assert len(cache) == (4 if profiled else kernels) + len(found.measured_ms)
    assert found.predictor.profiled == profiled
    assert ("conv int8" in {k.removesuffix(" nhwc") for k in found.samples}) == profiled
    saved = tmp_path / "int8.npz"
    found.predictor.save(saved)
    model = Family(SMALL, CIFAR10).network(SMALL.parse(EVERY))
    known = KernelPredictor[Any].load(saved)
    measured = [kernel for sample in found.samples.values() for kernel in sample.latencies]
    assert measured
    np.testing.assert_array_equal(known.kernel_ms(measured), found.predictor.kernel_ms(measured))
    # The cell has every operation, and the regressors know every type that was measured.
    assert {k.kind for k in measured} & {k.kind for k in Target(runtime, "int8").kernels(model)}
    assert known.predict_kernels(measured) == found.predictor.predict_kernels(measured)


def test_networks_are_tried_before_kernels_are_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ai_edge_litert", reason="needs the extra litert")
    monkeypatch.setattr("hwnas_predictors.kernels.build.KernelTimer", None)
    models = [chain(["Relu", "Tanh"]), chain(["Relu", "Sinh"])]
    with pytest.raises(InvalidValueError, match=r"litert cannot run number 2 of `models`: .*Sinh"):
        build_predictor([], models, BuildSettings(runtime="litert"))


def test_kernels_are_a_feature_of_a_device_that_few_networks_ran_on(
    predictor: KernelPredictor[Any], tmp_path: Path
) -> None:
    """Another device that is slower by a factor; the file holds both predictors."""
    rng = np.random.default_rng(5)
    archs = list(dict.fromkeys(SMALL.sample(rng) for _ in range(14)))
    costs = 3.0 * predictor.predict(archs)
    key = DeviceKey("board", dead_operations="pruned")
    empty = TransferPredictor[Any].without_pool(SMALL)
    model = empty.adapt(archs[:5], costs[:5], key, predictor)
    assert model.follows > 0.5
    assert model.effort == predictor.effort
    np.testing.assert_allclose(model.predict(archs[5:]), costs[5:], rtol=0.1)
    model.save(tmp_path / "board.npz")
    again = TransferPredictor[Any].load(tmp_path / "board.npz")
    np.testing.assert_allclose(again.predict(archs[5:]), model.predict(archs[5:]))
