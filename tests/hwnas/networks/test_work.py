from __future__ import annotations

import torch
from torch import Tensor, nn

from hwnas.networks.operator_kinds import kind_of
from hwnas.networks.work import Share, work_of
from hwnas.tasks.task import TensorSpec

SPEC = TensorSpec((3, 8, 8))


class _Branches(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, padding=1, bias=False)
        self.deep = nn.Sequential(nn.Conv2d(4, 4, 5, padding=2, groups=4, bias=False), nn.ReLU())
        self.head = nn.Linear(4, 2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y = self.first(x)
        y = y + self.deep(y)
        answer: Tensor = self.head(y.mean((2, 3)))
        return answer


def test_work_by_kind_is_what_the_formulas_say() -> None:
    work = work_of(_Branches(), SPEC)
    pixels, image, maps = 64, 4 * 3 * 64, 4 * 4 * 64  # bytes of input and of feature maps
    assert work.by_kind["conv 3x3"] == Share(pixels * 4 * 3 * 9, image + maps + 4 * 4 * 3 * 9, 1)
    assert work.by_kind["depthwise 5x5"] == Share(pixels * 4 * 25, 2 * maps + 4 * 4 * 25, 1)
    assert work.by_kind["elementwise"] == Share(0, 2 * maps + 3 * maps, 2)  # ReLU and addition
    assert work.by_kind["pool"] == Share(0, maps + 4 * 4, 1)
    assert work.by_kind["product"] == Share(4 * 2, 4 * 4 + 4 * 2 + 4 * 4 * 2, 1)
    assert set(work.by_kind) == {"conv 3x3", "depthwise 5x5", "elementwise", "pool", "product"}
    assert work.weights == 4 * (4 * 3 * 9 + 4 * 25 + 8)
    # Convolution, depthwise convolution, ReLU, addition, mean, product.
    assert work.depth == 6
    assert work.total.operators == 6


def test_a_branch_beside_makes_a_network_no_deeper() -> None:
    class Wide(_Branches):
        def forward(self, x: Tensor) -> Tensor:
            y = self.first(x)
            z = self.deep(y) + y.relu()
            answer: Tensor = self.head(z.mean((2, 3)))
            return answer

    assert work_of(Wide(), SPEC).depth == work_of(_Branches(), SPEC).depth
    assert work_of(Wide(), SPEC).total.operators == 7


def test_views_are_no_work() -> None:
    plain = work_of(nn.Sequential(nn.Conv2d(3, 2, 1), nn.Flatten()), SPEC)
    assert set(plain.by_kind) == {"conv 1x1"}


def test_signals_and_tokens_have_work() -> None:
    signal = work_of(nn.Sequential(nn.Conv1d(2, 4, 3), nn.Flatten()), TensorSpec((2, 10), "signal"))
    assert signal.by_kind["conv 3"].macs == 8 * 4 * 2 * 3
    tokens = nn.Sequential(nn.Embedding(11, 6), nn.Flatten(), nn.Linear(6 * 5, 2))
    found = work_of(tokens, TensorSpec((5,), "tokens", 11))
    assert found.by_kind["product"].macs == 60
    assert found.by_kind["move"].operators == 1


def test_kinds_of_convolutions_are_told_by_groups() -> None:
    image, rest = torch.empty(1, 8, 4, 4), (None, [1, 1], [1, 1], [1, 1])
    convolution = torch.ops.aten.convolution.default
    for groups, transposed, kind in (
        (1, False, "conv 3x3"),
        (2, False, "grouped 3x3"),
        (8, False, "depthwise 3x3"),
        (1, True, "transposed 3x3"),
    ):
        weight = torch.empty(8, 8 // groups, 3, 3)
        args = (image, weight, *rest, transposed, [0, 0], groups)
        assert kind_of(convolution, args) == kind
