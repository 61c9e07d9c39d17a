"""timm's models as a space: patterns, networks, published accuracies; in a pretended package."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from hwnas.data.timm_results import FILE, TrainedModels, Weights
from hwnas.errors import InvalidArchitectureError, InvalidValueError, MissingDependencyError
from hwnas.spaces import timm_space
from hwnas.spaces.facets import Truth, facet
from hwnas.spaces.space_text import named_space, read_space, written_space
from hwnas.spaces.timm_space import TimmModels
from hwnas.tasks.task import image_task
from hwnas.testing import ArchitecturesContract, FacetsContract, NetworksContract
from tests.hwnas.spaces.pretended_timm import NAMES, pretended_timm


@pytest.fixture
def timm(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    timm_space._names.cache_clear()
    monkeypatch.setitem(sys.modules, "timm", pretended_timm())
    yield
    timm_space._names.cache_clear()


@pytest.mark.usefixtures("timm")
class TestContract(ArchitecturesContract, NetworksContract, FacetsContract):
    datasets = ("ImageNet",)
    samples = 8

    @pytest.fixture
    def space(self) -> TimmModels:
        return TimmModels()


@pytest.mark.usefixtures("timm")
def test_patterns_are_joined_and_each_model_is_there_once() -> None:
    assert tuple(TimmModels()) == NAMES
    space: Any = named_space("timm:models=resnet1*+vit*+*18")
    assert tuple(space) == ("resnet18", "vit_tiny")
    assert len(space) == 2
    assert read_space(written_space(space)) == space == TimmModels("resnet1*+vit*+*18")
    assert set(space.neighbours("resnet18")) == {"vit_tiny"}
    with pytest.raises(InvalidArchitectureError, match=r"one of the 2 models .* 'resnet34'"):
        space.parse("resnet34")


def test_a_folder_named_timm_is_not_timm(monkeypatch: pytest.MonkeyPatch) -> None:
    timm_space._names.cache_clear()
    monkeypatch.setitem(sys.modules, "timm", ModuleType("timm"))
    with pytest.raises(MissingDependencyError, match=r"^`resnet.*'hwnas\[timm\]'\.$"):
        TimmModels("resnet*").sample(np.random.default_rng(0))


@pytest.mark.usefixtures("timm")
@pytest.mark.parametrize("models", ["", "resnet*+", "efficientnet*", "resnet18+x*"])
def test_other_patterns_are_one_line(models: str) -> None:
    with pytest.raises(InvalidValueError, match=r"^`models` must be patterns .*$"):
        len(TimmModels(models))


def test_without_timm_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    timm_space._names.cache_clear()
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'hwnas\[timm\]'"):
        len(TimmModels())


@pytest.mark.parametrize(
    ("model", "tag", "alone"),
    [
        ("resnet50", "a1_in1k", True),
        ("resnet50", "in1k", True),
        ("volo_d1_224", "sail_in1k_384", True),
        ("resnet50", "fb_swsl_ig1b_ft_in1k", False),
        ("convnext_base", "fb_in22k_ft_in1k", False),
        ("deit_tiny_distilled_patch16_224", "fb_in1k", False),
        ("cait_s24_224", "fb_dist_in1k", False),
        ("tf_efficientnet_b0", "ns_jft_in1k", False),
        ("vit_base_patch16_clip_224", "openai", False),
    ],
)
def test_weights_of_imagenet_alone(model: str, tag: str, alone: bool) -> None:
    assert Weights(model, tag, 224, 80.0).of_imagenet_alone is alone


@pytest.mark.usefixtures("timm")
def test_the_best_published_accuracy_of_each_model(tmp_path: Path) -> None:
    rows = ("resnet18.a1_in1k,288,73.2", "resnet18.tv_in1k,224,69.8",
            "resnet18.fb_swsl_ig1b_ft_in1k,224,73.3", "vit_tiny.augreg_in21k_ft_in1k,224,75.5",
            "resnet34.a1_in1k,224,76.4")  # fmt: skip
    path = tmp_path / FILE
    path.parent.mkdir()
    path.write_text("\n".join(("model,img_size,top1", *rows)) + "\n")
    truth: Any = facet(TimmModels("resnet18+vit*"), Truth)
    assert isinstance(truth, TrainedModels)
    assert truth.accuracies("ImageNet", "in1k", tmp_path) == {"resnet18": 73.2}
    found = truth.accuracies("ImageNet", "any", tmp_path)
    assert found == {"resnet18": 73.3, "vit_tiny": 75.5}


def test_models_of_timm_itself() -> None:
    if importlib.util.find_spec("timm") is None:
        pytest.skip("the extra timm is not installed")
    timm_space._names.cache_clear()
    space = TimmModels("mobilenetv2_0*+vit_tiny_patch16_224")
    assert "mobilenetv2_050" in tuple(space)
    network = space.build("mobilenetv2_050", image_task(7, (3, 32, 32)))
    assert network(torch.zeros(2, 3, 32, 32)).shape == (2, 7)
    whole = space.build("mobilenetv2_050")
    # timm's table of results states millions with two digits.
    assert round(sum(p.numel() for p in whole.parameters()) / 1e6, 2) == 1.97
