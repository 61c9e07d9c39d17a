"""What the networks of any space do, as columns of a linear model: work in all and by kind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Generic, Self

import numpy as np
import numpy.typing as npt

from hwnas.measure.conversation import InChild
from hwnas.spaces.elsewhere import HERE, Elsewhere
from hwnas.spaces.networks import Networks
from hwnas.tasks.task import Task
from hwnas.typing import Arch, FloatArray, SearchSpace
from hwnas_predictors.power_transform import transform

if TYPE_CHECKING:  # it imports torch, which predictors of cells do without
    from hwnas.networks.work import Share, Work

_PREFIX = "network_"
_PARTS = ("macs", "bytes", "operators")
_OTHER = ("weights", "depth", "peak_memory")
_LEAST = 1e-3
"""Share of the mean below which there is no difference; a network may have no weights at all."""


@dataclass(frozen=True, eq=False)
class NetworkColumns(Generic[Arch]):
    """Work of networks over the mean work of networks of the space.

    An architecture's network is built and traced once, some 50 ms; one of a space of the user's own
    in a child process, where it can neither end nor hold up this one.

    Attributes:
        space: search space.
        task: what the networks are built for.
        kinds: kinds of operators that have columns of their own; all others share one.
        means: `(6,)` mean MACs, bytes, operators, bytes of weights, depth and peak memory.
        power: exponent of the transform of work in all, that of costs; 0 takes logarithms.
    """

    space: SearchSpace[Arch]
    task: Task
    kinds: tuple[str, ...]
    means: FloatArray
    power: float
    _known: dict[Arch, Work] = field(default_factory=dict, repr=False)

    @classmethod
    def fit(cls, space: SearchSpace[Arch], task: Task, archs: Sequence[Arch], power: float) -> Self:
        """Find the kinds and means of `(n,)` architectures.

        Raises:
            InvalidValueError: a network does not run.
        """
        made = cls(space, task, (), np.ones(len(_PARTS) + len(_OTHER)), power)
        works = [made._work(arch) for arch in archs]
        kinds = tuple(sorted({kind for work in works for kind in work.by_kind}))
        means = made._totals(works).mean(axis=0)
        means[means == 0] = 1.0
        return cls(space, task, kinds, means, power, made._known)

    @property
    def kind_names(self) -> tuple[str, ...]:
        """Names of the columns of work by kind."""
        return tuple(f"{part} of {kind}" for kind in (*self.kinds, "others") for part in _PARTS)

    def __call__(self, archs: Sequence[Arch]) -> tuple[FloatArray, FloatArray]:
        """Give `(n, 6)` columns of work in all, and `(n, 3 kinds + 3)` columns by kind.

        Each is a share of the mean of the whole, so that equal weights mean equal costs a MAC, a
        byte or an operator of any kind. Work in all gets the transform that costs get, so that
        costs may be in proportion to it.
        """
        works = [self._work(arch) for arch in archs]
        totals = transform(np.maximum(self._totals(works) / self.means, _LEAST), self.power)
        kinds = np.array([self._by_kind(work) for work in works], dtype=np.float64)
        return totals, kinds.reshape(len(works), len(self.kind_names))

    def to_arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Give the arrays of a predictor file."""
        kinds = np.array(self.kinds, dtype=np.str_)
        return {f"extra_{_PREFIX}kinds": kinds, f"{_PREFIX}means": self.means}

    @classmethod
    def from_arrays(
        cls,
        space: SearchSpace[Arch],
        task: Task,
        arrays: Mapping[str, npt.NDArray[Any]],
        power: float,
    ) -> Self:
        """Read what `to_arrays` gave for the same space, task and power.

        Raises:
            ValueError: there are other numbers, or one of them is not positive.
        """
        kinds, means = arrays[f"extra_{_PREFIX}kinds"], arrays[f"{_PREFIX}means"]
        if means.shape != (len(_PARTS) + len(_OTHER),) or not (means > 0).all():
            raise ValueError("its means of networks are none")
        return cls(space, task, tuple(map(str, kinds.tolist())), means, power)

    def _by_kind(self, work: Work) -> FloatArray:
        from hwnas.networks.work import Share

        others = (share for kind, share in work.by_kind.items() if kind not in self.kinds)
        shares = [work.by_kind.get(kind, Share()) for kind in self.kinds]
        rows = [_parts(share) for share in (*shares, sum(others, Share()))]
        return (np.array(rows) / self.means[: len(_PARTS)]).ravel()

    def _totals(self, works: Sequence[Work]) -> FloatArray:
        rows = [(*_parts(w.total), *(getattr(w, name) for name in _OTHER)) for w in works]
        return np.array(rows, dtype=np.float64).reshape(len(works), len(_PARTS) + len(_OTHER))

    def _work(self, arch: Arch) -> Work:
        if arch not in self._known:
            self._known[arch] = self._elsewhere.call(_work_of, self.space, self.task, arch)
        return self._known[arch]

    @cached_property
    def _elsewhere(self) -> Elsewhere:
        """Where networks are built: those of a user's own space in a child process."""
        from hwnas.study.configuration import bounded

        limits = bounded(self.space)
        return HERE if limits is None else InChild(limits)


def _work_of(space: SearchSpace[Arch], task: Task, arch: Arch) -> Work:
    from hwnas.networks.work import work_of

    return work_of(Networks(space, task).network(arch, seed=0), task.input)


def _parts(share: Share) -> tuple[float, ...]:
    return tuple(getattr(share, part) for part in _PARTS)
