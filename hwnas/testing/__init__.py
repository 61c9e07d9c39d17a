"""Contract tests for components, of hwnas itself and of other packages.

Each role has a class. Subclass it in a test module under a name that begins with ``Test`` and
supply its fixtures; pytest then runs the whole contract on the component::

    class TestMySpace(SearchSpaceContract):
        @pytest.fixture
        def space(self):
            return MySpace()

Passing a contract is what hwnas relies on; it says nothing about the quality of the numbers.
"""

from hwnas.testing.roles import (
    CostModelContract,
    PredictorContract,
    ProxyContract,
    SearchSpaceContract,
    StrategyContract,
    draw,
)
from hwnas.testing.runtimes import MeterContract, RuntimeContract

__all__ = [
    "CostModelContract",
    "MeterContract",
    "PredictorContract",
    "ProxyContract",
    "RuntimeContract",
    "SearchSpaceContract",
    "StrategyContract",
    "draw",
]
