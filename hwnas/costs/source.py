"""Where cost models come from: named sources that are asked for a device and a metric.

A source is one line in the table ``costs`` of `hwnas.registry`, whose class is made without
arguments, or a runtime: one line in the table ``runtimes``. How known sources are spelled in these
terms:

- ``hw-nas-bench:edgegpu:energy`` is a table with ten (device, metric) pairs;
- ``count:macs`` is a counter, whose only device is ``any``;
- ``onnxruntime:cpu:latency:threads=2`` is a measurement on this host, whose source is a runtime;
- ``table:measured.csv:latency_ms`` is a column of a table of the user's own: a `FileCostSource`;
- ``predictor:mine.npz`` is a predictor that `hwnas predict` wrote, too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol, cast, runtime_checkable

from hwnas import registry
from hwnas.errors import InvalidValueError, UnknownNameError, unknown_name
from hwnas.files.grammar import read_component
from hwnas.measure.limits import Limits
from hwnas.tasks.task import Task
from hwnas.typing import Arch, CostModel, Direction, SearchSpace

RAW = "raw"
"""How values were measured that do not say it: before there was a reference network."""


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
        settings: settings by name, all of them in the source's `settings`.
        limits: what a measurement may take where `settings` do not say it; None for the default.
    """

    space: SearchSpace[Any]
    device: str | None
    metric: str | None
    task: Task
    data_folder: Path | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    limits: Limits | None = None


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


@runtime_checkable
class SettableCostSource(Protocol):
    """A maker of cost models that have settings: ``SOURCE:DEVICE:METRIC:SETTING=VALUE,…``."""

    @property
    def settings(self) -> Sequence[str]:
        """Names of the settings."""


class CostSpec(NamedTuple):
    """A cost as written by a user, completed: source, device, metric and settings."""

    source: str
    device: str
    metric: str
    settings: Mapping[str, Any]


def get_source(name: str) -> CostSource:
    """Make a source by its name; `UnknownNameError` if there is none."""
    if name in registry.names("runtimes"):
        from hwnas.costs.measured import RuntimeSource

        return RuntimeSource(name)
    try:
        return cast(CostSource, registry.make("costs", name))
    except UnknownNameError:
        raise unknown_name("cost", name, source_names()) from None


def source_names() -> list[str]:
    """List the sources: tables, counters and files, then a source for each runtime."""
    return [*registry.names("costs"), *registry.names("runtimes")]


def parse_cost_spec(text: str) -> CostSpec:
    """Read ``SOURCE[:DEVICE][:METRIC][:SETTING=VALUE,…]``.

    With two parts the second is a metric if the source has that metric, else a device. A part
    that is missing is that of the first matching option of the source.

    Args:
        text: e.g. ``hw-nas-bench:edgegpu:energy``, ``hw-nas-bench:raspi4``, ``count:macs`` or
            ``onnxruntime:cpu:latency:threads=2,batch=4``.

    Returns:
        The parts, all of them known to the source.

    Raises:
        InvalidValueError: the text has another form, or the source has no settings.
        UnknownNameError: no such source, device, metric or setting; suggests the closest name.
    """
    read = read_component(text, "cost", words=2)
    source, rest = read.name, read.words
    maker = get_source(source)
    options = maker.options()
    _check_settings(source, maker, read.settings)
    if len(rest) == 1 and rest[0] in {option.metric for option in options}:
        option = next(option for option in options if option.metric == rest[0])
    elif len(rest) == 1:
        known = {option.device for option in options}
        option = _choose(source, options, rest[0], None, {o.metric for o in options} | known)
    else:
        option = _choose(source, options, *(rest or (None, None)))
    return CostSpec(source, option.device, option.metric, read.settings)


def _check_settings(name: str, source: CostSource, settings: Mapping[str, Any]) -> None:
    known = source.settings if isinstance(source, SettableCostSource) else ()
    if settings and not known:
        raise InvalidValueError(
            f"`cost` {name} has no settings, but got {', '.join(settings)}: leave them out."
        )
    for setting in settings:
        if setting not in known:
            raise unknown_name(f"setting of {name}", setting, known)


def _choose(
    source: str,
    options: Sequence[CostOption],
    device: str | None,
    metric: str | None,
    known: set[str] | None = None,
) -> CostOption:
    """Give the first option of this device and metric; None stands for any."""
    devices = {option.device for option in options}
    if not options:
        raise InvalidValueError(
            f"`cost` {source} must have a device, but there is none here: its documentation says "
            f"where they are named."
        )
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
    spec: str,
    space: SearchSpace[Arch],
    task: Task,
    data_folder: Path | None = None,
    limits: Limits | None = None,
) -> CostModel[Arch]:
    """Make the cost model that a user's text describes.

    Args:
        spec: ``SOURCE[:DEVICE][:METRIC][:SETTING=VALUE,…]``, or ``SOURCE:FILE`` where the source
            reads files.
        space: search space of the architectures.
        task: what the networks are built for.
        data_folder: folder of published data; None for the default one.
        limits: what a measurement may take where the text does not say it; None for the default.

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
    source, device, metric, settings = parse_cost_spec(spec)
    request = CostRequest(space, device, metric, task, data_folder, settings, limits)
    return get_source(source).make(request)
