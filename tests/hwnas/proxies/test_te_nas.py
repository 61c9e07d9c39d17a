from typing import Any

import pytest
from torch import nn

from hwnas.errors import InvalidValueError
from hwnas.evaluation.sources import ProxyValues
from hwnas.proxies.engine.scoring import score_network
from hwnas.proxies.linear_regions import LinearRegions
from hwnas.proxies.ntk import NtkCondition
from hwnas.proxies.te_nas import NTK_SURROGATE, REGIONS_SURROGATE, TeNasNtk, TeNasRegions
from hwnas.spaces.nasbench201 import Cell, NasBench201
from hwnas.tasks.task import image_task
from hwnas.testing import ProxyContract
from hwnas.typing import Proxy, Surrogate

CELL = Cell(("nor_conv_3x3", "none", "none", "skip_connect", "none", "nor_conv_1x1"))


def score(model: nn.Module, shape: tuple[int, int, int], proxy: Proxy, **settings: Any) -> Any:
    return score_network(model, shape, [proxy], **settings)[proxy.name]


@pytest.mark.parametrize("units", [1, 3, 12])
def test_lines_through_the_origin_make_two_regions_each(units: int) -> None:
    # Biases are 0, so each unit divides the plane by a line through the origin.
    model = nn.Sequential(nn.Flatten(), nn.Linear(2, units), nn.ReLU(), nn.Linear(units, 2))
    found = score(model, (2, 1, 1), TeNasRegions(surrogate=None, samples=20_000))
    assert found.value == 2 * units


def test_regions_are_those_of_the_plain_count(resnet: nn.Module) -> None:
    model = nn.Sequential(nn.AvgPool2d(4), nn.Conv2d(3, 2, 1), nn.ReLU(), nn.Flatten())
    plain = score(model, (3, 8, 8), LinearRegions(), batch_size=300).value
    assert score(model, (3, 8, 8), TeNasRegions(None, 300)).value == plain < 300
    assert score(resnet, (3, 8, 8), TeNasRegions(None, 20)).value == 20


def test_the_kernel_is_that_of_training_mode(resnet: nn.Module) -> None:
    expected = score(resnet, (3, 8, 8), NtkCondition("train", 16)).value
    assert score(resnet, (3, 8, 8), TeNasNtk()).value == expected


def test_a_search_space_builds_the_tiny_networks() -> None:
    space, proxies = NasBench201(), (TeNasRegions(samples=500), TeNasNtk())
    found = ProxyValues(space, proxies, space.default_task).compute(CELL, [p.name for p in proxies])
    assert 1 < found["te_nas_regions.samples500"].value < 500
    assert found["te_nas_ntk"].value >= 1
    tiny = space.build_surrogate(CELL, REGIONS_SURROGATE, image_task(10, (1, 3, 3)))
    assert sum(p.numel() for p in tiny.parameters()) == (9 + 2) + (1 + 2) + 2 + (10 + 10)
    small = space.build_surrogate(CELL, NTK_SURROGATE, image_task(10, (3, 32, 32)))
    assert small.get_submodule("stem.0").weight.shape == (3, 3, 3, 3)


def test_regions_need_the_surrogates_images(resnet: nn.Module) -> None:
    error = score(resnet, (3, 8, 8), TeNasRegions()).error
    assert "shape (1, 3, 3), but got (3, 8, 8): use `linear_regions`" in error
    assert "must have a ReLU" in score(nn.Flatten(), (1, 3, 3), TeNasRegions()).error


def test_names_and_settings() -> None:
    assert TeNasRegions(None, 50).name == "te_nas_regions.full-samples50"
    assert TeNasRegions(Surrogate(2, 1, 1)).name == "te_nas_regions.h2-c1-m1"
    assert TeNasNtk(None).name == "te_nas_ntk.full"
    assert TeNasNtk(batch_size=8).name == "te_nas_ntk.batch8"
    with pytest.raises(InvalidValueError, match="`samples`"):
        TeNasRegions(samples=1)


class TestTeNasRegions(ProxyContract):
    @pytest.fixture
    def proxy(self) -> Proxy:
        return TeNasRegions(surrogate=None, samples=30)
