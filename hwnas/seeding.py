"""Seeds that depend on what is computed, not on when or where."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from hwnas.process_state import PROCESS_STATE


def derive_seed(*parts: object) -> int:
    """Derive a 63-bit seed from values such as (user seed, canonical key, purpose).

    Equal parts give equal seeds in every process and on every platform; the texts of the parts
    are hashed, so `1` and `"1"` are equal.
    """
    text = "\x1f".join(str(part) for part in parts)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little") >> 1


@contextmanager
def torch_state_kept() -> Iterator[None]:
    """Leave torch's global random state as it was."""
    import torch

    with PROCESS_STATE, torch.random.fork_rng(devices=[]):
        yield


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed what draws from torch's global state, and leave that state as it was."""
    import torch

    seed = int(seed)  # an integer of NumPy is none of torch's
    with torch_state_kept():
        if torch.accelerator.is_available():  # a network may be built on it
            torch.manual_seed(seed)
        else:  # `manual_seed` writes out the whole stack for each kind of device that is not there
            torch.default_generator.manual_seed(seed)
        yield


@contextmanager
def numbers_seeded(seed: int) -> Iterator[None]:
    """Seed what draws from the global state of Python and NumPy, and leave it as it was."""
    with PROCESS_STATE:
        python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002
        random.seed(seed)
        np.random.seed(seed)  # noqa: NPY002
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)  # noqa: NPY002
