"""A search algorithm as a strategy that is asked and told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Generic

import numpy as np
import numpy.typing as npt

from hwnas.errors import DataFormatError, InvalidValueError
from hwnas.seeding import derive_seed
from hwnas.strategies.history import Proposer
from hwnas.strategies.ledger import Ledger
from hwnas.typing import Arch, SearchSpace


class AskTell(Generic[Arch]):
    """Run a proposer; see `hwnas.typing.Strategy`.

    The generator of a proposal derives from (seed, number of the proposal), so that nothing
    random has to be kept: what is proposed depends on the seed, on what was asked and on what was
    told. Architectures that are asked and not yet told are known to the proposer, so a batch
    spreads out.

    Args:
        proposer: the algorithm.
        space: its search space.
        seed: user seed.
    """

    def __init__(self, proposer: Proposer[Arch], space: SearchSpace[Arch], seed: int = 0) -> None:
        self._proposer = proposer
        self._ledger = Ledger(space)
        self.seed = seed

    def ask(self, n: int) -> list[Arch]:
        """Propose up to `n` architectures; fewer, in the end none, once the space is exhausted.

        Raises:
            InvalidValueError: `n` is negative.
        """
        if n < 0:
            raise InvalidValueError(f"`n` must not be negative, but got {n}.")
        asked: list[Arch] = []
        while len(asked) < n:
            rng = np.random.default_rng(derive_seed(self.seed, self._ledger.proposed))
            arch = self._proposer.propose(self._ledger.history(self.seed), rng)
            if arch is None:
                break
            self._ledger.propose(arch)
            asked.append(arch)
        return asked

    def tell(self, archs: Sequence[Arch], values: npt.ArrayLike) -> None:
        """Report `(n, m)` losses; a row with a NaN stands for a failed evaluation.

        Raises:
            InvalidValueError: the shape does not fit, or a class is told twice.
        """
        self._ledger.tell(archs, values)

    def state(self) -> dict[str, Any]:
        """Give everything that `restore` needs, as JSON-serialisable values."""
        return {"seed": self.seed, **self._ledger.state()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue exactly where `state` was taken, with its seed.

        Raises:
            DataFormatError: it is no such state.
        """
        if not isinstance(state.get("seed"), int):
            raise DataFormatError("`state` must be what a strategy's state() gave: no `seed`.")
        self._ledger.restore(state)
        self.seed = state["seed"]
