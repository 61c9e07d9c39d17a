from __future__ import annotations

from typing import Any, cast

import pytest
import torch
from torch import Tensor, nn

from hwnas.networks import meta as meta_model
from hwnas.networks.meta import MetaShapes, meta_copy


class Odd(nn.Module):
    steps: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)
        self.second.weight = self.first.weight
        self.alias = self.first
        self.settings: dict[str, Any] = {"list": [1, 2], "module": self.second}
        self.register_buffer("steps", torch.zeros(2, dtype=torch.int64))
        self.plain = torch.zeros(3, dtype=torch.float64)

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.second(self.alias(x)))


def test_copy_is_independent_and_keeps_what_is_shared() -> None:
    model = Odd().train()
    twin, tensors = meta_copy(model)
    assert isinstance(twin, Odd)
    assert twin.alias is twin.first is not model.first
    assert twin.settings["module"] is twin.second
    assert twin.settings["list"] is not model.settings["list"]
    assert twin.second.weight is twin.first.weight
    assert isinstance(twin.first.weight, nn.Parameter)
    assert all(tensor.is_meta for tensor in tensors)
    assert len(tensors) == 1 + 2 + 1 + 1
    assert (twin.steps.dtype, twin.plain.dtype) == (torch.int64, torch.float32)
    assert model.training
    assert not twin.first.training
    assert not model.first.weight.is_meta


class CopiesItself(nn.Module):
    marked: bool

    def __deepcopy__(self, memo: dict[int, Any]) -> CopiesItself:
        copied = CopiesItself()
        copied.marked = True
        return copied


def test_modules_that_copy_themselves_do() -> None:
    twin, _ = meta_copy(nn.Sequential(CopiesItself()))
    assert twin.get_submodule("0").marked


@pytest.mark.parametrize("repeat", [1, 2])
def test_remembered_shapes_are_those_of_pytorch(repeat: int) -> None:
    meta_model._memo.clear()
    x = torch.randn(2, 4, 9, 7)
    weight = torch.randn(6, 2, 3, 3)

    def run(x: Tensor, weight: Tensor) -> list[Tensor]:
        y = torch.nn.functional.conv2d(x, weight, stride=2, groups=2)
        z = y.permute(0, 2, 3, 1)
        pooled, indices = torch.nn.functional.max_pool2d(y, 2, return_indices=True)
        whole = torch.ones(3, dtype=torch.int64, device=x.device)
        return [y, z + 1, z.contiguous(), pooled, indices, whole + 1, whole + 1.0, whole + True]

    expected = run(x, weight)
    for _ in range(repeat):
        with torch.no_grad(), MetaShapes():
            got = run(x.to("meta"), weight.to("meta"))
        for a, b in zip(got, expected, strict=True):
            assert (a.shape, a.dtype, a.stride()) == (b.shape, b.dtype, b.stride())
    assert meta_model._memo


def test_in_place_operations_keep_memory_and_versions() -> None:
    x = torch.empty(2, 3, device="meta")
    with torch.no_grad(), MetaShapes():
        before = x._version
        y = x.relu_()
        view = x.flatten()
    assert x._version > before
    assert y.untyped_storage()._cdata == x.untyped_storage()._cdata
    assert view.untyped_storage()._cdata == x.untyped_storage()._cdata


def test_observer_sees_remembered_operations_too() -> None:
    seen: list[str] = []
    x = torch.empty(2, 3, device="meta")
    with torch.no_grad(), MetaShapes(lambda func, *_: seen.append(func._schema.name)):
        x.relu().relu()
    assert seen == ["aten::relu", "aten::relu"]


@pytest.mark.parametrize("name", ["unsafe_chunk", "unsafe_split", "unsafe_split_with_sizes"])
def test_views_that_their_schema_hides_share_memory_each_time(name: str) -> None:
    size: Any = {"unsafe_chunk": 2, "unsafe_split": 3, "unsafe_split_with_sizes": [3, 3]}[name]
    for _ in range(2):  # the second pass is a remembered one
        with MetaShapes():
            whole = torch.empty(2, 6, device="meta")
            parts = getattr(torch, name)(whole, size, 1)
        assert [p.untyped_storage()._cdata for p in parts] == [whole.untyped_storage()._cdata] * 2
