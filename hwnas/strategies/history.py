"""What a search algorithm sees, and what it is."""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Generic, Protocol

import numpy as np

from hwnas.typing import Arch, FloatArray


@dataclass(frozen=True)
class History(Generic[Arch]):
    """Everything that the next proposal may depend on, beside a random generator.

    Attributes:
        archs: `(n,)` finished architectures, oldest first.
        losses: `(n, m)` their losses; a row of NaN where the evaluation failed or a constraint
            was violated. `(0, 0)` before the first one.
        pending: architectures that are being evaluated, oldest first.
        taken: canonical keys that must not be proposed; those of `archs` and `pending` included.
        seed: user seed, for what is drawn from the space once, such as a pool.
    """

    archs: Sequence[Arch]
    losses: FloatArray
    pending: Sequence[Arch]
    taken: AbstractSet[str]
    seed: int

    def complete(self) -> tuple[list[Arch], FloatArray]:
        """Give the `(k,)` architectures with values and their `(k, m)` losses, oldest first."""
        full = np.asarray(np.isfinite(self.losses).all(axis=1), dtype=np.bool_)
        kept = [arch for arch, keep in zip(self.archs, full.tolist(), strict=True) if keep]
        return kept, self.losses[full]


class Proposer(Protocol[Arch]):
    """A search algorithm as a function: equal histories and generators give equal proposals.

    It may remember what is costly to work out, but nothing that changes an answer. It can
    therefore be rebuilt at any moment, by a resumed process or by another worker.
    """

    def propose(self, history: History[Arch], rng: np.random.Generator) -> Arch | None:
        """Propose a valid, feasible architecture whose class is not taken; None if none is left."""
