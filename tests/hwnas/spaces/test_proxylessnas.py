"""ProxylessNAS: texts, equal chains, and the published networks' sizes."""

from __future__ import annotations

import pytest
import torch

from hwnas.errors import InvalidArchitectureError, UnknownNameError
from hwnas.spaces.proxylessnas import LAYERS, PUBLISHED, SKIP, ProxylessArch, ProxylessNas
from hwnas.tasks.task import image_task
from hwnas.testing import FacetsContract, SearchSpaceContract

SPACE = ProxylessNas()


class TestContract(SearchSpaceContract):
    task = image_task(7, (3, 32, 32))

    @pytest.fixture
    def space(self) -> ProxylessNas:
        return SPACE


class TestFacets(FacetsContract):
    @pytest.fixture
    def space(self) -> ProxylessNas:
        return ProxylessNas("gpu")


@pytest.mark.parametrize(
    ("device", "params"), [("mobile", 4_080_512), ("cpu", 4_361_648), ("gpu", 7_119_848)]
)
def test_published_networks_have_their_published_parameters(device: str, params: int) -> None:
    space = ProxylessNas(device)
    with torch.device("meta"):
        network = space.build(space.parse(PUBLISHED[device]))
    assert sum(p.numel() for p in network.parameters()) == params
    assert str(space.parse(PUBLISHED[device])) == PUBLISHED[device]


def test_skips_have_no_place() -> None:
    one = SPACE.parse(PUBLISHED["gpu"])
    moved = SPACE.parse(PUBLISHED["gpu"].replace("k7e3,skip,skip,k3e3", "k7e3,skip,k3e3,skip"))
    assert one != moved
    assert SPACE.canonical_key(one) == SPACE.canonical_key(moved)
    assert str(SPACE.representative(one)).split("|")[1] == "k7e3,k3e3,skip,skip"
    a, b = (SPACE.build(arch, image_task(5, (3, 32, 32))).eval() for arch in (one, moved))
    b.load_state_dict(dict(zip(b.state_dict(), a.state_dict().values(), strict=True)))
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(a(images), b(images))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (PUBLISHED["cpu"].replace("|k5e6", "", 1), "6 stages of 4, 4, 4, 4, 4, 1 layers"),
        (PUBLISHED["cpu"].replace("k3e6", "skip", 1), "operation of layer_0"),
        (PUBLISHED["cpu"].replace("k3e3", "k4e3", 1), "operation of layer_1"),
    ],
)
def test_other_texts_are_one_line(text: str, said: str) -> None:
    with pytest.raises(InvalidArchitectureError, match=said) as raised:
        SPACE.parse(text)
    assert "\n" not in str(raised.value)


def test_settings_and_lengths_are_checked() -> None:
    with pytest.raises(UnknownNameError, match="mobile"):
        ProxylessNas("phone")
    with pytest.raises(InvalidArchitectureError, match=f"must have {LAYERS} entries"):
        ProxylessArch((SKIP,))
