"""Hardware costs of a sample as an NNI profiler, and thresholds on them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nni.mutable import Mutable
from nni.nas.profiler import Profiler

from hwnas.costs.source import make_cost
from hwnas.errors import InvalidValueError
from hwnas.tasks.catalogue import get_task
from hwnas.tasks.task import Task
from hwnas.typing import CostModel
from hwnas_nni.codec import codec_of


class CostProfiler(Profiler):
    """Give the cost of a sample by any cost model of hwnas.

    Args:
        model_space: the space; published tables need NasBench201 of NNI's hub, counters and
            measurements take any.
        cost: ``SOURCE:DEVICE:METRIC``, e.g. ``count:params`` or ``hw-nas-bench:edgegpu:latency``,
            or a cost model of the architectures that `hwnas_nni.codec_of` gives.
        task: what the networks are built for, or the name of its data set; that of the space if
            None.
        data_folder: folder of published data; None for the default one.
    """

    def __init__(
        self,
        model_space: Mutable,
        cost: str | CostModel[Any],
        task: str | Task | None = None,
        data_folder: Path | None = None,
    ) -> None:
        super().__init__(model_space)
        self._codec = codec_of(model_space)
        known = get_task(task) if isinstance(task, str) else task or self._codec.space.default_task
        self.cost = (
            make_cost(cost, self._codec.space, known, data_folder)
            if isinstance(cost, str)
            else cost
        )

    def profile(self, sample: Mapping[str, Any]) -> float:
        """Give the cost of a sample in the cost's unit; NaN where there is no value."""
        return float(self.cost.predict([self._codec.from_sample(sample)])[0])


class CostFilter:
    """A threshold on a profiler.

    Takes a sample (`accepts`, for `ParetoStrategy`) or a frozen model, so that it guards NNI's
    own strategies as well: ``Chain(RegularizedEvolution(), Filter(CostFilter(profiler, 5.0)))``,
    with `Chain` and `Filter` of `nni.nas.strategy.middleware`.

    Args:
        profiler: any profiler of NNI.
        upper: largest cost; None for no bound.
        lower: smallest cost; None for no bound.

    Raises:
        InvalidValueError: there is no bound at all.
    """

    def __init__(
        self, profiler: Profiler, upper: float | None = None, lower: float | None = None
    ) -> None:
        if upper is None and lower is None:
            raise InvalidValueError("`upper` or `lower` must be given, but got neither.")
        self.profiler = profiler
        self.upper = float("inf") if upper is None else upper
        self.lower = float("-inf") if lower is None else lower

    def accepts(self, sample: Mapping[str, Any]) -> bool:
        """Tell whether the cost is within the bounds; a missing cost (NaN) is not."""
        return bool(self.lower <= self.profiler.profile(dict(sample)) <= self.upper)

    def __call__(self, model: Any) -> bool:
        """Tell whether a frozen model's cost is within the bounds."""
        return self.accepts(model.sample)
