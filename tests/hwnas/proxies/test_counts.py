import torch
from torch import Tensor, nn

from hwnas.proxies.counts import Flops, Layers, Params
from hwnas.proxies.engine.scoring import score_network


def value(
    model: nn.Module, proxy: Params | Flops | Layers, in_shape: tuple[int, int, int]
) -> float:
    return score_network(model, in_shape, [proxy])[proxy.name].value


def small() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2, padding=1, groups=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3, padding=1, groups=8, bias=False),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 5),
    )


def test_params() -> None:
    # 3*8*9 + 8; 8 + 8; 8*9; 8*5 + 5
    assert value(small(), Params(), (3, 8, 8)) == 224 + 16 + 72 + 45


def test_flops_are_two_a_multiply_accumulate() -> None:
    # Outputs are 4 x 4: 16 * 8 * 27, 16 * 8 * 9, 40 multiply-accumulates.
    assert value(small(), Flops(), (3, 8, 8)) == 2 * (3456 + 1152 + 40)


def test_flops_are_of_one_image_whatever_the_batch() -> None:
    assert (
        score_network(small(), (3, 8, 8), [Flops()], batch_size=7)["flops"].value
        == score_network(small(), (3, 8, 8), [Flops()], batch_size=1)["flops"].value
    )


def test_flops_of_attention_count() -> None:
    class Tokens(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)

        def forward(self, x: Tensor) -> Tensor:
            logits: Tensor = self.layer(x.flatten(2).transpose(1, 2)).mean(dim=1)
            return logits

    # 5 tokens: projections to 24 and from 8, two products of 5 x 5 over 2 heads of 4, two layers.
    macs = 5 * 8 * 24 + 5 * 8 * 8 + 2 * 5 * 5 * 8 + 2 * 5 * 8 * 16
    assert value(Tokens(), Flops(), (8, 1, 5)) == 2 * macs


def test_layers() -> None:
    assert value(small(), Layers(), (3, 8, 8)) == 3


def test_a_shared_tensor_counts_once() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = nn.Linear(4, 4, bias=False)
            self.b = nn.Linear(4, 4, bias=False)
            self.b.weight = self.a.weight

        def forward(self, x: Tensor) -> Tensor:
            logits: Tensor = self.b(self.a(torch.flatten(x, 1)))
            return logits

    assert value(Tied(), Params(), (1, 2, 2)) == 16
