"""The runner: what it needs, what it refuses, and what it writes."""

from __future__ import annotations

import ast
import json
import random
import shutil
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from hwnas.bundles import runner, sessions
from hwnas.bundles.manifest import Manifest, read_manifest
from hwnas.bundles.results import read_results
from hwnas.measure.resource_lock import hold, lock_file
from hwnas.runtimes import trtexec
from tests.hwnas.bundles.small_bundle import make_bundle


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return make_bundle(tmp_path_factory.mktemp("bundle") / "b")


@pytest.fixture
def bundle(written: Manifest, tmp_path: Path) -> Manifest:
    shutil.copytree(written.folder, tmp_path / "b")
    return read_manifest(tmp_path / "b")


def lines(bundle: Manifest) -> list[dict[str, Any]]:
    text = (bundle.folder / runner.RESULTS).read_text()
    return [json.loads(line) for line in text.splitlines()]


class Counted:
    """A session that counts its runs, each of which takes a time of a fake clock."""

    def __init__(self, clock: list[float], seconds: list[float]) -> None:
        self.runs, self._clock, self._seconds = 0, clock, seconds

    def run(self, *_: Any) -> None:
        self._clock[0] += self._seconds[min(self.runs, len(self._seconds) - 1)]
        self.runs += 1


def ready(monkeypatch: pytest.MonkeyPatch, seconds: list[float]) -> runner.Ready:
    clock = [0.0]
    monkeypatch.setattr(runner, "perf_counter", lambda: clock[0])
    return runner.Ready("n0000", Counted(clock, seconds), {}, {})


def test_it_needs_python_38_numpy_and_onnxruntime_alone() -> None:
    source = Path(runner.__file__).read_text()
    tree = ast.parse(source, feature_version=(3, 8))
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(str(node.module).partition(".")[0])
    assert found - set(sys.stdlib_module_names) == {"numpy", "onnxruntime"}
    for module in (sessions, trtexec):
        tree = ast.parse(Path(str(module.__file__)).read_text(), feature_version=(3, 8))
        names = {a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
        names |= {str(n.module) for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
        firsts = {name.partition(".")[0] for name in names}
        assert firsts - set(sys.stdlib_module_names) == {"numpy"}


def test_a_round_counts_by_the_fastest_runs_of_network_and_reference(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    runs = iter([[2.0, 9.0, 1.0], [8.0, 6.0, 7.0], [3.0, 9.0, 5.0]])
    monkeypatch.setattr(runner, "times", lambda *_: next(runs))
    monkeypatch.setattr(runner, "ROUNDS", 1)
    one = runner.Ready("n0000", None, {}, {})
    found = runner.timed([one], one, 1.0, 0)["n0000"]
    # Before and after the reference's fastest runs took 1 and 3.
    assert found["rounds"] == [[6.0, 2.0, 3]]
    assert found["median"] == 7.0


@pytest.mark.skipif(sys.platform == "win32", reason="there is no flock")
def test_bundles_and_hwnas_take_turns_on_a_device(
    bundle: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    seen: list[str] = []
    monkeypatch.setattr(runner, "measure", lambda *_: seen.append("measured"))
    with hold("this-cpu"):
        waits = threading.Thread(target=runner.run, args=[str(bundle.folder)])
        waits.start()
        waits.join(0.3)
        assert waits.is_alive()
        assert not seen
    waits.join(20)
    assert seen == ["measured"]
    assert runner.device_lock("CUDAExecutionProvider") == str(lock_file("gpu0"))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_a_full_disk_is_one_line(bundle: Manifest) -> None:
    (bundle.folder / f"{runner.RESULTS}.tmp").symlink_to("/dev/full")
    command = [sys.executable, "-I", str(bundle.folder / "run.py")]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert ended.returncode == 2
    assert ended.stderr == "run.py: [Errno 28] No space left on device\n"


def test_no_room_for_a_profile_is_no_fault_of_the_network(
    bundle: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none"))
    manifest = json.loads((bundle.folder / runner.MANIFEST).read_text())
    with pytest.raises(FileNotFoundError):
        runner.prepare(str(bundle.folder), manifest, manifest["networks"][0])


def test_it_runs_alone_and_its_results_are_read(bundle: Manifest) -> None:
    command = [sys.executable, "-I", str(bundle.folder / "run.py")]
    told = subprocess.run(command, check=True, capture_output=True, text=True, timeout=300).stdout
    found = read_results(bundle, bundle.folder / runner.RESULTS)
    assert [row.reason for row in found.rows] == ["", ""]
    for line in lines(bundle):
        # What `import` gives, but for drift: not the median of raw runs, which neighbours prolong.
        fastest = np.median([fast for fast, *_ in line["rounds"]])
        assert f"{line['name']}: {fastest:.4g} ms\n" in told
    for row in found.rows:
        assert row.latency_ms == pytest.approx(row.ratio * row.reference_ms, rel=0.5)
        assert row.raw["relative_error"] < 1e-3
        assert row.raw["warm_up_runs"] >= 10


@pytest.mark.parametrize(
    ("arguments", "module"), [(["-S"], "numpy"), ([], "onnxruntime")], ids=["numpy", "onnxruntime"]
)
def test_what_python_lacks_is_one_line(
    arguments: list[str], module: str, bundle: Manifest, tmp_path: Path
) -> None:
    (tmp_path / "onnxruntime.py").write_text("raise ImportError('it is built for another one')")
    command = [sys.executable, *arguments, str(bundle.folder / "run.py")]
    environment = {"PYTHONPATH": str(tmp_path)}
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment)
    [line] = done.stderr.splitlines()
    assert done.returncode in (1, 2)
    assert line.startswith(f"run.py: {sys.executable} must have {module}, but ")


def test_a_constant_is_told_as_one() -> None:
    values = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [2]) for n in ("x", "y")]
    one = numpy_helper.from_array(np.ones(2, np.float32), "one")
    graph = helper.make_graph(
        [helper.make_node("Identity", ["one"], ["y"])], "constant", values[:1], values[1:], [one]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    manifest = {"provider": "CPUExecutionProvider", "precision": "float32", "threads": 1}
    with pytest.raises(runner.FailedError, match="the output does not depend on the input"):
        runner.places(model.SerializeToString(), {"x": np.ones(2, np.float32)}, manifest)


def test_drawn_inputs_are_the_sums_of_mersenne_twisters_numbers() -> None:
    twister = random.Random()
    state = np.random.RandomState(7).get_state()
    twister.setstate((3, (*map(int, state[1]), int(state[2])), None))  # type: ignore[index]
    numbers = [[twister.random() for _ in range(6)] for _ in range(12)]
    wanted = [sum(column, 0.0) - 6 for column in zip(*numbers, strict=True)]
    found = runner.draw([2, 3], None, 7)
    assert found.ravel().tolist() == np.array(wanted, dtype=np.float32).tolist()


def test_drawn_tokens_are_in_the_vocabulary() -> None:
    found = runner.draw([1000], 5, 0)
    assert set(found.tolist()) == {0, 1, 2, 3, 4}
    assert found.dtype == np.int64


def test_warming_up_takes_ten_runs_at_least(monkeypatch: pytest.MonkeyPatch) -> None:
    assert runner.warm_up(ready(monkeypatch, [0.1])) == (10, True)


def test_warming_up_takes_200_ms_at_least(monkeypatch: pytest.MonkeyPatch) -> None:
    runs, settled = runner.warm_up(ready(monkeypatch, [1 / 1024]))
    assert (runs, settled) == (205, True)  # 204 of them are 199.2 ms


def test_warming_up_ends_when_runs_stay_as_long(monkeypatch: pytest.MonkeyPatch) -> None:
    slow_start = ready(monkeypatch, [0.08 - 0.004 * i for i in range(16)] + [0.02])
    runs, settled = runner.warm_up(slow_start)
    assert settled
    assert runs > 16


def test_what_never_settles_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    runs, settled = runner.warm_up(ready(monkeypatch, [0.01 * 1.1**i for i in range(100)]))
    assert not settled
    assert runs < 100


def test_quantiles_need_thirty_runs_beyond_them() -> None:
    values = [float(i) for i in range(600)]
    assert runner.quantile(values[:299], 0.90) is None
    assert runner.quantile(values[:300], 0.90) == pytest.approx(299 * 0.90)
    assert runner.quantile(values, 0.95) == pytest.approx(599 * 0.95)
    assert runner.quantile(values, 0.99) is None


def test_outputs_are_compared_by_error_and_correlation() -> None:
    expected = np.array([1.0, -2.0, 4.0])
    assert runner.compare([np.array([[1.0, -2.0, 4.0]])], expected, [[1, 3]]) == (0, 1)
    error, correlation = runner.compare([-np.array([[1.0, -2.0, 4.0]])], expected, [[1, 3]])
    assert error == 2.0
    assert correlation == pytest.approx(-1)
    with pytest.raises(runner.FailedError, match="other shapes"):
        runner.compare([expected], expected, [[1, 3]])


@pytest.mark.parametrize("part", ["models/n0001.onnx", "expected/n0001.npy"])
def test_a_bad_copy_is_refused_before_anything_runs(bundle: Manifest, part: str) -> None:
    path = bundle.folder / part
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    with pytest.raises(runner.FailedError, match=r"checksum of .*n0001"):
        runner.run(str(bundle.folder))
    assert not (bundle.folder / runner.RESULTS).exists()


def test_names_that_leave_the_folder_are_refused(bundle: Manifest) -> None:
    with pytest.raises(runner.FailedError, match="name"):
        runner.check_files(str(bundle.folder), {"name": "../n0000"})


def test_other_outputs_are_a_failed_measurement(bundle: Manifest) -> None:
    def swap(manifest: dict[str, Any]) -> None:
        one, two = manifest["networks"]
        path = bundle.folder / "expected"
        shutil.copy(path / "n0000.npy", path / "n0001.npy")
        two["expected_sha256"] = one["expected_sha256"]

    change(bundle, swap)
    runner.run(str(bundle.folder))
    by_name = {line["name"]: line for line in lines(bundle)}
    assert by_name["n0000"]["status"] == "ok"
    assert by_name["n0001"]["status"] == "failed"
    assert by_name["n0001"]["reason"].startswith("the outputs differ by")


def test_outputs_that_are_not_finite_are_told(bundle: Manifest) -> None:
    def spoil(manifest: dict[str, Any]) -> None:
        file = bundle.folder / "expected" / "n0001.npy"
        np.save(file, np.load(file) * np.nan)
        manifest["networks"][1]["expected_sha256"] = runner.digest(file.read_bytes())

    change(bundle, spoil)
    runner.run(str(bundle.folder))
    assert lines(bundle)[0]["reason"] == "the outputs are not finite"


def test_a_model_that_ends_the_runner_is_given_up(bundle: Manifest) -> None:
    """As a crash of the runtime's and a lack of memory do: nothing else would ever be measured."""
    crashing = (
        "import os, run; real = run.prepare\n"
        "def prepare(folder, manifest, network):\n"
        "    ends = network['name'] == 'n0000'\n"
        "    return os._exit(9) if ends else real(folder, manifest, network)\n"
        "run.prepare = prepare; raise SystemExit(run.run('.'))"
    )

    def ended() -> int:
        command = [sys.executable, "-c", crashing]
        return subprocess.run(command, cwd=bundle.folder, check=False).returncode

    assert [ended() for _ in range(runner.MOST_ENDS)] == [9] * runner.MOST_ENDS
    assert ended() == 0
    by_name = {line["name"]: line for line in lines(bundle)}
    reason = "it ended run.py 3 times, as a crash or lack of memory does"
    assert (by_name["n0000"]["status"], by_name["n0000"]["reason"]) == ("failed", reason)
    assert by_name["n0001"]["status"] == "ok"
    assert not (bundle.folder / runner.BEGUN).exists()


def test_an_interrupted_preparation_is_no_end(
    bundle: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    noted = []

    def interrupted(*given: Any) -> None:
        if given[-1]["name"] == runner.REFERENCE:
            return
        noted.append((bundle.folder / runner.BEGUN).read_text())
        raise KeyboardInterrupt

    monkeypatch.setattr(runner, "prepare", interrupted)
    with pytest.raises(KeyboardInterrupt):
        runner.run(str(bundle.folder))
    assert noted == ["n0000\n"]
    assert not (bundle.folder / runner.BEGUN).exists()


def test_a_provider_that_is_not_there_is_told(bundle: Manifest) -> None:
    change(bundle, lambda manifest: manifest.update(provider="QNNExecutionProvider"))
    with pytest.raises(runner.FailedError, match="QNNExecutionProvider is not in"):
        runner.run(str(bundle.folder))


def test_nodes_on_another_provider_are_refused(
    bundle: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = json.loads((bundle.folder / runner.MANIFEST).read_text())
    model = (bundle.folder / "models/n0000.onnx").read_bytes()
    feeds = {"input": runner.draw([1, 3, 32, 32], None, 0)}
    assert set(runner.places(model, feeds, manifest)) == {"CPUExecutionProvider"}
    real = runner.open_session
    on_cpu = dict(manifest)
    monkeypatch.setattr(runner, "open_session", lambda m, _, p: real(m, on_cpu, p))
    with pytest.raises(runner.FailedError, match="CPUExecutionProvider"):
        runner.places(model, feeds, {**manifest, "provider": "CUDAExecutionProvider"})


def test_a_precision_that_nothing_computes_in_is_refused() -> None:
    def node(operator: str, *kinds: str) -> dict[str, Any]:
        shapes = [{kind: [1, 3]} for kind in kinds]
        return {"cat": "Node", "args": {"op_name": operator, "input_type_shape": shapes}}

    converted = [node("Cast", "float16"), node("QuantizeLinear", "int8"), node("Conv", "float")]
    runner.check_format(converted, "float32")
    runner.check_format([*converted, node("Conv", "float", "float16")], "float16")
    runner.check_format([*converted, node("QLinearConv", "uint8")], "int8")
    for precision in ("float16", "int8"):
        with pytest.raises(runner.FailedError, match=f"{precision} is not computed in here"):
            runner.check_format(converted, precision)


def test_what_is_finished_is_kept_and_not_done_again(
    bundle: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "GROUP", 1)
    real = runner.timed
    done: list[str] = []

    def timed(group: list[runner.Ready], *rest: Any) -> dict[str, Any]:
        if len(done) == 1:
            raise KeyboardInterrupt
        done.append(group[0].name)
        return real(group, *rest)

    monkeypatch.setattr(runner, "timed", timed)
    with pytest.raises(KeyboardInterrupt):
        runner.run(str(bundle.folder))
    first = lines(bundle)
    assert [line["name"] for line in first] == ["n0000"]
    monkeypatch.setattr(runner, "timed", real)
    runner.run(str(bundle.folder))
    assert [line["name"] for line in lines(bundle)] == ["n0000", "n0001"]
    assert lines(bundle)[0] == first[0]


def test_results_of_another_device_are_done_anew(bundle: Manifest) -> None:
    here = runner.device(json.loads((bundle.folder / runner.MANIFEST).read_text()))
    known = runner.Results(str(bundle.folder), "b", here)
    known.add("n0000", {})
    assert runner.Results(str(bundle.folder), "b", here).names == {"n0000"}
    assert not runner.Results(str(bundle.folder), "b", {**here, "model": "other"}).names
    assert not runner.Results(str(bundle.folder), "c", here).names
    (bundle.folder / runner.RESULTS).write_text("{")
    with pytest.raises(runner.FailedError, match="damaged"):
        runner.Results(str(bundle.folder), "b", here)


def change(bundle: Manifest, edit: Any) -> None:
    path = bundle.folder / runner.MANIFEST
    manifest = json.loads(path.read_text())
    edit(manifest)
    path.write_text(json.dumps(manifest))
