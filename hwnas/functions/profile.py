"""`hwnas.profile`: what one run of a network takes on this host, and what there is to count."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from hwnas.costs.counters import Counts, count
from hwnas.errors import InvalidValueError
from hwnas.functions.own_network import Input, check_network, input_spec
from hwnas.measure.measurement import Measurement
from hwnas.measure.measuring import measure
from hwnas.measure.resource_lock import hold
from hwnas.measure.rounds import Length
from hwnas.measure.windows import WIDEST_SPREAD
from hwnas.meters import AUTO, choose_meter
from hwnas.networks.answer import Answering, answer_for
from hwnas.networks.usable import answering_network
from hwnas.runtimes import make_runtime
from hwnas.runtimes.agreement import LEAST_CORRELATION
from hwnas.runtimes.base import Network, OnnxModel, RunSettings, TorchNetwork
from hwnas.tasks.batch import draw_inputs
from hwnas.tasks.task import Task

if TYPE_CHECKING:
    import onnx

_LOG = logging.getLogger(__name__)
_COUNTED = {
    "params": "params",
    "macs": "macs",
    "flops": "flops",
    "peak_memory_bytes": "peak_memory",
    "layers": "layers",
}


@dataclass(frozen=True, repr=False)
class Profile:
    """What a network takes.

    Attributes:
        measurement: the measured runs.
        counts: parameters, MACs, memory and layers; None of an ONNX model, which does not tell
            parameters from constants.
    """

    measurement: Measurement
    counts: Counts | None

    @property
    def latency_ms(self) -> float:
        """Median latency of one run of the whole batch, in milliseconds."""
        found = self.measurement
        return found.value if found.metric == "latency" else found.wall_ms

    @property
    def energy_mj(self) -> float:
        """Median energy of one run of the whole batch, in mJ; NaN if another metric was measured.

        It is all that the device took meanwhile; `Measurement.facts` has the part above idle.
        """
        found = self.measurement
        return found.value if found.metric == "energy" else math.nan

    def as_dict(self) -> dict[str, Any]:
        """Give everything as JSON values, with units in the names; None where it is not known."""
        return {
            **self.measurement.as_dict(),
            **{name: getattr(self.counts, of, None) for name, of in _COUNTED.items()},
        }

    def remarks(self) -> Iterator[str]:
        """Say in a line each what is not known, or not as well as it should be."""
        found = self.measurement
        if self.counts is not None and self.counts.uncounted:
            missing = ", ".join(self.counts.uncounted)
            yield f"macs are not known: there is no formula for {missing}."
        if found.correlation < LEAST_CORRELATION:
            yield (
                f"The outputs in {found.key.precision} agree poorly with those in float32: "
                f"correlation {found.correlation:.3f}, below {LEAST_CORRELATION}."
            )
        if (spread := found.facts.get("window_spread")) is not None:
            if not found.converged:
                most = f"more than {100 * WIDEST_SPREAD:.0f} %"
                yield f"The windows differ by {100 * float(spread):.1f} %, {most}."
        elif "processes" in found.facts:
            return  # whoever measured in several says what is wrong with them
        elif math.isnan(found.ci_low):
            counted = "rounds" if "rounds" in found.facts else "runs"
            number = found.facts.get(counted, found.runs)
            yield f"{number} {counted} are too few for an interval: allow more seconds."
        elif not found.converged:
            width = (found.ci_high - found.ci_low) / found.value
            trouble = (
                "is wider than 2 %"
                if width > Length.target
                else f"is narrow, {100 * width:.1f} %, but time was up before it was sure to "
                "stay so"
            )
            yield (
                f"The 95 % interval of the median, {found.ci_low:.4g} to {found.ci_high:.4g} ms, "
                f"{trouble}: allow more seconds."
            )

    def __repr__(self) -> str:
        """Show the latency with its interval, where it was measured, and the counts."""
        found, counts = self.measurement, self.as_dict()
        told = [f"{name} {counts[name]:,}" for name in _COUNTED if counts[name] is not None]
        return "; ".join(
            [
                f"{found.value:.4g} {found.unit} (95 %: {found.ci_low:.4g} to {found.ci_high:.4g}) "
                f"on {found.key}",
                *told,
                *self.remarks(),
            ]
        )


def profile(
    model: nn.Module | onnx.ModelProto | OnnxModel | str | os.PathLike[str],
    input: Input | None = None,
    runtime: str = "onnxruntime",
    *,
    device: str = "cpu",
    threads: int = 1,
    batch: int | None = None,
    precision: str | None = None,
    images: str = "gaussian",
    options: Mapping[str, str] | None = None,
    metric: str = "latency",
    meter: str = AUTO,
    max_seconds: float = 5.0,
    seed: int = 0,
    output: str | int | None = None,
    reference: bool = True,
    length: Length | None = None,
) -> Profile:
    """Measure the latency of a network on this host, and count what it holds.

    Runs are repeated until the 95 % interval of the median is narrower than 2 % of it, or time is
    up. No other measurement of hwnas runs on the device meanwhile. The network is left as it was.

    Args:
        model: a torch network, or an ONNX model or its file.
        input: (C, H, W) of the images of a torch network, or what it gets: `TensorSpec`, `Task`.
            Of an ONNX model: the free dimensions of its first input beside the batch.
        runtime: what runs it: see ``hwnas doctor``.
        device: one of the runtime's devices.
        threads: CPU threads inside an operator.
        batch: inputs a run; 1, or what an ONNX model fixes, if None.
        precision: number format, e.g. ``int8``; the runtime's first, or the ONNX model's, if None.
        images: what runs, and what int8 is calibrated with: ``gaussian``, ``cifar10-sample``, a
            ``FILE.npz`` of images, signals, vectors or tokens, or a folder of class folders of
            pictures.
        options: the runtime's own options, e.g. ``{"float_operators": "AveragePool"}``.
        metric: ``latency``, or ``energy`` where there is a sensor.
        meter: ``wall``, ``cpu`` (of the calling thread), or ``auto``: ``cpu`` for one thread; of
            energy the name of a sensor, or ``auto``.
        max_seconds: longest time to measure.
        seed: seed of the inputs.
        output: name or index of the answer, where a torch network returns more than one tensor; or
            ``all``, which are measured joined to one.
        reference: measure a latency beside the reference network, and give it at its nominal
            speed; the raw median is `Measurement.facts["raw_ms"]`. Else give that.
        length: how long to measure beside it, instead of `max_seconds`.

    Raises:
        UnknownNameError: there is no such runtime, device, precision, option or meter.
        MissingDependencyError: the runtime is not installed.
        InvalidValueError: an argument is out of range, the network cannot be run, or the runtime
            does not give PyTorch's outputs.

    Example:
        >>> import hwnas
        >>> from torch import nn
        >>> found = hwnas.profile(nn.Conv2d(3, 8, 3), (3, 16, 16), max_seconds=0.05)
        >>> found.latency_ms > 0, found.counts.params
        (True, 224)
    """
    chosen, made = tuple(sorted((options or {}).items())), make_runtime(runtime)
    settings = RunSettings(device, threads, batch, precision, chosen, seed, images)
    place = made.place(settings)
    choose_meter(meter, metric, place)  # refuses it before the network runs
    network, counts = _network(model, input, batch or 1, output)
    with hold(place.resource):
        found = measure(
            network, made, settings, metric=metric, meter=meter, max_seconds=max_seconds,
            reference=reference, length=length,
        )  # fmt: skip
    return Profile(found, counts)


def _network(
    model: Any, given: Input | None, batch: int, output: str | int | None
) -> tuple[Network, Counts | None]:
    if isinstance(model, OnnxModel):
        return model, None
    if _is_onnx(model):
        free = None if given is None else tuple(getattr(given, "shape", given))  # type: ignore[arg-type]
        return OnnxModel(model, free), None
    if given is None:
        raise InvalidValueError(
            "`input` must be given with a torch network: (C, H, W) of its images, e.g. (3, 32, 32)."
        )
    spec = input_spec(given)
    generator = torch.Generator().manual_seed(0)
    draw = partial(draw_inputs, spec, batch, generator)
    if output is None and isinstance(given, Task):
        output = answer_for(given.output)
    module = answering_network(check_network(model), draw, output)
    if isinstance(module, Answering) and module.among > 1:
        _LOG.warning(
            "What is exported and timed is what this output needs; output='all', or --output all, "
            "measures the whole network."
        )
    return TorchNetwork(module, spec), count(module, spec, batch)


def _is_onnx(model: object) -> bool:
    if isinstance(model, str | os.PathLike):
        return True
    import onnx

    return isinstance(model, onnx.ModelProto)
