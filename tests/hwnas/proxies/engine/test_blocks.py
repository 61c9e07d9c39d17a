import pytest
import torch
from torch import Tensor, nn

from hwnas.proxies.engine.blocks import feature_blocks, network_inside, record_maps
from hwnas.spaces.nasbench201 import NasBench201, parse_cell
from hwnas.tasks.task import image_task


def blocks(model: nn.Module, images: Tensor) -> list[str]:
    with torch.no_grad(), record_maps(model) as maps:
        model(images)
    return feature_blocks(model, maps)


@pytest.mark.parametrize(
    "cell",
    [
        "|nor_conv_3x3~0|+|none~0|nor_conv_1x1~1|+|skip_connect~0|none~1|avg_pool_3x3~2|",
        "|none~0|+|none~0|none~1|+|skip_connect~0|none~1|none~2|",
    ],
)
def test_nasbench201_has_stem_cells_and_reductions(cell: str) -> None:
    model = NasBench201(channels=2).build(parse_cell(cell), image_task(10, (3, 8, 8)))
    expected = ["stem", *(f"blocks.{i}" for i in range(17))]
    assert blocks(model, torch.randn(2, 3, 8, 8)) == expected


def test_residual_blocks_of_a_users_network(resnet: nn.Module) -> None:
    assert blocks(resnet, torch.randn(2, 3, 8, 8)) == ["layers.0", "layers.1", "layers.2"]


def test_a_wrapped_network_is_opened(resnet: nn.Module) -> None:
    class Wrapper(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.features = resnet.get_submodule("layers")
            self.inner = nn.ModuleDict({"all": Features(self.features)})

        def forward(self, x: Tensor) -> Tensor:
            maps: Tensor = self.inner["all"](x)
            return maps.mean(dim=(2, 3))

    class Features(nn.Module):
        def __init__(self, layers: nn.Module) -> None:
            super().__init__()
            self.layers = layers

        def forward(self, x: Tensor) -> Tensor:
            maps: Tensor = self.layers(x)
            return maps

    model = nn.Sequential(Features(resnet.get_submodule("layers")), nn.Flatten())
    found = blocks(model, torch.randn(2, 4, 8, 8))
    assert found == ["0.layers.0", "0.layers.1", "0.layers.2"]


def test_a_plain_network_falls_back_to_its_convolutions() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.Flatten())
    assert blocks(model, torch.randn(2, 3, 8, 8)) == ["0", "2"]


def test_sequential_units_are_blocks_and_a_head_without_weights_is_not() -> None:
    def unit() -> nn.Module:
        return nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3), nn.ReLU())

    model = nn.Sequential(unit(), unit(), nn.Sequential(nn.BatchNorm2d(3), nn.ReLU()))
    assert blocks(model, torch.randn(2, 3, 8, 8)) == ["0", "1"]


def test_blocks_stand_in_the_order_of_execution() -> None:
    class Backwards(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.second = nn.Sequential(nn.Conv2d(3, 3, 1), nn.ReLU())
            self.first = nn.Sequential(nn.Conv2d(3, 3, 1), nn.ReLU())

        def forward(self, x: Tensor) -> Tensor:
            maps: Tensor = self.second(self.first(x))
            return maps

    assert blocks(Backwards(), torch.randn(2, 3, 4, 4)) == ["first", "second"]


def test_a_multilayer_perceptron_has_none(mlp: nn.Module) -> None:
    assert blocks(mlp, torch.randn(2, 3, 4, 4)) == []


def test_hooks_are_removed(resnet: nn.Module) -> None:
    blocks(resnet, torch.randn(2, 3, 8, 8))
    assert not any(module._forward_hooks for module in resnet.modules())


def test_what_is_around_the_network_is_left_out(resnet: nn.Module) -> None:
    class Logits(nn.Module):
        def __init__(self, network: nn.Module) -> None:
            super().__init__()
            self.network = network

        def forward(self, x: Tensor) -> tuple[Tensor]:
            return (self.network(x),)

    model = nn.Sequential(nn.BatchNorm2d(3), Logits(Logits(resnet)))
    with torch.no_grad(), record_maps(model) as maps:
        model(torch.randn(2, 3, 8, 8))
    assert network_inside(model, maps) == "1.network.network"
    assert feature_blocks(model, maps) == [f"1.network.network.layers.{i}" for i in range(3)]
    with torch.no_grad(), record_maps(resnet) as maps:
        resnet(torch.randn(2, 3, 8, 8))
    assert network_inside(resnet, maps) == ""
