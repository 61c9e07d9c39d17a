"""Every reader with small contents of its own making, and what must hold of what it accepts."""

from __future__ import annotations

import hashlib
import json
import pickle
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hwnas.spaces.nasbench201 import NasBench201
from hwnas.typing import DeviceKey
from tests.fuzz.text_targets import (
    ARCH,
    COMMANDS,
    MOBILENET,
    STORED,
    read_arch,
    read_command,
    read_component,
    read_constraint,
    read_cost,
    read_settings,
    read_shape,
    read_space,
    run,
    text,
    texts,
)

SPACE = NasBench201()
CELLS = [SPACE.sample(np.random.default_rng(i)) for i in range(6)]


@dataclass(frozen=True)
class Target:
    """A reader.

    Attributes:
        contents: makes right contents, given a folder to write in.
        read: reads a file, and asserts what holds of everything that is accepted.
        name: name that the file has, as a path below a folder.
    """

    contents: Callable[[Path], Sequence[bytes]]
    read: Callable[[Path], object]
    name: str


def _written(folder: Path, write: Callable[[Path], object], name: str = "x") -> bytes:
    path = folder / f"made-{name}"
    write(path)
    return path.read_bytes()


def _numbers(values: Any, n: int) -> None:
    array = np.asarray(values, dtype=np.float64)
    assert array.shape == (n,)
    assert (np.isnan(array) | (array > 0) & np.isfinite(array)).all()


def _front(folder: Path) -> list[bytes]:
    from hwnas.pareto.pareto_set import Evaluated, Member, ObjectiveInfo, ParetoSet

    objectives = (ObjectiveInfo("naswot", "", "maximize"), ObjectiveInfo("ms", "ms", "minimize"))
    members = tuple(
        Member(str(c), SPACE.canonical_key(c), (float(i), float(i + 1)), {"std": 0.5, "=a": "[b]"})
        for i, c in enumerate(CELLS[:2])
    )
    evaluated = tuple(Evaluated(m.arch, m.key, m.values, "complete") for m in members)
    made = ParetoSet(repr(SPACE), objectives, members, {"seed": 0, "settings": {}}, evaluated)
    return [_written(folder, made.save, "front.json")]


def _read_front(path: Path) -> None:
    from hwnas.pareto.pareto_set import ParetoSet

    found = ParetoSet.load(path)
    for member in found.members:
        assert len(member.values) == len(found.objectives)
        assert np.isfinite(member.values).all()
    found.save(path)
    assert ParetoSet.load(path) == found


def _scores(folder: Path) -> list[bytes]:
    from hwnas.cli.table_file import write_table

    rows = [{"arch": str(c), "naswot": 1.5 + i, "params": 372346 + i} for i, c in enumerate(CELLS)]
    counted = _written(folder, lambda path: write_table(rows, path), "s.csv")
    lines = counted.decode().splitlines()
    return [counted, "".join(f"{line.rpartition(',')[0]}\n" for line in lines).encode()]


def _read_scores(path: Path) -> None:
    from hwnas.tables.score_table import read_scores

    table = read_scores(path, SPACE)
    assert table.archs
    assert all(column.shape == (len(table.archs),) for column in table.columns.values())


def _measurements(_: Path) -> list[bytes]:
    rows = "".join(f"{i},{c},{7.5 + i},board\n" for i, c in enumerate(CELLS))
    return [f",arch,latency_ms,device\n{rows}".encode()]


def _read_measurements(path: Path) -> None:
    from hwnas.tables.measurements import read_measurements

    table = read_measurements(path, SPACE)
    table.insist_on("ms")
    for column in table.columns.values():
        _numbers(column, len(table.archs))


def _predictors(folder: Path) -> list[bytes]:
    from hwnas_predictors.transfer import TransferPredictor

    pool = TransferPredictor.shipped(SPACE)
    mine = pool.adapt(CELLS, np.arange(1.0, 7.0), DeviceKey("mine"))
    return [_written(folder, mine.save), _written(folder, pool.save)]


def _read_predictor(path: Path) -> None:
    from hwnas.costs.predictor_source import make_predictor
    from hwnas.files.predictor_file import read_predictor_file

    made = make_predictor(read_predictor_file(path))
    if made.device.device != "any":
        found = np.asarray(made.predict(CELLS))
        assert found.shape == (len(CELLS),)
        assert np.isfinite(found).all()


def _shipped(folder: Path) -> list[bytes]:
    from hwnas.tables.shipped.table import ShippedColumn, ShippedScores
    from hwnas.tables.table import Table

    keys = [SPACE.canonical_key(c) for c in CELLS]
    values = {"naswot": np.arange(6.0)}
    about = {"naswot": ShippedColumn("naswot v1", 0.5, {"no value": [2]})}
    table = Table(list(map(str, CELLS)), values, keys)
    again = table.take([0, 3]).with_columns({"naswot": np.array([1.0, 2.0])})
    made = ShippedScores(table, about, again, {"input": "x"})
    return [_written(folder, made.write)]


def _read_shipped(path: Path) -> None:
    from hwnas.tables.shipped.table import ShippedScores

    scores = ShippedScores.read(path)
    n = len(scores.table.archs)
    assert len(scores.table.rows) <= n
    assert all(column.shape == (n,) for column in scores.table.columns.values())
    assert len(scores.reasons) >= 0


def _pickles(contents: Callable[[], object]) -> Callable[[Path], list[bytes]]:
    return lambda _: [pickle.dumps(contents(), protocol) for protocol in (2, 4)]


def _torch(contents: Callable[[], object]) -> Callable[[Path], list[bytes]]:
    import torch

    return lambda folder: [_written(folder, lambda path: torch.save(contents(), path))]


def _brp() -> object:
    return {(i % 5, 1, 2, 3, 4, 0): np.float64(0.001 * (i + 1)) for i in range(5)}


def _read_brp(path: Path) -> None:
    from hwnas.data.brp_nas import brp_nas_latencies

    found = brp_nas_latencies(path.stem, path.parents[1])
    _numbers(list(found.values()), len(found))


def _hw_pickle() -> object:
    from hwnas.data.hw_nas_bench import COLUMNS

    part: dict[str, Any] = {name: [np.float64(1.5 + i) for i in range(3)] for name in COLUMNS}
    part["config"] = [{"arch_str": str(c), "C": 16} for c in CELLS[:3]]
    return {"nasbench201": {"cifar10": part}, "fbnet": {}}


def _hw_csv(_: Path) -> list[bytes]:
    from hwnas.data.hw_nas_bench import COLUMNS

    rows = [f'"({i}, 1, 2, 3, 4, 0)",' + ",".join(["1.5"] * 10) for i in range(4)]
    return ["\n".join([",".join(["net", *COLUMNS]), *rows, ""]).encode()]


def _read_hw(path: Path) -> None:
    from hwnas.data.hw_nas_bench import read_table

    table = read_table("cifar10", file=path)
    for column in table.columns.values():
        _numbers(column, len(table.archs))


def _read_help_latency(path: Path) -> None:
    from hwnas.data.help import help_latencies

    found = help_latencies("fbnet", path.stem, path.parents[3])
    _numbers(found, len(found))


def _ofa() -> object:
    entry = {"ks": [3, 5] * 10, "e": [4, 6] * 10, "d": [2, 3, 4, 2, 3], "r": np.int64(224)}
    return {"dataset": "imagenet", "num_classes": 1000, "arch": [entry, entry]}


def _read_help_archs(space: str) -> Callable[[Path], None]:
    from hwnas.data.help import help_archs, help_space

    def read(path: Path) -> None:
        for arch in help_archs(space, path.parents[2]):
            assert help_space(space).parse(str(arch)) == arch

    return read


def _forest() -> object:
    from sklearn.ensemble import RandomForestRegressor

    x = np.random.default_rng(0).random((20, 3))
    return RandomForestRegressor(2, random_state=0).fit(x, 1 + x[:, 0])


def _read_forest(path: Path) -> None:
    from hwnas_predictors.kernels.nn_meter_files import Forest

    assert np.isfinite(Forest(path).predict(np.zeros((2, 3)))).all()


def _studies(journal: bool) -> Callable[[Path], list[bytes]]:
    def make(folder: Path) -> list[bytes]:
        path = folder / "made-study"
        storage = f"journal:{path}" if journal else f"sqlite:///{path}"
        run(
            f"search --objective params --cost count:macs --sampler random --trials 4 "
            f"--storage {storage} --out {folder / 'out'}"
        )
        return [path.read_bytes()]

    return make


def _read_study(prefix: str) -> Callable[[Path], None]:
    def read(path: Path) -> None:
        from hwnas.cli.pareto import open_pareto_set

        found = open_pareto_set(f"{prefix}{path}")
        for member in found.members:
            assert np.isfinite(member.values).all()

    return read


def _onnx(folder: Path) -> list[bytes]:
    from onnx import TensorProto, helper, numpy_helper

    def model(nodes: list[Any], shape: list[Any], weights: dict[str, Any]) -> bytes:
        put = [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)]
        got = [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)]
        kept = [numpy_helper.from_array(value, name) for name, value in weights.items()]
        graph = helper.make_graph(nodes, "g", put, got, kept)
        made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        return bytes(made.SerializeToString())

    weight = np.ones((2, 3, 3, 3), np.float32)
    pool = [helper.make_node("Conv", ["x", "w"], ["c"]), helper.make_node("Relu", ["c"], ["y"])]
    product = [helper.make_node("MatMul", ["x", "w"], ["y"])]
    del folder
    return [
        model(pool, ["N", 3, 6, 6], {"w": weight}),
        model(product, [1, 4], {"w": np.ones((4, 2), np.float32)}),
    ]


def _profiled(path: Path) -> tuple[float, str]:
    """Measure in a child; give what is raised that is no error of hwnas."""
    from hwnas.errors import HwnasError
    from hwnas.functions.profile import profile

    try:
        return profile(path, max_seconds=0.01).latency_ms, ""
    except HwnasError:
        raise
    except Exception as error:
        return 0.0, repr(error)


def _read_onnx(path: Path) -> None:
    """A model may do what it likes with its runtime, but not with hwnas."""
    from hwnas.measure.isolation import child_with
    from hwnas.measure.limits import Limits

    latency, raised = child_with(Limits(50, 2 << 30)).call(_profiled, path)
    assert not raised, raised
    assert 0 < latency < np.inf


_SHA = hashlib.sha256(b"x").hexdigest()


def _bundle(folder: Path) -> Sequence[bytes]:
    del folder
    sums = {f"{kind}_sha256": _SHA for kind in ("model", "expected", "input")}
    sizes = {"input": [1, 3, 32, 32], "vocabulary": None, "outputs": [[1, 10]]}
    manifest = {
        "schema": "hwnas-bundle", "version": 1, "metric": "latency", "unit": "ms",
        "space": repr(SPACE), "task": "cifar10", "provider": "CPUExecutionProvider",
        "precision": "float32", "batch": 1, "threads": 1, "seconds": 1.0, "seed": 0,
        "images": "gaussian", "accepted_error": 1e-3,
        "reference": {"name": "reference", **sums, **sizes},
        "networks": [{"name": f"n{i}", "arch": str(CELLS[i]), **sums, **sizes} for i in range(2)],
    }  # fmt: skip
    return [json.dumps(manifest).encode()]


def _read_bundle(path: Path) -> Any:
    from hwnas.bundles.manifest import files_of, read_manifest

    for name in ("reference", "n0", "n1"):
        for file in files_of(path.parent, name, "onnxruntime"):
            file.parent.mkdir(exist_ok=True)
            file.write_bytes(b"x")
    found = read_manifest(path.parent)
    assert {network.name for network in found.networks} <= {"n0", "n1"}
    assert 0 < found.seconds < np.inf
    return found


def _bundle_results(folder: Path) -> Sequence[bytes]:
    from hwnas.bundles.runner import digest

    where = {
        "schema": "hwnas-result", "version": 1, "bundle": digest(_bundle(folder)[0]), "unit": "ms",
        "device": {
            "machine": "aarch64", "model": "Board", "system": "Linux", "runtime": "onnxruntime",
            "runtime_version": "1.19.2", "provider": "CPUExecutionProvider", "numpy": "1.24.4",
            "precision": "float32", "batch": 1, "threads": 1, "python": "3.8.18",
        },
    }  # fmt: skip
    good = {
        "name": "n0", "status": "ok", "rounds": [[1.0, 2.0, 10]] * 6, "n": 60, "median": 1.0,
        "min": 0.9, "iqr": 0.1, "p90": 1.5, "p95": None, "p99": None, "warm_up_runs": 200,
        "settled": True, "relative_error": 1e-7, "correlation": 1.0,
        "providers": {"CPUExecutionProvider": 12}, "before": {"mhz": 2400.0, "celsius": 51.5},
        "after": {"mhz": None, "celsius": None},
    }  # fmt: skip
    bad = {"name": "n1", "status": "failed", "reason": "no memory"}
    return ["\n".join(json.dumps({**where, **line}) for line in (good, bad)).encode()]


def _read_bundle_results(path: Path) -> None:
    from hwnas.bundles.results import read_results, write_measurements
    from hwnas.tables.measurements import read_measurements

    (path.parent / "manifest.json").write_bytes(_bundle(path.parent)[0])
    found = read_results(_read_bundle(path.parent / "manifest.json"), path)
    write_measurements(found, path.with_name("m.csv"))
    table = read_measurements(path.with_name("m.csv"), SPACE)
    _numbers(table.of("latency", "ms"), 2)
    assert table.key == found.key
    for row in found.rows:
        assert row.reason or np.isfinite([row.latency_ms, row.ratio, row.reference_ms]).all()


def _nasbench101(folder: Path) -> Sequence[bytes]:
    import base64
    import struct

    from hwnas.files.tf_records import checksums

    del folder
    values = b"".join(bytes([n << 3 | 1]) + struct.pack("<d", 0.5) for n in range(1, 6))
    message = bytes([10, len(values), *values]) * 3 + b"\x10\x05"
    metrics = base64.b64encode(message).decode()
    modules = (("0100", "input,output"), ("010001000", "input,conv3x3-bn-relu,output"))
    rows = [json.dumps(["hash", 108, *module, metrics]).encode() for module in modules]
    records = [part for row in rows for part in (len(row).to_bytes(8, "little"), row)]
    sums = checksums(records).tolist()
    pairs = zip(records, sums, strict=True)
    whole = b"".join(part + check.to_bytes(4, "little") for part, check in pairs)
    return [whole]


def _read_nasbench101(path: Path) -> None:
    from hwnas.data.nasbench101 import ModuleAccuracies
    from hwnas.spaces.nasbench101 import NasBench101

    found = ModuleAccuracies(NasBench101()).accuracies("cifar10", "test", path.parents[1])
    assert all(0 <= value <= 100 for value in found.values())


TARGETS: Mapping[str, Target] = {
    "front": Target(_front, _read_front, "front.json"),
    "scores": Target(_scores, _read_scores, "scores.csv"),
    "bundle": Target(_bundle, _read_bundle, "manifest.json"),
    "bundle-results": Target(_bundle_results, _read_bundle_results, "r.jsonl"),
    "measurements": Target(_measurements, _read_measurements, "m.csv"),
    "predictor": Target(_predictors, _read_predictor, "p.npz"),
    "shipped": Target(_shipped, _read_shipped, "s.npz"),
    "brp-nas": Target(
        _pickles(_brp), _read_brp, "brpnas/desktop-cpu-core-i7-7820x-fp32.pickle"
    ),
    "hw-nas-bench": Target(_pickles(_hw_pickle), _read_hw, "hw.pickle"),
    "hw-nas-bench-csv": Target(_hw_csv, _read_hw, "hw.csv"),
    "help-latency": Target(
        _torch(lambda: [1.5, 2, 3.5] * 4), _read_help_latency, "help/fbnet/latency/pixel2.pt"
    ),
    "help-fbnet": Target(
        _torch(lambda: [[0, 8] * 11] * 3), _read_help_archs("fbnet"), "help/fbnet/arch.pt"
    ),
    "help-ofa": Target(_torch(_ofa), _read_help_archs("mobilenetv3"), "help/ofa/ofa_archs.pt"),
    "nasbench101": Target(
        _nasbench101, _read_nasbench101, "nasbench101/nasbench_only108.tfrecord"
    ),
    "nn-meter": Target(_pickles(_forest), _read_forest, "conv.pkl"),
    "journal": Target(_studies(journal=True), _read_study("journal:"), "study.log"),
    "sqlite": Target(_studies(journal=False), _read_study("sqlite:///"), "study.db"),
    "onnx": Target(_onnx, _read_onnx, "model.onnx"),
    "settings": Target(texts(STORED), text(read_settings), "settings.json"),
    "architecture": Target(
        texts(ARCH, ",".join(["k3_e1"] * 22), MOBILENET),
        text(read_arch), "text",
    ),
    "space": Target(
        texts("NasBench201(channels=16, cells=5)", "MobileNetV3(width=1.2)", "fbnet"),
        text(read_space), "text",
    ),
    "component": Target(
        texts("onnxruntime:cpu:latency:threads=2", "epsilon:weights=(1e-6,1)", "a(b='c')"),
        text(read_component), "text",
    ),
    "constraint": Target(texts("latency<=5", "a:b:c>=1e6"), text(read_constraint), "text"),
    "cost": Target(
        texts("hw-nas-bench:edgegpu:energy", "predictor:mine.npz", "count:macs"),
        text(read_cost), "text",
    ),
    "shape": Target(texts("3,32,32", "1,28,28"), text(read_shape), "text"),
    "command": Target(texts(*COMMANDS), text(read_command), "text"),
}  # fmt: skip
