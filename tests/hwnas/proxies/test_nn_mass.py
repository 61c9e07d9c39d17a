from collections.abc import Sequence
from itertools import pairwise
from typing import Any, cast

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hwnas.proxies.engine.scoring import score_network
from hwnas.proxies.nn_mass import NnDegree, NnMass
from hwnas.spaces.nasbench201 import Cell, NasBench201
from hwnas.tasks.task import image_task
from hwnas.testing import ProxyContract
from hwnas.typing import Proxy


class DenseCells(nn.Module):
    """Cells of `depth` layers; layer i reads the one before it and up to `links` channels more."""

    def __init__(self, width: int, depth: int, links: int, cells: int = 1) -> None:
        super().__init__()
        self.links, self.cells = links, nn.ModuleList()
        for _ in range(cells):
            channels = [3 if not len(self.cells) else width]
            channels += [width + min(links, width * (i - 1)) for i in range(1, depth)]
            convs = (nn.Conv2d(c, width, 3, padding=1) for c in channels)
            self.cells.append(nn.ModuleList(convs))
        self.fc = nn.Linear(width, 4)

    def forward(self, x: Tensor) -> Tensor:
        for cell in self.cells:
            made: list[Tensor] = []
            for conv in cast(nn.ModuleList, cell):
                if len(made) > 1:
                    earlier = torch.cat(made[:-1], dim=1)[:, : self.links]
                    x = torch.cat([made[-1], earlier], dim=1)
                elif made:
                    x = made[-1]
                made.append(F.relu(conv(x)))
            x = F.avg_pool2d(made[-1], 2)
        logits: Tensor = self.fc(x.mean(dim=(2, 3)))
        return logits


class Unit(nn.Module):
    def __init__(self, widths: Sequence[int], project: bool = False) -> None:
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(a, b, 3, padding=1) for a, b in pairwise(widths))
        self.norm = nn.BatchNorm2d(widths[-1])
        self.project = nn.Conv2d(widths[0], widths[-1], 1) if project else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        y = x
        for conv in self.convs:
            y = F.relu(conv(y))
        return self.norm(y).add_(self.project(x))  # type: ignore[no-any-return]


class Residual(nn.Sequential):
    def __init__(self, *units: nn.Module) -> None:
        super().__init__(
            nn.Conv2d(3, 8, 1), *units, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4)
        )


def score(model: nn.Module, proxy: Proxy) -> Any:
    return score_network(model, (3, 8, 8), [proxy])[proxy.name]


@pytest.mark.parametrize("links", [1, 5, 8, 100])
def test_mass_is_the_papers_sum(links: int) -> None:
    width, depth = 4, 5
    actual = sum(min(width * (i - 1), links) for i in range(2, depth))
    density = actual / sum(width * (i - 1) for i in range(2, depth))
    found = score(DenseCells(width, depth, links), NnMass())
    assert found.value == pytest.approx(density * width * depth, rel=1e-12)
    assert score(DenseCells(width, depth, links, 2), NnMass()).value == pytest.approx(
        2 * density * width * depth, rel=1e-12
    )


def test_a_fully_dense_cell_has_width_times_depth() -> None:
    assert score(DenseCells(6, 4, 1000), NnMass()).value == 24


def test_mass_where_the_topology_does_not_define_it() -> None:
    assert "has none" in score(DenseCells(4, 5, 0), NnMass()).error
    assert "use `nn_degree`" in score(Residual(Unit([8, 8, 8])), NnMass()).error


def test_degree_by_hand() -> None:
    # One basic unit: mean width 8, 8 skipped channels over 16 input channels.
    assert score(Residual(Unit([8, 8, 8])), NnDegree()).value == 8.5
    # A bottleneck of widths 2, 2, 8: mean 4; 8 channels over 8 + 2 + 2.
    both = Residual(Unit([8, 8, 8]), Unit([8, 2, 2, 8]))
    assert score(both, NnDegree()).value == pytest.approx(8.5 + 4 + 8 / 12)
    # A projection of 8 > 8 is a layer of the unit, whose skip has 8 channels: 8 + 8 / 24.
    assert score(Residual(Unit([8, 8, 8], project=True)), NnDegree()).value == 8 + 8 / 24


def test_degree_where_the_topology_does_not_define_it() -> None:
    assert "has none" in score(Residual(nn.Conv2d(8, 8, 1)), NnDegree()).error
    assert "without concatenations" in score(DenseCells(4, 4, 2), NnDegree()).error
    cell = Cell(("nor_conv_3x3",) * 6)
    network = NasBench201(channels=4, cells=1).build(cell, image_task(10, (3, 8, 8)))
    assert "nested" in score(network, NnDegree()).error


class TestNnMass(ProxyContract):
    @pytest.fixture
    def network(self) -> nn.Module:
        return DenseCells(4, 4, 3)

    @pytest.fixture
    def proxy(self) -> Proxy:
        return NnMass()


class TestNnDegree(ProxyContract):
    @pytest.fixture
    def network(self) -> nn.Module:
        return Residual(Unit([8, 8, 8]))

    @pytest.fixture
    def proxy(self) -> Proxy:
        return NnDegree()
