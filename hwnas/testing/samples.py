"""What the contracts share: architectures to try, and what no text may hold."""

from __future__ import annotations

import re
from typing import get_args

import numpy as np

from hwnas.typing import Arch, Direction, SearchSpace

DIRECTIONS = get_args(Direction)
ADDRESS = re.compile(r" at 0x[0-9a-f]+")
"""A memory address: a text that holds one is no identity."""


def draw(space: SearchSpace[Arch], n: int, seed: int = 0) -> list[Arch]:
    """Draw `n` architectures of a space, repetitions possible."""
    rng = np.random.default_rng(seed)
    return [space.sample(rng) for _ in range(n)]
