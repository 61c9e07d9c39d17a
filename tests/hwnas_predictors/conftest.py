from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from hwnas.spaces.nasbench201 import Cell, NasBench201
from hwnas.typing import FloatArray

# Milliseconds of none, skip_connect, nor_conv_1x1, nor_conv_3x3, avg_pool_3x3.
_TYPICAL = np.array([0.05, 0.1, 0.6, 1.5, 0.8])


@dataclass(frozen=True)
class SyntheticDevices:
    """Devices whose latency adds up over operations, with a factor for 3x3 on the last edge."""

    archs: list[Cell]
    costs: FloatArray
    true: FloatArray

    @classmethod
    def make(cls, devices: int, n: int, noise: float, seed: int) -> SyntheticDevices:
        rng = np.random.default_rng(seed)
        space = NasBench201()
        archs = list(dict.fromkeys(space.sample(rng) for _ in range(n)))
        operations = list(space.parameters["edge_0_1"])
        counts = np.array([[a.operations.count(o) for o in operations] for a in archs])
        last = np.array([a.operations[-1] == "nor_conv_3x3" for a in archs])
        each = _TYPICAL * np.exp(rng.normal(0, 0.6, (devices, 5)))
        true = 2.0 + each @ counts.T + np.outer(rng.uniform(0, 1, devices), last)
        return cls(archs, true * np.exp(noise * rng.normal(size=true.shape)), true)


@pytest.fixture(scope="session")
def space() -> NasBench201:
    return NasBench201()


@pytest.fixture(scope="session")
def devices() -> SyntheticDevices:
    """Fourteen devices with 3 % noise: ten for a pool, four that are new."""
    return SyntheticDevices.make(14, 600, 0.03, seed=1)
