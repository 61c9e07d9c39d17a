"""PiT: texts, published sizes, and attention against PyTorch's own."""

from __future__ import annotations

import pytest
import torch

from hwnas.costs.counters import count
from hwnas.errors import InvalidArchitectureError, InvalidValueError
from hwnas.spaces.pit import PIT_TI, Pit
from hwnas.spaces.pit_network import Attention, Pooling
from hwnas.tasks.task import image_task
from hwnas.testing import FacetsContract, SearchSpaceContract

SPACE = Pit()


class TestContract(SearchSpaceContract):
    task = image_task(7, (3, 32, 32))

    @pytest.fixture
    def space(self) -> Pit:
        return SPACE


class TestFacets(FacetsContract):
    @pytest.fixture
    def space(self) -> Pit:
        return SPACE


@pytest.mark.parametrize(
    ("text", "space", "millions", "giga_macs"),
    [
        # Parameters and multiply-accumulates as timm's tables state them.
        (PIT_TI, SPACE, 4.85, 0.70),
        ("c48h2|d2r4|d6r4|d4r4", SPACE, 10.62, 1.40),
        ("c48h3|d2r4|d6r4|d4r4", SPACE, 23.46, 2.88),
        ("c64h4|d3r4|d6r4|d4r4", Pit(patch=14, stride=7), 73.76, 12.42),
    ],
)
def test_published_networks_have_their_published_sizes(
    text: str, space: Pit, millions: float, giga_macs: float
) -> None:
    with torch.device("meta"):
        network = space.build(space.parse(text))
    found = count(network, (3, 224, 224))
    assert found.macs is not None
    assert round(found.params / 1e6, 2) == millions
    # timm's counter (fvcore) has a little for norms, too.
    assert found.macs / 1e9 == pytest.approx(giga_macs, rel=0.01)


def test_attention_is_that_of_pytorch() -> None:
    torch.manual_seed(0)
    mine, theirs = Attention(8, 2), torch.nn.MultiheadAttention(8, 2, batch_first=True)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(mine.qkv.weight)
        theirs.in_proj_bias.copy_(mine.qkv.bias)
        theirs.out_proj.load_state_dict(mine.proj.state_dict())
        x = torch.randn(3, 5, 8)
        torch.testing.assert_close(mine(x), theirs(x, x, x)[0])


def test_a_pooling_halves_the_patches_alone() -> None:
    token, patches = Pooling(4)(torch.zeros(2, 1, 4), torch.zeros(2, 4, 7, 6))
    assert token.shape == (2, 1, 8)
    assert patches.shape == (2, 8, 4, 3)


@pytest.mark.parametrize(
    "text", ["c32h2|d2r4|d6r4", "c32h2|d2r4|d5r4|d4r4", "c33h2|d2r4|d6r4|d4r4", "d2r4|d6r4|d4r4"]
)
def test_other_texts_are_one_line(text: str) -> None:
    with pytest.raises(InvalidArchitectureError) as raised:
        SPACE.parse(text)
    assert "\n" not in str(raised.value)


def test_images_and_settings_are_checked() -> None:
    with pytest.raises(InvalidValueError, match="sides of at least 16"):
        SPACE.build(SPACE.parse(PIT_TI), image_task(10, (3, 32, 15)))
    with pytest.raises(InvalidValueError, match="`stride` must be at least 1"):
        Pit(stride=0)
