"""Contract of cost models."""

from __future__ import annotations

import numpy as np
import pytest

from hwnas.evaluation.sources import MeasuredCost
from hwnas.testing.samples import ADDRESS, DIRECTIONS, draw
from hwnas.typing import Arch, CostModel, DeviceKey, SearchSpace


class CostModelContract:
    """What every cost model keeps; supply the fixtures `cost` and `space`.

    Attributes:
        samples: architectures that each property is tried on.
    """

    samples: int = 6

    @pytest.fixture
    def archs(self, space: SearchSpace[Arch]) -> list[Arch]:
        return draw(space, self.samples)

    def test_facts(self, cost: CostModel[Arch]) -> None:
        assert cost.metric
        assert isinstance(cost.unit, str)
        assert cost.direction in DIRECTIONS
        assert isinstance(cost.device, DeviceKey)
        assert cost.device.device

    def test_repr_states_the_settings(self, cost: CostModel[Arch]) -> None:
        assert not ADDRESS.search(repr(cost))

    def test_one_value_an_architecture(self, cost: CostModel[Arch], archs: list[Arch]) -> None:
        values = cost.predict(archs)
        assert values.shape == (len(archs),)
        assert values.dtype == np.float64
        assert not np.isinf(values).any()
        assert not np.isnan(values).all()

    def test_no_architectures_no_values(self, cost: CostModel[Arch]) -> None:
        assert cost.predict([]).shape == (0,)

    def test_values_belong_to_architectures(self, cost: CostModel[Arch], archs: list[Arch]) -> None:
        if isinstance(cost, MeasuredCost):
            pytest.skip("a measurement does not repeat exactly")
        values = cost.predict(archs)
        np.testing.assert_allclose(cost.predict(archs[::-1])[::-1], values, rtol=1e-6)
        single = np.concatenate([cost.predict([arch]) for arch in archs])
        np.testing.assert_allclose(single, values, rtol=1e-6)
