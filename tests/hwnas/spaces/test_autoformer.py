"""AutoFormer: texts, choices, sizes by hand, and attention against a plain reference."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from hwnas.data.autoformer import TrainedTransformers
from hwnas.errors import InvalidArchitectureError, InvalidValueError, UnknownNameError
from hwnas.spaces.autoformer import SETTINGS, AutoFormer, AutoFormerArch, Layer
from hwnas.spaces.autoformer_network import FARTHEST, Attention
from hwnas.tasks.catalogue import get_task
from hwnas.tasks.task import image_task
from hwnas.testing import FacetsContract, NetworksContract, SearchSpaceContract, draw

SPACE = AutoFormer()
SMALL = image_task(7, (3, 32, 32))


class TestContract(SearchSpaceContract):
    task = SMALL

    @pytest.fixture
    def space(self) -> AutoFormer:
        return SPACE


class TestNetworksOfAnotherSize(NetworksContract):
    task = SMALL

    @pytest.fixture
    def space(self) -> AutoFormer:
        return AutoFormer("small")

    @pytest.fixture
    def archs(self, space: AutoFormer) -> list[AutoFormerArch]:
        return draw(space, 2)


class TestFacets(FacetsContract):
    datasets = ("cifar100-224", "flowers102", "chaoyang")

    @pytest.fixture
    def space(self) -> AutoFormer:
        return SPACE


def test_what_exists_depends_on_the_depth() -> None:
    arch = AutoFormerArch(216, (Layer(3, 3.5), *[Layer(4, 4.0)] * 11))
    assert str(arch) == "216|h3r3.5," + ",".join(["h4r4"] * 11)
    assert SPACE.parse(str(arch)) == arch
    values = SPACE.encode(arch)
    assert values["depth"] == 12
    assert "heads_12" in values
    assert "heads_13" not in values
    assert set(SPACE.parameters) == {
        "width", "depth", *(f"{part}_{i}" for part in ("heads", "ratio") for i in range(1, 15)),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("200|" + ",".join(["h3r4"] * 12), "`width` must be one of 192, 216, 240"),
        ("192|" + ",".join(["h3r4"] * 11), "`depth` must be one of 12, 13, 14"),
        ("192|" + ",".join([*["h3r4"] * 11, "h5r4"]), "`heads of layer 12` must be one of 3, 4"),
        ("192|" + ",".join(["h3r3", *["h3r4"] * 11]), "`ratio of layer 1` must be one of 3.5, 4"),
        ("192", "must be its width and layers"),
        ("192|h3r4,x", "must be its width and layers"),
    ],
)
def test_other_texts_are_one_line(text: str, said: str) -> None:
    with pytest.raises(InvalidArchitectureError, match=said):
        SPACE.parse(text)


def params(width: int, layers: list[Layer], classes: int) -> int:
    """Count by hand; tables of 30 distances of 64 channels: two directions, keys and values."""
    total = 3 * 16**2 * width + width + width + (14 * 14 + 1) * width
    for layer in layers:
        inner, inside = 64 * layer.heads, int(width * layer.ratio)
        total += width * 3 * inner + 3 * inner + inner * width + width
        total += width * inside + inside + inside * width + width
        total += 2 * 2 * width + 4 * 30 * 64
    return total + 2 * width + width * classes + classes


@pytest.mark.parametrize("size", SETTINGS)
def test_parameters_by_hand(size: str) -> None:
    space, rng = AutoFormer(size), np.random.default_rng(0)
    for _ in range(2):
        arch = space.sample(rng)
        with torch.device("meta"):
            found = sum(p.numel() for p in space.build(arch).parameters())
        assert found == params(arch.width, list(arch.layers), 1000)


@pytest.mark.parametrize(
    ("size", "width", "heads", "published"),
    [("tiny", 192, 3, 5_717_416), ("small", 384, 6, 22_050_664)],
)
def test_deit_is_a_member_but_for_the_relative_positions(
    size: str, width: int, heads: int, published: int
) -> None:
    # DeiT-Ti and DeiT-S (Touvron et al., 2021): twelve layers of expansion 4.
    arch = AutoFormerArch(width, (Layer(heads, 4.0),) * 12)
    with torch.device("meta"):
        found = sum(p.numel() for p in AutoFormer(size).build(arch).parameters())
    assert found - 12 * 4 * 30 * 64 == published


def test_attention_is_that_of_shifted_keys_and_values() -> None:
    torch.manual_seed(0)
    attention = Attention(24, 2, 2, 3).double().requires_grad_(False)
    x = torch.randn(2, 7, 24, dtype=torch.float64)
    q, k, v = attention.qkv(x).reshape(2, 7, 3, 2, 64).unbind(2)
    rows = [None, *(divmod(i, 3) for i in range(6))]
    expected = torch.zeros(2, 7, 2, 64, dtype=torch.float64)
    for b in range(2):
        for h in range(2):
            for i in range(7):
                scores, shifted = [], []
                for j in range(7):
                    at, to = rows[i], rows[j]
                    down = 0 if at is None or to is None else to[0] - at[0] + FARTHEST + 1
                    right = 0 if at is None or to is None else to[1] - at[1] + FARTHEST + 1
                    key = k[b, j, h] + attention.key_positions.vertical[down]
                    key = key + attention.key_positions.horizontal[right]
                    value = v[b, j, h] + attention.value_positions.vertical[down]
                    shifted.append(value + attention.value_positions.horizontal[right])
                    scores.append(float(q[b, i, h] @ key) / math.sqrt(64))
                weights = torch.softmax(torch.tensor(scores, dtype=torch.float64), 0)
                expected[b, i, h] = sum(w * s for w, s in zip(weights, shifted, strict=True))
    torch.testing.assert_close(attention(x), attention.proj(expected.reshape(2, 7, 128)))


def test_sizes_that_are_no_patches_are_one_line() -> None:
    arch = SPACE.sample(np.random.default_rng(0))
    with pytest.raises(InvalidValueError, match="multiples of 16"):
        SPACE.build(arch, image_task(5, (3, 40, 32)))
    with pytest.raises(InvalidValueError, match="classes of images"):
        SPACE.build(arch, get_task("normal"))
    with pytest.raises(UnknownNameError, match="Did you mean 'tiny'"):
        AutoFormer("tine")


def test_accuracies_of_the_hundred(data_folder: Path) -> None:
    known = TrainedTransformers(SPACE).accuracies("cifar100-224", "trained", data_folder)
    assert len(known) == 100
    arch, value = next(iter(known.items()))
    assert arch.startswith("192|h4r3.5,h4r4,h3r3.5,")
    assert value == 68.66
    supernet = TrainedTransformers(SPACE).accuracies("ImageNet", "supernet", data_folder)
    assert supernet[arch] == pytest.approx(74.644)
    with pytest.raises(UnknownNameError, match="`split of ImageNet` must be one of supernet"):
        TrainedTransformers(SPACE).accuracies("ImageNet", "trained", data_folder)
