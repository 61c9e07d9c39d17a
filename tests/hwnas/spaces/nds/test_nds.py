"""The two-cell spaces: genotypes, published sizes, and cells against plain formulas."""

from __future__ import annotations

import itertools
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from hwnas.errors import InvalidArchitectureError, InvalidValueError, UnknownNameError
from hwnas.spaces.nds.drawing import CellsDrawing
from hwnas.spaces.nds.genotype import Genotype, Term, genotype_of
from hwnas.spaces.nds.network import CellBlock
from hwnas.spaces.nds.operations import FactorizedReduce, operation
from hwnas.spaces.nds.space import FAMILIES, Nds
from hwnas.tasks.catalogue import get_task
from hwnas.testing import FacetsContract, NetworksContract, SearchSpaceContract, draw

SMALL = Nds(channels=4, cells=3)
# Liu et al., ICLR 2019, Figures 4 and 5: the second-order cells.
DARTS_V2 = genotype_of(
    normal=[
        *[("sep_conv_3x3", 0), ("sep_conv_3x3", 1)] * 2,
        ("sep_conv_3x3", 1), ("skip_connect", 0),
        ("skip_connect", 0), ("dil_conv_3x3", 2),
    ],
    reduce=[
        ("max_pool_3x3", 0), ("max_pool_3x3", 1),
        ("skip_connect", 2), ("max_pool_3x3", 1),
        ("max_pool_3x3", 0), ("skip_connect", 2),
        ("skip_connect", 2), ("max_pool_3x3", 1),
    ],
)  # fmt: skip


class TestContract(SearchSpaceContract):
    @pytest.fixture
    def space(self) -> Nds:
        return SMALL


class TestContractOfLooseEnds(SearchSpaceContract):
    @pytest.fixture
    def space(self) -> Nds:
        return Nds("nasnet", channels=4, cells=3)


class TestFacets(FacetsContract):
    @pytest.fixture
    def space(self) -> Nds:
        return SMALL


@pytest.mark.parametrize("family", ["enas", "amoeba", "pnas"])
class TestOtherFamilies(NetworksContract):
    @pytest.fixture
    def space(self, family: str) -> Nds:
        return Nds(family, channels=4, cells=3)

    @pytest.fixture
    def archs(self, space: Nds) -> list[Genotype]:
        return draw(space, 4)


def test_the_second_order_cells_of_darts_have_their_published_sizes() -> None:
    # Liu et al., Tables 1 and 3: 3.3 M parameters on CIFAR-10 (3,349,342 without the auxiliary
    # head, which the published code prints) and 4.7 M on ImageNet (4,718,752 in pytorchcv's list).
    with torch.device("meta"):
        small = Nds().build(DARTS_V2)
        large = Nds(channels=48, cells=14).build(DARTS_V2, get_task("ImageNet"))
    assert sum(p.numel() for p in small.parameters()) == 3_349_342
    assert sum(p.numel() for p in large.parameters()) == 4_718_752


def test_pictures_say_what_each_state_adds_up() -> None:
    normal = [("dil_sep_conv_3x3", 0), ("skip_connect", 1), ("conv_7x1_1x7", 2), ("none", 0)] * 2
    genotype = genotype_of(normal[:4], [("none", 0), ("none", 1)])
    picture = ElementTree.fromstring(CellsDrawing(Nds()).draw(genotype))
    assert [e.text for e in picture if "left" in e.get("class", "")] == [
        "normal cell: joins 2, 3; 0 and 1 are the cells before",
        "2 = dil sep conv 3×3 of 0",
        "+ skip of 1",
        "3 = conv 7×1 1×7 of 2",
        "reduce cell: joins 2; 0 and 1 are the cells before",
        "2 = zeros",
    ]


def test_texts_of_published_lists() -> None:
    text = str(DARTS_V2)
    assert text.startswith("sep_conv_3x3@0+sep_conv_3x3@1/sep_conv_3x3@0+sep_conv_3x3@1/")
    assert Nds().parse(text) == DARTS_V2
    with pytest.raises(InvalidArchitectureError, match="two operations for each state"):
        genotype_of([("skip_connect", 0)], [])
    with pytest.raises(InvalidArchitectureError, match="must take an earlier state"):
        genotype_of([("skip_connect", 0), ("skip_connect", 2)], [])


def shuffled(genotype: Genotype, rng: np.random.Generator) -> Genotype:
    """Give the same cells with their states and addends in another order."""

    def cell(states: tuple[tuple[Term, Term], ...]) -> tuple[tuple[Term, Term], ...]:
        left, place = list(range(len(states))), {0: 0, 1: 1}
        made: list[tuple[Term, Term]] = []
        while left:
            ready = [n for n in left if all(t.source in place for t in states[n])]
            number = int(rng.choice(ready))
            left.remove(number)
            terms = [Term(t.operation, place[t.source]) for t in states[number]]
            terms = [terms[i] for i in rng.permutation(2)]
            place[number + 2] = len(made) + 2
            made.append((terms[0], terms[1]))
        return tuple(made)

    return Genotype(cell(genotype.normal), cell(genotype.reduce))


@pytest.mark.parametrize("family", list(FAMILIES))
def test_orders_make_no_other_network(family: str) -> None:
    space, rng = Nds(family, channels=4, cells=3), np.random.default_rng(0)
    found = set()
    for arch in draw(space, 12):
        other = shuffled(arch, rng)
        found.add(other != arch)
        assert space.canonical_key(other) == space.canonical_key(arch)
        assert space.to_graph(other).digest() == space.to_graph(arch).digest()
    assert True in found


def test_keys_and_graphs_of_tiny_cells_agree() -> None:
    # Two states of three operations: all pairs of genotypes are compared.
    terms = [
        [Term(o, s) for o in ("none", "skip_connect", "max_pool_3x3") for s in range(n)]
        for n in (2, 3)
    ]
    cells = list(itertools.product(*[itertools.product(t, t) for t in terms]))
    fixed = cells[0]
    keys: dict[str, str] = {}
    for cell in cells[::7]:
        genotype = Genotype(cell, fixed)
        key, graph = SMALL.canonical_key(genotype), SMALL.to_graph(genotype).digest()
        assert keys.setdefault(graph, key) == key
    assert len(set(keys.values())) == len(keys)


def test_a_cell_against_its_formula() -> None:
    states = (
        (Term("sep_conv_3x3", 0), Term("skip_connect", 1)),
        (Term("max_pool_3x3", 2), Term("none", 0)),
        (Term("none", 1), Term("none", 0)),
    )
    torch.manual_seed(0)
    cell = CellBlock(states, True, (6, 8), 4, reduces=True, halved=False).eval()
    x, y = torch.randn(2, 6, 8, 8), torch.randn(2, 8, 8, 8)
    with torch.no_grad():
        a, b = cell.inputs[0](x), cell.inputs[1](y)
        first = cell.operations[0][0](a) + cell.operations[0][1](b)  # type: ignore[index]
        second = F.max_pool2d(first, 3, stride=1, padding=1)
        expected = torch.cat([first, second, torch.zeros_like(first)], dim=1)
        torch.testing.assert_close(cell(x, y), expected)
    loose = CellBlock(states[:2], False, (6, 8), 4, reduces=False, halved=False)
    assert loose.joined == (3,)
    assert loose.channels == 4


def test_halving_takes_every_pixel_once() -> None:
    # With weights of one and no norm, the two halves are the even and the odd diagonal pixels.
    reduce = FactorizedReduce(1, 2).eval()
    for conv in reduce.convs:
        torch.nn.init.ones_(conv.weight)  # type: ignore[arg-type]
    image = torch.arange(16.0).reshape(1, 1, 4, 4)
    with torch.no_grad():
        halves = reduce(image) * (1 + reduce.bn.eps) ** 0.5
    torch.testing.assert_close(halves[0, 0], image[0, 0, ::2, ::2])
    torch.testing.assert_close(halves[0, 1], image[0, 0, 1::2, 1::2])


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize(
    "name", sorted({o for f in FAMILIES.values() for o in f.operations} - {"none"})
)
def test_operations_keep_channels_and_halve_odd_sides_up(name: str, stride: int) -> None:
    made = operation(name, 4, stride).eval()
    side = -(-7 // stride)
    assert made(torch.randn(1, 4, 7, 7)).shape == (1, 4, side, side)


def test_what_hides_the_images_is_no_valid_network() -> None:
    zero = ((Term("none", 0), Term("none", 0)),) * 4
    alive = ((Term("skip_connect", 0), Term("skip_connect", 1)),) * 4
    assert SMALL.is_valid(Genotype(alive, alive))
    assert not SMALL.is_valid(Genotype(zero, zero))
    # Cells 1 and 2 of three reduce: with zeros there the classifier sees constants.
    assert not SMALL.is_valid(Genotype(alive, zero))
    # The second input goes around a cell of zeros, the only one of the first third.
    around = ((Term("skip_connect", 0), Term("none", 1)),) * 4
    assert Nds(channels=4, cells=3).is_valid(Genotype(zero, alive))
    assert not Nds(channels=4, cells=4).is_valid(Genotype(zero, around))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("sep_conv_3x3@0+sep_conv_3x3@1", "two cells"),
        ("sep_conv_3x3@0|sep_conv_3x3@0+sep_conv_3x3@1", "A state must be"),
        ("|".join(["skip_connect@0+skip_connect@1"] * 2), "must have 4 states, but got 1"),
        ("|".join(["/".join(["conv_1x1@0+skip_connect@1"] * 4)] * 2), "conv_1x1"),
        ("|".join(["/".join(["skip_connect@0+skip_connect@2"] * 4)] * 2), "an earlier state"),
    ],
)
def test_other_texts_are_one_line(text: str, said: str) -> None:
    with pytest.raises(InvalidArchitectureError, match=said) as raised:
        SMALL.parse(text)
    assert "\n" not in str(raised.value)


def test_settings_are_checked() -> None:
    with pytest.raises(UnknownNameError, match="darts"):
        Nds("dart")
    with pytest.raises(InvalidValueError, match="`channels` must be even"):
        Nds(channels=3)
    with pytest.raises(InvalidValueError, match="`cells` must be at least 1"):
        Nds(cells=0)
