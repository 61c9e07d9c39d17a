"""Contract tests for components, of hwnas itself and of other packages.

Each role has a class. Subclass it in a test module under a name that begins with ``Test`` and
supply its fixtures; pytest then runs the whole contract on the component::

    class TestMySpace(SearchSpaceContract):
        @pytest.fixture
        def space(self):
            return MySpace()

Passing a contract is what hwnas relies on; it says nothing about the quality of the numbers.
"""

import pytest

# Before the modules are imported: their assertions then say what they compare, as a user's own do.
pytest.register_assert_rewrite(
    *(
        f"hwnas.testing.{name}"
        for name in (
            "costs", "facets", "parameters", "predictors", "proxies", "runtimes", "spaces",
            "strategies",
        )
    )
)  # fmt: skip

# ruff: noqa: E402
from hwnas.testing.costs import CostModelContract
from hwnas.testing.facets import FacetsContract
from hwnas.testing.predictors import PredictorContract
from hwnas.testing.proxies import ProxyContract
from hwnas.testing.runtimes import MeterContract, RuntimeContract
from hwnas.testing.samples import draw
from hwnas.testing.spaces import (
    ArchitecturesContract,
    GraphsContract,
    NetworksContract,
    SearchSpaceContract,
)
from hwnas.testing.strategies import StrategyContract

__all__ = [
    "ArchitecturesContract",
    "CostModelContract",
    "FacetsContract",
    "GraphsContract",
    "MeterContract",
    "NetworksContract",
    "PredictorContract",
    "ProxyContract",
    "RuntimeContract",
    "SearchSpaceContract",
    "StrategyContract",
    "draw",
]
