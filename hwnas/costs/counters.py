"""Counts that need no device: parameters, MACs, FLOPs, peak memory and layers.

They are exact for any torch network, run on `meta` tensors and take milliseconds, so they are the
constraints that an evaluator checks first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, get_args

import numpy as np

from hwnas.costs.source import CostOption, CostRequest
from hwnas.deferred import deferred
from hwnas.errors import InvalidValueError, unknown_name
from hwnas.files.identity import identity_text
from hwnas.spaces.facets import Counted, facet
from hwnas.spaces.networks import Networks
from hwnas.tasks.batch import draw_inputs
from hwnas.tasks.task import Task, TensorSpec
from hwnas.typing import Arch, DeviceKey, Direction, FloatArray, SearchSpace

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

else:
    torch = deferred("torch")
    nn = deferred("torch.nn")

Metric = Literal["params", "macs", "flops", "peak_memory", "layers"]
METRICS: tuple[Metric, ...] = get_args(Metric)
"""What is counted; `Counts` says what each of them means."""

_SHIPPED: Mapping[str, tuple[str, float]] = {
    "params": ("params", 1.0),
    "macs": ("flops", 0.5),
    "flops": ("flops", 1.0),
    "layers": ("layers", 1.0),
}
"""The proxy that is a count, and its share."""
_CLOSED: Mapping[str, tuple[str, int]] = {
    "params": ("params", 1),
    "macs": ("macs", 1),
    "flops": ("macs", 2),
    "layers": ("layers", 1),
}
"""The count of the facet `Counted` that each metric is a multiple of."""
_DEVICE = DeviceKey(device="any", runtime="count")
_MEMO_LIMIT = 65536
_memo: dict[tuple[str, str, str], Counts] = {}


@dataclass(frozen=True)
class Counts:
    """What one inference of one image takes.

    Attributes:
        params: elements of all parameters; one that several modules share counts once. A weight
            that is computed from others, e.g. by weight norm, counts itself, and they do not.
        macs: multiply-accumulates by the formulas of `hwnas.networks.macs`; biases, norms,
            activations, pools and sums count 0. None if an operator has no formula.
        peak_memory: bytes of activations alive at once in float32, weights excluded; defined by
            `hwnas.networks.peak_memory.peak_memory_bytes`.
        layers: convolutions and linear layers that the network holds.
        uncounted: operators that were executed and have no formula.
    """

    params: int
    macs: int | None
    peak_memory: int
    layers: int
    uncounted: tuple[str, ...] = ()

    @property
    def flops(self) -> int | None:
        """Floating-point operations, 2 a multiply-accumulate."""
        return None if self.macs is None else 2 * self.macs


def count(model: nn.Module, task_input: TensorSpec | tuple[int, ...], batch: int = 1) -> Counts:
    """Count parameters, MACs, memory and layers of a network in evaluation mode.

    Args:
        model: any network with one tensor as its input; it is left as it is. One that needs
            values is counted as it runs on a Gaussian image, and one with lazy modules as it is
            after a run.
        task_input: what an input is, or the shape of one of real numbers, e.g. (C, H, W).
        batch: images of a run, for a network that does not run on one: one's share is counted.

    Returns:
        The counts for one image. Operators without a formula are named in `uncounted`, and
        `macs` is None then: they are never counted as 0.

    Raises:
        InvalidValueError: the network does not run on such an image.
    """
    from hwnas.networks.layers import weight_layers
    from hwnas.networks.operations import trace_operations
    from hwnas.networks.peak_memory import peak_memory_bytes
    from hwnas.networks.plain import plain_network
    from hwnas.networks.usable import complete_network

    model = plain_network(model)
    spec = task_input if isinstance(task_input, TensorSpec) else None
    in_shape = task_input.shape if isinstance(task_input, TensorSpec) else task_input
    draw = partial(_draw, spec)
    model = complete_network(model, lambda: draw((max(batch, 2), *in_shape)))
    trace = trace_operations(model, in_shape, (1, batch), draw)
    return Counts(
        params=sum(parameter.numel() for parameter in model.parameters()),
        macs=trace.macs,
        peak_memory=peak_memory_bytes(trace) // trace.batch,
        layers=len(weight_layers(model)) + _scripted_layers(model),
        uncounted=trace.uncounted,
    )


def _scripted_layers(model: nn.Module) -> int:
    """Count the layers that TorchScript made of Python's."""
    from hwnas.networks.layers import WeightLayer

    names = [m.original_name for m in model.modules() if isinstance(m, torch.jit.ScriptModule)]
    kinds = [getattr(nn, name, None) for name in names]
    return sum(isinstance(k, type) and issubclass(k, get_args(WeightLayer)) for k in kinds)


def _draw(spec: TensorSpec | None, shape: tuple[int, ...]) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    if spec is None:
        return torch.randn(shape, generator=generator)
    return draw_inputs(spec, shape[0], generator)


@dataclass(frozen=True, repr=False)
class CounterCost(Generic[Arch]):
    """One count of the network of an architecture's representative, as a cost model.

    The counts of a representative are worked out once a process, for all metrics together. Where
    scores of the space ship with hwnas, its params, MACs, FLOPs and layers are looked up, and where
    the space has them in closed form (`hwnas.spaces.facets.Counted`), no network is built.

    Attributes:
        space: search space.
        metric: ``params``, ``macs``, ``flops``, ``peak_memory`` (bytes) or ``layers``.
        task: what the networks are built for; the space's default if None.

    Raises:
        UnknownNameError: there is no such metric.
    """

    space: SearchSpace[Arch]
    metric: Metric
    task: Task | None = None

    direction: Direction = "minimize"
    builds_networks: ClassVar[bool] = True

    def __post_init__(self) -> None:
        """Check the settings."""
        if self.metric not in METRICS:
            raise unknown_name("metric", self.metric, METRICS)

    def __repr__(self) -> str:
        task = "".join(f"{k}={v!r}, " for k, v in self.networks.task.settings.items())
        return (
            f"CounterCost(space={self.space!r}, metric={self.metric!r}, {task}"
            f"direction={self.direction!r})"
        )

    @cached_property
    def networks(self) -> Networks[Arch]:
        """What is counted."""
        return Networks(self.space, self.task or self.space.default_task)

    @property
    def unit(self) -> str:
        """``bytes`` for memory, empty for plain numbers."""
        return "bytes" if self.metric == "peak_memory" else ""

    @property
    def device(self) -> DeviceKey:
        """Counts hold for any device."""
        return _DEVICE

    @property
    def is_shipped(self) -> bool:
        """Whether the counts of the space's networks are looked up."""
        return bool(self._shipped)

    def predict(self, archs: Sequence[Arch]) -> FloatArray:
        """Count.

        Args:
            archs: `(n,)` architectures.

        Returns:
            `(n,)` counts.

        Raises:
            InvalidValueError: a network executes an operator without a formula, and `metric` is
                ``macs`` or ``flops``.
        """
        return np.array([self._value(arch) for arch in archs], dtype=np.float64)

    def _value(self, arch: Arch) -> float:
        if self._shipped and (key := self.space.canonical_key(arch)) in self._shipped:
            return self._shipped[key]
        if self._closed is not None and self.metric in _CLOSED:
            metric, factor = _CLOSED[self.metric]
            arch = self.space.representative(arch)
            return factor * self._closed.counts(arch, self.networks.task)[metric]
        counts = self._counts(arch)
        value: int | None = getattr(counts, self.metric)
        if value is None:
            raise InvalidValueError(
                f"`metric` {self.metric!r} needs a formula for every operator, but there is none "
                f"for {', '.join(counts.uncounted)} in {arch}: bound params or peak_memory instead."
            )
        return value

    @cached_property
    def _closed(self) -> Counted[Arch] | None:
        return facet(self.space, Counted)

    @cached_property
    def _shipped(self) -> Mapping[str, float]:
        """Counts by canonical key that ship with the package; none of other networks' settings."""
        from hwnas.tables.shipped import shipped_columns, shipped_values

        if not shipped_columns(self.space.name):
            return {}
        if self.metric not in _SHIPPED:
            return shipped_values(self.space.name, self.identity)
        from hwnas.proxies import make_proxy
        from hwnas.proxies.identity import score_identity

        name, share = _SHIPPED[self.metric]
        identity = score_identity(make_proxy(name), self.space, self.networks.task)
        found = shipped_values(self.space.name, identity)
        return {key: share * value for key, value in found.items()}

    @property
    def identity(self) -> str:
        """Everything that the counts depend on beside the architecture."""
        task = self.networks.task.settings
        return identity_text(count=self.metric, space=self.space, task=task)

    def _counts(self, arch: Arch) -> Counts:
        task = self.networks.task
        # Not the class: to trace a network for its key costs more than to count it.
        key = (repr(self.space), str(self.space.representative(arch)), repr(task.settings))
        if key not in _memo:
            if len(_memo) >= _MEMO_LIMIT:
                _memo.clear()
            # Weights do not matter.
            _memo[key] = count(self.networks.network(arch, seed=0), task.input)
        return _memo[key]


class CounterSource:
    """The source ``count``: counts of the networks that a search space builds."""

    def options(self) -> list[CostOption]:
        """List the counts."""
        units = {"peak_memory": "bytes"}
        return [CostOption("any", metric, units.get(metric, ""), "minimize") for metric in METRICS]

    def make(self, request: CostRequest) -> CounterCost[Any]:
        """Make the counter; params where no metric is named."""
        metric: Any = request.metric or METRICS[0]
        return CounterCost(request.space, metric, request.task)
