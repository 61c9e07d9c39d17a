"""Times the models of the folder that this file lies in, one JSON line a model.

    python3 run.py

It needs Python 3.8 or newer, numpy and the runtime of the bundle, and nothing else: onnxruntime,
LiteRT, or TensorRT's program ``trtexec``. hwnas copies it into a bundle as it is; for the latter
two, ``sessions.py`` and ``trtexec.py`` lie beside it. What is finished stays in ``results.jsonl``
and is not done again, so that a run that was interrupted goes on. Nothing leaves the folder.

Before a model is timed its checksum and outputs are compared with the expected ones, and of ONNX
Runtime the provider of each node is read. It is timed in short rounds, interleaved with other
models, each beside a reference network: the ratio does not drift with clock, heat and neighbours.
"""

from __future__ import annotations

import contextlib
import glob
import hashlib
import importlib
import json
import math
import os
import platform
import random
import re
import sys
import tempfile
from collections import Counter
from time import perf_counter
from typing import Any, Iterator, NamedTuple

LACKS = "{} must have {}, but {}: install it there, or name a Python that has it"
try:
    import numpy as np
except ImportError as missing:
    sys.exit("run.py: " + LACKS.format(sys.executable, "numpy", missing))

BUNDLE_SCHEMA, RESULT_SCHEMA, VERSION = "hwnas-bundle", "hwnas-result", 1
MANIFEST, RESULTS, REFERENCE = "manifest.json", "results.jsonl", "reference"
BEGUN, MOST_ENDS = "begun.txt", 3
RUNNER, FIRST_RUNTIME = "run.py", "onnxruntime"
ENDS = {FIRST_RUNTIME: ".onnx", "tensorrt": ".onnx", "litert": ".tflite"}  # of models' files
GROUP = 5  # models whose rounds are interleaved
ROUNDS, ROUNDS_OF_PROGRAM = 12, 3  # the latter where each timing starts a program
REFERENCE_SECONDS = 0.01
WARM_UP_RUNS, WARM_UP_SECONDS, MOST_WARM_UP_SECONDS = 10, 0.2, 2.0
SETTLED = 0.02
TAIL = 30  # runs beyond a quantile that make it known: the 95th percentile needs 600
FORMATS = {"float16": {"float16"}, "int8": {"int8", "uint8"}}
CONVERSIONS = {"Cast", "QuantizeLinear", "DequantizeLinear"}
FILES = (  # of Linux, in kHz and thousandths of a degree
    ("mhz", "/sys/devices/system/cpu/cpu*/cpufreq/scaling_cur_freq"),
    ("celsius", "/sys/class/thermal/thermal_zone*/temp"),
)
_NAME = re.compile(r"[a-z][a-z0-9]{0,31}")


class FailedError(Exception):
    """A model cannot be measured; the text is the reason."""


class Ready(NamedTuple):
    """A model that runs: its session, its inputs and what was found before it is timed."""

    name: str
    session: Any
    feeds: dict[str, Any]
    found: dict[str, Any]


def draw(shape: list[int], vocabulary: Any, seed: int) -> Any:
    """Draw an input, the same to the last bit everywhere.

    NumPy keeps the stream of `RandomState` as it is. Sums of twelve uniforms less six are nearly
    normal (mean 0, variance 1) and need no logarithm, whose last bit is the machine's own.
    """
    rng = np.random.RandomState(seed)
    if vocabulary is not None:
        return np.floor(rng.random_sample(shape) * vocabulary).astype(np.int64)
    total = np.zeros(shape)
    for _ in range(12):
        total = total + rng.random_sample(shape)
    return (total - 6.0).astype(np.float32)


def digest(content: bytes) -> str:
    """Give the SHA-256."""
    return hashlib.sha256(content).hexdigest()


def read(folder: str, *parts: str) -> bytes:
    """Read a file of the bundle; `FailedError` if it is not there."""
    try:
        with open(os.path.join(folder, *parts), "rb") as file:
            return file.read()
    except OSError as error:
        told = "{} cannot be read: {}".format("/".join(parts), error.strerror)
        raise FailedError(told) from error


def checked(folder: str, kind: str, name: str, end: str, wanted: str) -> bytes:
    """Read a file that must have a checksum."""
    content = read(folder, kind, name + end)
    if digest(content) != wanted:
        raise FailedError(f"the checksum of {kind}/{name}{end} is another: copy it again")
    return content


def check_files(folder: str, network: dict[str, Any], end: str = ".onnx") -> bytes:
    """Compare the checksums of a network's files, and give the model."""
    name = network["name"]
    if not _NAME.fullmatch(name):
        raise FailedError("the manifest has a name that it must not have")
    checked(folder, "expected", name, ".npy", network["expected_sha256"])
    return checked(folder, "models", name, end, network["model_sha256"])


def open_session(model: bytes, manifest: dict[str, Any], profile: str = "") -> Any:
    """Open a session with everything fixed that changes a latency."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = manifest["threads"]
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = 3
    if profile:
        options.enable_profiling = True
        options.profile_file_prefix = profile
    provider = manifest["provider"]
    if provider not in onnxruntime.get_available_providers():
        there = ", ".join(onnxruntime.get_available_providers())
        raise FailedError(f"{provider} is not in this onnxruntime, which has {there}")
    session = onnxruntime.InferenceSession(model, options, providers=[provider])
    if session.get_providers()[0] != provider:
        raise FailedError(f"{provider} does not work here: {session.get_providers()[0]} ran")
    return session


def runtime_of(manifest: dict[str, Any]) -> str:
    """Name the runtime; older bundles do not say it."""
    return str(manifest.get("runtime", FIRST_RUNTIME))


def session_class(runtime: str) -> Any:
    """Give what opens a session; other runtimes' are in the file beside this one."""
    if runtime == FIRST_RUNTIME:
        return open_session
    return importlib.import_module("sessions").SESSIONS[runtime]


def input_name(session: Any) -> str:
    """Name the input, which hwnas calls so where the runtime does not tell."""
    return str(session.get_inputs()[0].name) if hasattr(session, "get_inputs") else "input"


def version_of(runtime: str) -> str:
    """Give the version of the runtime."""
    try:
        if runtime != FIRST_RUNTIME:
            return str(session_class(runtime).version())
        import onnxruntime

        return str(onnxruntime.__version__)
    except ImportError as error:
        raise FailedError(LACKS.format(sys.executable, runtime, error)) from None
    except RuntimeError as error:
        raise FailedError(f"{runtime}: {error}") from None


def places(model: bytes, feeds: dict[str, Any], manifest: dict[str, Any]) -> dict[str, int]:
    """Count the nodes that each provider really ran, by ONNX Runtime's own profile."""
    with tempfile.TemporaryDirectory() as folder:
        session = open_session(model, manifest, os.path.join(folder, "profile"))
        session.run(None, feeds)
        with open(session.end_profiling(), encoding="utf-8") as file:
            events = json.load(file)
    check_format(events, manifest["precision"])
    nodes = {e["name"]: e.get("args", {}).get("provider") for e in events if e.get("cat") == "Node"}
    found = dict(Counter(filter(None, nodes.values())))
    if set(found) != {manifest["provider"]}:
        none = "no node ran: the output does not depend on the input"
        raise FailedError(f"nodes ran elsewhere: {found}" if found else none)
    return found


def check_format(events: list[dict[str, Any]], precision: str) -> None:
    """Insist that an operator beside conversions computes in a lower precision; `FailedError`."""
    wanted, found = FORMATS.get(precision, set()), set()
    for event in events:
        args = event.get("args", {})
        if event.get("cat") == "Node" and args.get("op_name") not in CONVERSIONS:
            for one in args.get("input_type_shape", []):
                found |= set(one)
    if wanted and not wanted & found:
        told = ", ".join(sorted(found)) or "nothing that is known"
        raise FailedError(f"{precision} is not computed in here, but {told}")


def compare(outputs: list[Any], expected: Any, shapes: list[list[int]]) -> tuple[float, float]:
    """Give the largest error over the largest expected output, and the correlation."""
    if [list(output.shape) for output in outputs] != shapes:
        raise FailedError(f"the outputs have other shapes than {shapes}")
    got = np.concatenate([output.ravel() for output in outputs]).astype(np.float64)
    want = expected.astype(np.float64)
    error = float(np.max(np.abs(got - want))) / (float(np.max(np.abs(want))) or 1.0)
    a, b = got - got.mean(), want - want.mean()
    size = math.sqrt(float(a @ a) * float(b @ b))
    return error, float(a @ b) / size if size else 1.0


def prepare(folder: str, manifest: dict[str, Any], network: dict[str, Any]) -> Ready:
    """Check a model and make it ready; `FailedError` says why it cannot be measured."""
    name, runtime = network["name"], runtime_of(manifest)
    model = check_files(folder, network, ENDS[runtime])
    expected = np.load(os.path.join(folder, "expected", name + ".npy"), allow_pickle=False)
    array = draw(network["input"], network["vocabulary"], manifest["seed"])
    if digest(array.tobytes()) != network["input_sha256"]:
        raise FailedError(f"numpy {np.__version__} draws another input")
    try:
        session = session_class(runtime)(model, manifest)
        feeds = {input_name(session): array}
        error, correlation = compare(session.run(None, feeds), expected, network["outputs"])
        if not error <= manifest["accepted_error"]:  # so that NaN fails
            differ = f"differ by {error:.3g} of the largest"
            raise FailedError(f"the outputs {'are not finite' if math.isnan(error) else differ}")
        found: dict[str, Any] = {"relative_error": error, "correlation": correlation}
        one = {manifest["provider"]: 1}
        found["providers"] = one if runtime != FIRST_RUNTIME else places(model, feeds, manifest)
    except (FailedError, OSError):  # a full disk is the machine's, not the model's
        raise
    except Exception as problem:  # the runtimes' errors have no common class
        reason = str(problem).splitlines() or [type(problem).__name__]
        raise FailedError(f"{runtime} says: {reason[0][:300]}") from problem
    return Ready(name, session, feeds, found)


def once(ready: Ready) -> float:
    """Time one run in milliseconds."""
    session, feeds = ready.session, ready.feeds
    start = perf_counter()
    session.run(None, feeds)
    return 1e3 * (perf_counter() - start)


def times(ready: Ready, seconds: float) -> list[float]:
    """Time runs until time is up: at least one."""
    own = getattr(ready.session, "times", None)
    if own is not None:
        return list(own(seconds))
    end, found = perf_counter() + seconds, [once(ready)]
    while perf_counter() < end:
        found.append(once(ready))
    return found


def warm_up(ready: Ready) -> tuple[int, bool]:
    """Run at least ten times and 200 ms, until two halves of a window agree within 2 %.

    It gives the runs that it took, and whether they agreed before two seconds were up.
    """
    found: list[float] = []
    if hasattr(ready.session, "times"):  # its program warms up before each timing
        found = times(ready, 1.0)
        a, b = (np.median(half) for half in np.array_split(found, 2))
        return len(found), bool(abs(a - b) <= SETTLED * min(a, b))
    start = perf_counter()
    while True:
        found.append(once(ready))
        spent = perf_counter() - start
        if len(found) < WARM_UP_RUNS or spent < WARM_UP_SECONDS:
            continue
        half = max(3, len(found) // 3)
        a, b = np.median(found[-2 * half : -half]), np.median(found[-half:])
        settled = bool(abs(a - b) <= SETTLED * min(a, b))
        if settled or spent > MOST_WARM_UP_SECONDS:
            return len(found), settled


def quantile(values: list[float], share: float) -> Any:
    """Give a quantile, or None where too few runs lie beyond it."""
    known = round(len(values) * (1 - share), 6) >= TAIL
    return float(np.percentile(values, 100 * share)) if known else None


def summary(values: list[float], rounds: list[list[float]]) -> dict[str, Any]:
    """Say what the runs of a model tell; times in milliseconds."""
    low, middle, high = (float(v) for v in np.percentile(values, [25, 50, 75]))
    return {
        "n": len(values), "median": middle, "min": min(values), "iqr": high - low,
        "p90": quantile(values, 0.90), "p95": quantile(values, 0.95),
        "p99": quantile(values, 0.99), "rounds": rounds,
    }  # fmt: skip


def number_in(path: str) -> float:
    """Read the number of a file of the system; 0 where there is none."""
    with contextlib.suppress(OSError, ValueError), open(path, encoding="ascii") as file:
        return float(file.read())
    return 0.0


def state() -> dict[str, Any]:
    """Read the fastest core's frequency (MHz) and the hottest zone (°C), where Linux tells."""
    largest = {key: max(map(number_in, glob.glob(files)), default=0.0) for key, files in FILES}
    return {key: value / 1e3 if value > 0 else None for key, value in largest.items()}


def machine_model() -> str:
    """Name the board or the CPU as Linux does."""
    for path, pattern in (
        ("/proc/device-tree/model", r"(.+)"),
        ("/proc/cpuinfo", r"(?m)^(?:model name|Model|Hardware)\s*:\s*(.+)$"),
    ):
        try:
            with open(path, encoding="utf-8", errors="replace") as file:
                match = re.search(pattern, file.read())
        except OSError:
            continue
        if match:
            return match.group(1).strip("\x00 \n")[:200]
    return platform.processor() or "unknown"


def device(manifest: dict[str, Any]) -> dict[str, Any]:
    """Say what measures: equal in all lines of one file."""
    runtime = runtime_of(manifest)
    return {
        "machine": platform.machine() or "unknown", "model": machine_model(),
        "system": f"{platform.system()} {platform.release()}"[:200],
        "runtime": runtime, "runtime_version": version_of(runtime),
        "provider": manifest["provider"], "precision": manifest["precision"],
        "batch": manifest["batch"], "threads": manifest["threads"],
        "python": platform.python_version(), "numpy": np.__version__,
    }  # fmt: skip


class Results:
    """The file of finished models; it is whole after each of them."""

    def __init__(self, folder: str, bundle: str, here: dict[str, Any]) -> None:
        self._path, self._bundle, self._here = os.path.join(folder, RESULTS), bundle, here
        self._lines: list[str] = []
        self.names: set[str] = set()
        if os.path.exists(self._path):
            try:
                for line in read(folder, RESULTS).decode().splitlines():
                    self._keep(line, json.loads(line))
            except (ValueError, TypeError, KeyError, AttributeError) as error:
                raise FailedError(f"{RESULTS} is damaged, move it away: {error}") from error

    def _keep(self, line: str, known: dict[str, Any]) -> None:
        """Keep what this device measured for this bundle; anything else is done anew."""
        if known["bundle"] == self._bundle and known["device"] == self._here:
            self._lines.append(line)
            self.names.add(known["name"])

    def add(self, name: str, result: dict[str, Any]) -> None:
        """Append a line by replacing the file, so that a power cut leaves the old or the new."""
        line = dict(
            result, schema=RESULT_SCHEMA, version=VERSION, bundle=self._bundle, name=name,
            unit="ms", device=self._here,
        )  # fmt: skip
        self._lines.append(json.dumps(line, sort_keys=True, allow_nan=False))
        self.names.add(name)
        with open(self._path + ".tmp", "w", encoding="utf-8") as file:
            file.write("\n".join(self._lines) + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.replace(self._path + ".tmp", self._path)


def timed(group: list[Ready], reference: Ready, seconds: float, seed: int) -> dict[str, Any]:
    """Time models in interleaved rounds, each between two of the reference network.

    A round counts by its fastest runs: a neighbour that takes the core away for milliseconds does
    so within a long run, and hardly ever within one of the reference.
    """
    values: dict[str, list[float]] = {ready.name: [] for ready in group}
    rounds: dict[str, list[list[float]]] = {ready.name: [] for ready in group}
    order, rng = list(group), random.Random(seed)
    number = ROUNDS_OF_PROGRAM if hasattr(reference.session, "times") else ROUNDS
    for _ in range(number):
        rng.shuffle(order)
        before = times(reference, REFERENCE_SECONDS)
        for ready in order:
            own = times(ready, seconds / number)
            after = times(reference, REFERENCE_SECONDS)
            beside = (min(before) + min(after)) / 2
            rounds[ready.name].append([float(min(own)), float(beside), len(own)])
            values[ready.name] += own
            before = after
    return {name: summary(values[name], rounds[name]) for name in values}


@contextlib.contextmanager
def begun(path: str, name: str) -> Iterator[None]:
    """Note that a model is made ready: a note that stays says that it ended this program then."""
    with open(path, "a+", encoding="ascii") as file:
        file.seek(0)
        ended = file.read().split().count(name)
        file.write(name + "\n")
    try:
        if ended >= MOST_ENDS:
            raise FailedError(f"it ended {RUNNER} {ended} times, as a crash or lack of memory does")
        yield
    finally:
        os.remove(path)


def measure(folder: str, manifest: dict[str, Any], group: list[Any], results: Results) -> None:
    """Measure some models and write their lines."""
    reference, ready = prepare(folder, manifest, manifest["reference"]), []
    for network in group:
        try:
            with begun(os.path.join(folder, BEGUN), network["name"]):
                ready.append(prepare(folder, manifest, network))
        except FailedError as error:
            results.add(network["name"], {"status": "failed", "reason": str(error)})
            say("{}: failed: {}".format(network["name"], error))
    if not ready:
        return
    before = state()
    warm_up(reference)
    warm = {one.name: warm_up(one) for one in ready}
    found = timed(ready, reference, manifest["seconds"], manifest["seed"])
    after = state()
    for one in ready:
        runs, settled = warm[one.name]
        line = dict(
            found[one.name], status="ok", warm_up_runs=runs, settled=settled, before=before,
            after=after,
        )  # fmt: skip
        line.update(one.found)
        results.add(one.name, line)
        say("{}: {:.4g} ms".format(one.name, np.median([r[0] for r in line["rounds"]])))


def say(text: str) -> None:
    """Tell progress, also when nobody listens any more."""
    with contextlib.suppress(OSError):
        print(text, flush=True)


def run(folder: str) -> int:
    """Measure what is not finished; the exit code is 0 when all is done."""
    content = read(folder, MANIFEST)
    manifest, bundle = json.loads(content.decode()), digest(content)
    if (manifest.get("schema"), manifest.get("version")) != (BUNDLE_SCHEMA, VERSION):
        raise FailedError(f"{MANIFEST} must be of schema {BUNDLE_SCHEMA} {VERSION}")
    if runtime_of(manifest) not in ENDS:
        raise FailedError(f"{MANIFEST} must name a runtime of {', '.join(ENDS)}")
    sys.path.insert(0, folder)  # where Python is isolated, it is not there
    with waiting(os.path.join(folder, "lock")):
        results = Results(folder, bundle, device(manifest))
        left = [n for n in manifest["networks"] if n["name"] not in results.names]
        for network in [manifest["reference"], *left]:  # a bad copy fails before anything runs
            check_files(folder, network, ENDS[runtime_of(manifest)])
        say("{} of {} models are left".format(len(left), len(manifest["networks"])))
        for start in range(0, len(left), GROUP):
            with waiting(device_lock(manifest["provider"])):
                measure(folder, manifest, left[start : start + GROUP], results)
    return 0


@contextlib.contextmanager
def waiting(path: str) -> Iterator[None]:
    """Hold a lock; whoever holds it ends first. A killed process holds none."""
    with open(path, "w") as lock:
        with contextlib.suppress(ImportError):  # Windows has no such lock
            fcntl = importlib.import_module("fcntl")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def device_lock(provider: str) -> str:
    """Name the lock of what is measured: of this user's bundles, and of hwnas if it runs here."""
    user = getattr(os, "getuid", lambda: "")()
    resource = "this-cpu" if provider == "CPUExecutionProvider" else "gpu0"
    return os.path.join(tempfile.gettempdir(), f"hwnas-{user}-{resource}.lock")


def main(arguments: list[str]) -> int:
    """Measure, or with ``--device PROVIDER PRECISION BATCH THREADS RUNTIME`` say what would."""
    if arguments[:1] == ["--device"]:
        provider, precision, batch, threads, runtime = arguments[1:]
        asked = {"provider": provider, "precision": precision, "runtime": runtime}
        say(json.dumps(device(dict(asked, batch=int(batch), threads=int(threads)))))
        return 0
    return run(os.path.dirname(os.path.abspath(__file__)))


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except (FailedError, OSError) as problem:
        print(f"{RUNNER}: {problem}", file=sys.stderr)
        sys.exit(2)
