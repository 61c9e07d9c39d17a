"""TransNAS-Bench-101 micro: texts, classes of equal cells, and what skips from the input are."""

from __future__ import annotations

import itertools
import random

import pytest
import torch
from torch import nn

from hwnas.errors import InvalidArchitectureError, InvalidValueError
from hwnas.spaces.transnasbench101.micro import OPERATIONS, MicroArch, TransNasMicro
from hwnas.spaces.transnasbench101.network import CellBlock
from hwnas.tasks.task import image_task
from hwnas.testing import FacetsContract, SearchSpaceContract

SPACE = TransNasMicro()
TASK = image_task(5, (3, 32, 32))


class TestContract(SearchSpaceContract):
    @pytest.fixture
    def space(self) -> TransNasMicro:
        return TransNasMicro(channels=4)


class TestFacets(FacetsContract):
    datasets = ("class_object", "segmentsemantic", "autoencoder")

    @pytest.fixture
    def space(self) -> TransNasMicro:
        return SPACE


def arch(digits: str) -> MicroArch:
    return SPACE.parse(f"64-41414-{digits}")


def test_texts_are_those_of_the_benchmark_in_its_order() -> None:
    members = list(SPACE)
    assert len(members) == len(SPACE) == len(set(members)) == 4_096
    assert [str(a) for a in members[:5]] == [
        "64-41414-0_00_000",
        "64-41414-0_00_001",
        "64-41414-0_00_002",
        "64-41414-0_00_003",
        "64-41414-0_00_010",
    ]
    assert str(members[-1]) == "64-41414-3_33_333"
    assert arch("3_10_202").cell.operations == (
        "nor_conv_3x3", "skip_connect", "none", "nor_conv_1x1", "none", "nor_conv_1x1",
    )  # fmt: skip


@pytest.mark.parametrize(
    "text", ["64-41414-4_00_000", "64-41414-0_0_000", "16-41414-0_00_000", "64-4111-basic", ""]
)
def test_other_texts_are_one_line(text: str) -> None:
    with pytest.raises(InvalidArchitectureError, match="as in '64-41414-3_33_333'"):
        SPACE.parse(text)


@pytest.mark.parametrize("channels", [0, 1, 7, -2])
def test_channels_must_be_halved_by_the_stem(channels: int) -> None:
    with pytest.raises(InvalidValueError, match="`channels` must be even"):
        TransNasMicro(channels)


def test_a_skip_from_the_input_is_an_operation_and_another_one_is_not() -> None:
    # 3x3 from 0 to 1 and a skip to 3; or a skip from 0 to 1 and a 3x3 to 3.
    first, second = arch("3_00_010"), arch("1_00_030")
    assert SPACE.to_graph(first).operations == ("input", "nor_conv_3x3", "output")
    assert SPACE.to_graph(second).operations[1:-1] == ("skip_connect", "nor_conv_3x3")
    assert SPACE.canonical_key(first) == SPACE.canonical_key(arch("0_00_300"))
    assert SPACE.canonical_key(first) != SPACE.canonical_key(second)


def test_dead_operations_are_none() -> None:
    assert SPACE.representative(arch("3_33_300")) == arch("0_00_300")
    assert not SPACE.is_valid(arch("3_33_000"))


def run(cell: MicroArch, stride: int) -> torch.Tensor:
    """Run a cell whose every weight depends on its shape and on its number among equal ones."""
    block = CellBlock(cell.cell, 4, 4 * stride, stride).double().eval()
    for module in block.modules():
        if isinstance(module, nn.Conv2d):
            generator = torch.Generator().manual_seed(module.weight.numel())
            module.weight.data = torch.randn(
                module.weight.shape, generator=generator, dtype=torch.float64
            )
    image = torch.randn(1, 4, 6, 6, generator=torch.Generator().manual_seed(0)).double()
    output: torch.Tensor = block(image)
    return output


def test_classes_are_those_of_equal_outputs() -> None:
    # Convolutions of a kind and shape have the same weights here, so equal graphs are equal
    # functions; and functions of different graphs differ, for nothing cancels out.
    rng = random.Random(0)
    drawn = [arch(f"{d[0]}_{d[1:3]}_{d[3:]}") for d in map("".join, itertools.islice(
        iter(lambda: rng.choices("0123", k=6), None), 60))]  # fmt: skip
    valid = [a for a in drawn if SPACE.is_valid(a)]
    outputs = {a: [run(a, stride) for stride in (1, 2)] for a in valid}
    for one, other in itertools.combinations(valid, 2):
        pairs = zip(outputs[one], outputs[other], strict=True)
        equal = all(torch.allclose(a, b, atol=1e-9) for a, b in pairs)
        assert equal == (SPACE.canonical_key(one) == SPACE.canonical_key(other)), (one, other)


def test_number_of_classes() -> None:
    keys = {SPACE.canonical_key(a) for a in SPACE if SPACE.is_valid(a)}
    representatives = {SPACE.representative(a) for a in SPACE if SPACE.is_valid(a)}
    assert len(keys) == len(representatives)
    assert all(SPACE.is_live(a) for a in representatives)


def test_every_operation_is_built() -> None:
    cell = SPACE.build(arch("3_12_013"), image_task(5, (3, 64, 64)))
    kinds = [type(m).__name__ for m in cell.modules()]
    # Three of the five modules change the shape: there the skip out of the input is one.
    assert kinds.count("FactorizedReduce") == 3
    assert set(OPERATIONS) == {"none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3"}
