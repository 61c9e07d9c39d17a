"""The reference network: small, fixed and hwnas' own, it is timed beside every network.

Its nominal time is what it took when this host measured with these settings for the first time; it
is kept in the cache's folder under the host's fingerprint. A value is a network's time over the
reference's, times the nominal one: it is in ms, and as if the machine always ran as fast as then.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np

from hwnas.errors import HwnasError, InvalidValueError
from hwnas.files.atomic import write_text
from hwnas.files.cache_folder import cache_folder
from hwnas.files.identity import identity_text
from hwnas.measure.rounds import REFERENCE_SECONDS, fastest, runs_in
from hwnas.measure.warm_up import Sample, warm_up
from hwnas.runtimes.base import (
    Executable,
    PrecisionError,
    RunSettings,
    Runtime,
    TorchNetwork,
    device_key,
    explicit,
    written,
)
from hwnas.seeding import seeded

REFERENCE = "1"
"""Raised when the network or the way to use it changes: values before and after differ."""
INPUT = (3, 32, 32)
_CALIBRATION_SECONDS = 0.5
_WARM_SECONDS = 1.0
_KEPT = 4
_log = logging.getLogger(__name__)
_kept: dict[str, tuple[ExitStack, Executable]] = {}
"""What is ready to run in this process, by its identity, the latest last."""
_unwritten: dict[str, Nominal] = {}


class Nominal(NamedTuple):
    """The reference's time of the first measurement.

    Attributes:
        value: median over bursts of the fastest run, by the meter that decides, in its unit.
        seconds: shortest time of a run by the clock on the wall.
    """

    value: float
    seconds: float


def reference_network() -> TorchNetwork:
    """Build it: convolutions of three sizes and strides, two poolings and a linear layer.

    It takes a fraction of a millisecond on a CPU and has the operators of the spaces that ship, so
    that what slows networks slows it about as much. Weights do not depend on the global state.
    """
    from torch import nn

    def conv(channels: tuple[int, int], kernel: int, stride: int = 1) -> list[nn.Module]:
        layer = nn.Conv2d(*channels, kernel, stride, kernel // 2, bias=False)
        return [layer, nn.BatchNorm2d(channels[1]), nn.ReLU()]

    with seeded(0):
        module = nn.Sequential(
            *conv((3, 16), 3), *conv((16, 16), 3), nn.AvgPool2d(3, 1, 1), *conv((16, 16), 1),
            *conv((16, 32), 3, 2), *conv((32, 32), 3), *conv((32, 64), 3, 2), *conv((64, 64), 3),
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10),
        )  # fmt: skip
    return TorchNetwork(module.eval(), INPUT)


def reference_settings(runtime: Runtime, settings: RunSettings) -> RunSettings:
    """Give the settings of a measurement, its precision and options, for one Gaussian image.

    Options that only tell something of what runs are left out: nobody is told of the reference. So
    is what stays in float32: the reference may have such operators where they cannot.
    """
    left_out = {"float_operators", *getattr(runtime, "telling_options", ())}
    options = tuple(option for option in settings.options if option[0] not in left_out)
    return explicit(runtime, replace(settings, batch=1, images="gaussian", seed=0, options=options))


def reference_key(reference: Executable, runtime: Runtime, settings: RunSettings) -> str:
    """Name what the nominal time belongs to, with how the precision is written; see `nominal`."""
    return f"{reference.key} {written(runtime, settings)}".rstrip()


@contextmanager
def open_reference(runtime: Runtime, settings: RunSettings, keep: bool) -> Iterator[Executable]:
    """Make the reference ready to run.

    Args:
        runtime: what runs it.
        settings: of the measurement.
        keep: leave it ready for the next measurement of this process.

    Raises:
        InvalidValueError: the runtime cannot run it.
    """
    wanted = reference_settings(runtime, settings)
    key = str(device_key(runtime, wanted))
    if not keep:
        with ExitStack() as stack:
            yield _prepared(stack, runtime, wanted)
        return
    if key not in _kept:
        while len(_kept) >= _KEPT:
            _kept.pop(next(iter(_kept)))[0].close()
        stack = ExitStack()
        _kept[key] = (stack, _prepared(stack, runtime, wanted))
    yield _kept[key][1]


def _prepared(stack: ExitStack, runtime: Runtime, settings: RunSettings) -> Executable:
    try:
        made = stack.enter_context(runtime.prepare(reference_network(), settings))
        made.outputs()
    except PrecisionError:  # no network has it here
        raise
    except HwnasError as error:
        raise InvalidValueError(
            f"`reference` must run on {runtime.name} with these settings, but it does not "
            f"({error}): leave it out, reference=off."
        ) from error
    return made


def nominal(key: str, meter: str, fingerprint: str, calibrated: Callable[[], Nominal]) -> Nominal:
    """Give the reference's nominal time; measure it where this host has none yet.

    Args:
        key: device, runtime and settings, see `reference_key`.
        meter: name of the meter that decides.
        fingerprint: hardware and software.
        calibrated: measures it, see `calibrate`.

    Returns:
        The same for all measurements of these settings that share the cache's folder.
    """
    identity = identity_text(reference=REFERENCE, key=key, meter=meter, host=fingerprint)
    name = hashlib.sha256(identity.encode()).hexdigest()[:16]
    path = cache_folder() / "references" / f"{name}.json"
    known = _unwritten.get(str(path)) or _read(path, identity)
    if known is not None:
        return known
    found = calibrated()
    try:
        write_text(path, json.dumps({"identity": json.loads(identity), **found._asdict()}))
    except InvalidValueError as error:
        _log.warning("The reference's nominal time is kept for this process only: %s", error)
        _unwritten[str(path)] = found
    return found


def calibrate(sample: Sample, now: Callable[[], float] = perf_counter) -> Nominal:
    """Measure the reference for half a second after its warm-up, in bursts as beside networks."""
    warm = warm_up(sample, 10, _WARM_SECONDS, now)
    runs = runs_in(REFERENCE_SECONDS, warm.run_seconds)
    start, bursts = now(), [fastest(sample, runs)]
    while now() - start < _CALIBRATION_SECONDS:
        bursts.append(fastest(sample, runs))
    return Nominal(float(np.median(bursts)), warm.run_seconds)


def _read(path: Path, identity: str) -> Nominal | None:
    try:
        found: Any = json.loads(path.read_text(encoding="utf-8"))
        value = Nominal(float(found["value"]), float(found["seconds"]))
        usable = found["identity"] == json.loads(identity) and min(value) > 0 and max(value) < 1e9
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        _log.warning("%s is not what hwnas wrote and is measured again: %s", path, error)
        return None
    return value if usable else None
