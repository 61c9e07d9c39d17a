"""What was proposed and what came of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Generic

import numpy as np
import numpy.typing as npt

from hwnas.errors import DataFormatError, InvalidValueError
from hwnas.strategies.history import History
from hwnas.typing import Arch, SearchSpace

_FORMAT = 1


class Ledger(Generic[Arch]):
    """Records proposals and values, one row a class, as JSON if needed.

    Args:
        space: search space.
    """

    def __init__(self, space: SearchSpace[Arch]) -> None:
        self._space = space
        self.proposed = 0
        self._pending: dict[str, Arch] = {}
        self._archs: dict[str, Arch] = {}
        self._rows: list[list[float]] = []

    def history(self, seed: int) -> History[Arch]:
        """Give everything that is recorded, in the order in which it was told."""
        width = len(self._rows[0]) if self._rows else 0
        losses = np.array(self._rows, dtype=np.float64).reshape(len(self._rows), width)
        taken = self._archs.keys() | self._pending.keys()
        return History(
            list(self._archs.values()), losses, list(self._pending.values()), taken, seed
        )

    def propose(self, arch: Arch) -> None:
        """Record a proposal."""
        self.proposed += 1
        self._pending[self._space.canonical_key(arch)] = arch

    def tell(self, archs: Sequence[Arch], values: npt.ArrayLike) -> None:
        """Record `(n, m)` losses of architectures, also of ones that were not proposed.

        A row with a NaN or an infinity is a failed evaluation.

        Raises:
            InvalidValueError: the shape does not fit the architectures or earlier losses, or a
                class has losses already. Nothing is recorded then.
        """
        losses = np.asarray(values, dtype=np.float64)
        width = len(self._rows[0]) if self._rows else None
        rows = len(losses) if losses.ndim == 2 else None
        if rows != len(archs) or (width is not None and losses.shape[1] != width):
            raise InvalidValueError(
                f"`values` must have shape ({len(archs)}, {width or 'm'}), one row an "
                f"architecture, but got {losses.shape}."
            )
        keys = [self._space.canonical_key(arch) for arch in archs]
        again = [str(a) for a, k in zip(archs, keys, strict=True) if k in self._archs]
        if again or len(set(keys)) < len(keys):
            raise InvalidValueError(
                f"`archs` must hold each class once, and none that was told before, but got "
                f"{again or [str(arch) for arch in archs]}."
            )
        failed = ~np.isfinite(losses).all(axis=1, keepdims=True)
        self._rows += np.where(failed, np.nan, losses).tolist()
        for key, arch in zip(keys, archs, strict=True):
            self._pending.pop(key, None)
            self._archs[key] = arch

    def state(self) -> dict[str, Any]:
        """Give everything as JSON-serialisable values; a failed evaluation is None."""
        return {
            "format": _FORMAT,
            "proposed": self.proposed,
            "pending": [str(arch) for arch in self._pending.values()],
            "archs": [str(arch) for arch in self._archs.values()],
            "losses": [[None if np.isnan(v) else v for v in row] for row in self._rows],
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take over what `state` gave.

        Raises:
            DataFormatError: it is something else.
        """
        fresh = Ledger(self._space)
        try:
            if state["format"] != _FORMAT:
                raise ValueError(f"format {state['format']!r}")
            for text in state["pending"]:
                fresh.propose(self._space.parse(text))
            archs = [self._space.parse(text) for text in state["archs"]]
            rows = [[np.nan if v is None else v for v in row] for row in state["losses"]]
            if archs:
                fresh.tell(archs, rows)
            fresh.proposed = int(state["proposed"])
        except (KeyError, TypeError, ValueError) as error:
            raise DataFormatError(
                f"`state` must be what a strategy's state() gave, but reading it failed: {error}"
            ) from error
        self.__dict__.update(fresh.__dict__)
