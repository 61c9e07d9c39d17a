"""ResNets: texts, published sizes, and published accuracies."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from hwnas.costs.counters import count
from hwnas.data.timm_results import FILE, TrainedResNets
from hwnas.errors import DataFormatError, InvalidArchitectureError, UnknownNameError
from hwnas.spaces.resnet import PUBLISHED, ResNet, ResNetArch
from hwnas.tasks.task import image_task
from hwnas.testing import FacetsContract, SearchSpaceContract, draw

SPACE = ResNet()
ACCURACIES = TrainedResNets(SPACE)
# Parameters and multiply-accumulates of torchvision's model cards.
SIZES = {
    "resnet18": (11_689_512, 1.81),
    "resnet34": (21_797_672, 3.66),
    "resnet50": (25_557_032, 4.09),
    "resnet101": (44_549_160, 7.80),
    "resnet152": (60_192_808, 11.51),
    "wide_resnet50_2": (68_883_240, 11.40),
    "wide_resnet101_2": (126_886_696, 22.75),
}


class TestContract(SearchSpaceContract):
    @pytest.fixture
    def space(self) -> ResNet:
        return SPACE

    @pytest.fixture
    def archs(self, space: ResNet) -> list[ResNetArch]:
        # The small ones first: networks of some are built.
        return sorted(draw(space, self.samples), key=lambda arch: arch.width * sum(arch.depths))


class TestFacets(FacetsContract):
    datasets = ("ImageNet",)

    @pytest.fixture
    def space(self) -> ResNet:
        return SPACE


@pytest.mark.parametrize("name", list(PUBLISHED))
def test_published_networks_have_their_published_sizes(name: str) -> None:
    with torch.device("meta"):
        network = SPACE.build(PUBLISHED[name])
    found = count(network, (3, 224, 224))
    assert found.macs is not None
    assert (found.params, round(found.macs / 1e9, 2)) == SIZES[name]


def test_small_images_are_kept_by_the_stem() -> None:
    network = SPACE.build(ResNetArch("basic", 16, 1.0, (1, 1, 1, 1)), image_task(10, (3, 32, 32)))
    with torch.no_grad():
        features = network.get_submodule("stem")(torch.zeros(1, 3, 32, 32))
    assert features.shape == (1, 16, 32, 32)


def test_a_factor_exists_for_bottlenecks_alone() -> None:
    basic, wide = PUBLISHED["resnet18"], PUBLISHED["wide_resnet50_2"]
    assert (str(basic), str(wide)) == ("basic|w64|2,2,2,2", "bottleneck|w64x2|3,4,6,3")
    assert "factor" not in SPACE.encode(basic)
    assert SPACE.encode(wide)["factor"] == 2.0
    with pytest.raises(InvalidArchitectureError, match="`factor` must be one of 1"):
        ResNetArch("basic", 64, 2.0, (2, 2, 2, 2))


@pytest.mark.parametrize(
    "text",
    ["basic|w64x1|2,2,2,2", "bottleneck|w64|3,4,6,3", "basic|w64|2,2,2", "basic|w65|2,2,2,2",
     "basic|w64|2,2,7,2", "plain|w64|2,2,2,2", "basic|2,2,2,2"],
)  # fmt: skip
def test_other_texts_are_one_line(text: str) -> None:
    with pytest.raises(InvalidArchitectureError) as raised:
        SPACE.parse(text)
    assert "\n" not in str(raised.value)


def write(folder: Path, text: str) -> Path:
    """Write the table, and give the data folder."""
    path = folder / FILE
    path.parent.mkdir(parents=True)
    path.write_text(text)
    return folder


def test_accuracies_of_a_recipe_at_the_usual_size(tmp_path: Path) -> None:
    rows = ["model,img_size,top1", "resnet50.tv_in1k,224,76.1", "resnet50.tv_in1k,176,75.0"]
    rows += [
        "resnet50.tv2_in1k,224,80.8",
        "resnet50d.tv_in1k,224,79.0",
        "resnet18.tv_in1k,224,69.8",
    ]
    folder = write(tmp_path, "\n".join(rows) + "\n")
    found = ACCURACIES.accuracies("ImageNet", "tv", folder)
    assert found == {"bottleneck|w64x1|3,4,6,3": 76.1, "basic|w64|2,2,2,2": 69.8}


@pytest.mark.parametrize(
    "text",
    [
        "model,top1\nresnet18.tv_in1k,69.8\n",
        "model,img_size,top1\nresnet18.tv_in1k,224,x\n",
        "model,img_size,top1\nresnet18.tv_in1k,224,169.8\n",
        "model,img_size,top1\nresnet18.tv_in1k,224",
    ],
)
def test_other_tables_are_one_line(tmp_path: Path, text: str) -> None:
    with pytest.raises(DataFormatError, match="hwnas data verify timm") as raised:
        ACCURACIES.accuracies("ImageNet", "tv", write(tmp_path, text))
    assert "\n" not in str(raised.value)


def test_what_there_is_not() -> None:
    with pytest.raises(UnknownNameError, match="ImageNet"):
        ACCURACIES.accuracies("cifar10", "tv")
    with pytest.raises(UnknownNameError, match="split"):
        ACCURACIES.accuracies("ImageNet", "test")
