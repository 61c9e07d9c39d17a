"""Where cost models come from: named sources that are asked for a device and a metric.

A source is one line in the table ``costs`` of `hwnas.registry`; its class is made without
arguments. How known sources are spelled in these terms:

- ``hw-nas-bench:edgegpu:energy`` is a table with ten (device, metric) pairs;
- ``count:macs`` is a counter, whose only device is ``any``;
- ``onnxruntime:cpu:latency`` is a measurement on this host;
- ``predictor:mine.npz`` is a predictor that `hwnas predict` wrote: a `FileCostSource`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol, cast, runtime_checkable

from hwnas import registry
from hwnas.errors import InvalidValueError, unknown_name
from hwnas.tasks.task import Task
from hwnas.typing import CostModel, Direction, SearchSpace


class CostOption(NamedTuple):
    """One thing that a source can give.

    Attributes:
        device: name of the device; ``any`` where the metric has none.
        metric: what is counted, e.g. ``latency``.
        unit: unit of the values, e.g. ``ms``; empty for a plain number.
        direction: which values are better.
    """

    device: str
    metric: str
    unit: str
    direction: Direction


@dataclass(frozen=True)
class CostRequest:
    """What a cost model is made for.

    Attributes:
        space: search space of the architectures.
        device: device of one of the source's options; None leaves the choice to the source.
        metric: metric of one of the source's options; None leaves the choice to the source.
        task: what the networks are built for.
        data_folder: folder of published data; None for the default one.
    """

    space: SearchSpace[Any]
    device: str | None
    metric: str | None
    task: Task
    data_folder: Path | None = None


class CostSource(Protocol):
    """A maker of cost models."""

    def options(self) -> Sequence[CostOption]:
        """List what there is, the default first; needs neither data nor a search space."""

    def make(self, request: CostRequest) -> CostModel[Any]:
        """Make the cost model; `HwnasError` if it cannot serve the request."""


@runtime_checkable
class FileCostSource(Protocol):
    """A maker of cost models from files: a user writes ``SOURCE:FILE``."""

    def open(self, file: Path, request: CostRequest) -> CostModel[Any]:
        """Make the cost model of a file; `HwnasError` if it is not for the space."""


class CostSpec(NamedTuple):
    """A cost as written by a user, completed: source, device and metric."""

    source: str
    device: str
    metric: str


def get_source(name: str) -> CostSource:
    """Make a source by its name; `UnknownNameError` if there is none."""
    return cast(CostSource, registry.load("costs", name)())


def parse_cost_spec(text: str) -> CostSpec:
    """Read ``SOURCE[:DEVICE][:METRIC]``.

    With two parts the second is a metric if the source has that metric, else a device. A part
    that is missing is that of the first matching option of the source.

    Args:
        text: e.g. ``hw-nas-bench:edgegpu:energy``, ``hw-nas-bench:raspi4`` or ``count:macs``.

    Returns:
        The three parts, all of them known to the source.

    Raises:
        InvalidValueError: the text has another form.
        UnknownNameError: no such source, device or metric; suggests the closest name.
    """
    source, *rest = text.split(":")
    if not source or len(rest) > 2 or not all(rest):
        raise InvalidValueError(
            f"`cost` must be SOURCE[:DEVICE][:METRIC], e.g. 'hw-nas-bench:edgegpu:energy', "
            f"but got {text!r}."
        )
    options = get_source(source).options()
    if len(rest) == 1 and rest[0] in {option.metric for option in options}:
        option = next(option for option in options if option.metric == rest[0])
    elif len(rest) == 1:
        known = {option.device for option in options}
        option = _choose(source, options, rest[0], None, {o.metric for o in options} | known)
    else:
        option = _choose(source, options, *(rest or (None, None)))
    return CostSpec(source, option.device, option.metric)


def _choose(
    source: str,
    options: Sequence[CostOption],
    device: str | None,
    metric: str | None,
    known: set[str] | None = None,
) -> CostOption:
    """Give the first option of this device and metric; None stands for any."""
    devices = {option.device for option in options}
    if device is not None and device not in devices:
        kind = "device or metric" if known else "device"
        raise unknown_name(f"{kind} of {source}", device, known or devices)
    fitting = [option for option in options if device in (None, option.device)]
    if metric is None:
        return fitting[0]
    for option in fitting:
        if option.metric == metric:
            return option
    raise unknown_name(f"metric of {source}:{device}", metric, {o.metric for o in fitting})


def make_cost(
    spec: str, space: SearchSpace[Any], task: Task, data_folder: Path | None = None
) -> CostModel[Any]:
    """Make the cost model that a user's text describes.

    Args:
        spec: ``SOURCE[:DEVICE][:METRIC]``, or ``SOURCE:FILE`` where the source reads files.
        space: search space of the architectures.
        task: what the networks are built for.
        data_folder: folder of published data; None for the default one.

    Raises:
        InvalidValueError: the spec has another form, or the source does not know the space.
        UnknownNameError: no such source, device or metric.
        DataNotFoundError: the source needs published data that is absent.
    """
    name, _, file = spec.partition(":")
    if name and isinstance(by_file := get_source(name), FileCostSource):
        if not file:
            raise InvalidValueError(f"`cost` must be {name}:FILE, but got {spec!r}.")
        return by_file.open(Path(file), CostRequest(space, None, None, task, data_folder))
    source, device, metric = parse_cost_spec(spec)
    return get_source(source).make(CostRequest(space, device, metric, task, data_folder))
