"""timm's published speed as costs, read from small tables that are written here."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hwnas.costs.source import make_cost
from hwnas.data.timm_speed import DEVICES, speed_file
from hwnas.errors import DataFormatError, DataNotFoundError, InvalidValueError, UnknownNameError
from hwnas.pareto.same_device import parse_key
from hwnas.spaces import timm_space
from hwnas.spaces.nasbench201 import NasBench201
from hwnas.spaces.resnet import PUBLISHED, ResNet
from hwnas.spaces.timm_space import TimmModels
from hwnas.tasks.catalogue import get_task
from hwnas.tasks.task import image_task
from hwnas.testing import CostModelContract
from tests.hwnas.spaces.pretended_timm import pretended_timm

HEADER = "model,infer_img_size,infer_samples_per_sec,infer_batch_size"
ROWS = ("resnet18,224,50.0,1", "resnet18,288,25.0,1", "vit_tiny,224,80.0,1")
IMAGENET = get_task("ImageNet")


@pytest.fixture(autouse=True)
def timm(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    timm_space._names.cache_clear()
    monkeypatch.setitem(sys.modules, "timm", pretended_timm())
    yield
    timm_space._names.cache_clear()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write(tmp_path, HEADER, *ROWS)


def write(folder: Path, *lines: str) -> Path:
    for device in DEVICES:
        path = folder / speed_file(device)
        path.parent.mkdir(exist_ok=True)
        path.write_text("\n".join(lines) + "\n")
    return folder


class TestContract(CostModelContract):
    @pytest.fixture
    def space(self) -> TimmModels:
        return TimmModels()

    @pytest.fixture
    def archs(self) -> list[str]:
        return ["resnet18", "vit_tiny", "resnet34"]

    @pytest.fixture(params=["timm", "timm:rtx3090"])
    def cost(self, request: pytest.FixtureRequest, space: TimmModels, folder: Path) -> Any:
        return make_cost(request.param, space, IMAGENET, folder)


def test_latency_is_of_one_image_and_throughput_is_maximized(folder: Path) -> None:
    latency: Any = make_cost("timm:i7_12700h:latency", TimmModels(), IMAGENET, folder)
    assert (latency.unit, latency.direction) == ("ms", "minimize")
    assert latency.covers == ["resnet18", "vit_tiny"]
    np.testing.assert_allclose(latency.predict(["vit_tiny", "resnet18"]), [12.5, 20])
    speed: Any = make_cost("timm:rtx4090:throughput", TimmModels(), IMAGENET, folder)
    assert (speed.unit, speed.direction) == ("images/s", "maximize")
    np.testing.assert_array_equal(speed.predict(["resnet34", "resnet18"]), [np.nan, 50])


def test_speed_is_that_of_the_images(folder: Path) -> None:
    cost = make_cost("timm", TimmModels(), image_task(1000, (3, 288, 288)), folder)
    np.testing.assert_array_equal(cost.predict(["resnet18", "vit_tiny"]), [40, np.nan])
    for shape in ((3, 32, 32), (1, 224, 224), (3, 224, 192)):
        with pytest.raises(InvalidValueError, match="of a size that timm measured"):
            make_cost("timm", TimmModels(), image_task(1000, shape), folder)


def test_published_resnets_have_a_cost(folder: Path) -> None:
    cost: Any = make_cost("timm:rtx3090", ResNet(), IMAGENET, folder)
    assert cost.covers == [PUBLISHED["resnet18"]]
    np.testing.assert_array_equal(cost.predict([PUBLISHED["resnet18"]]), [50])


def test_the_device_says_batch_and_precision_of_what_ran(folder: Path, tmp_path: Path) -> None:
    cpu: Any = make_cost("timm:i9_10940x", TimmModels(), IMAGENET, folder)
    assert str(cpu.device) == "i9_10940x/torch-2.4.0/float32/b1"
    rows = [row.replace(",1", f",{batch}") for row, batch in zip(ROWS, (1024, 8, 192), strict=True)]
    write(tmp_path, HEADER, *rows)
    gpu: Any = make_cost("timm:rtx3090", TimmModels(), IMAGENET, tmp_path)
    assert str(gpu.device) == "rtx3090/torch-2.4.0[batch=192-1024]/mixed/b1024"
    assert parse_key(str(gpu.device)) == gpu.device
    alike: Any = make_cost("timm:rtx3090", ResNet(), IMAGENET, tmp_path)
    assert str(alike.device) == "rtx3090/torch-2.4.0/mixed/b1024"


def test_what_there_is_not(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidValueError, match="must be timm or resnet"):
        make_cost("timm", NasBench201(), IMAGENET, folder)
    with pytest.raises(UnknownNameError, match="throughput"):
        make_cost("timm:rtx3090:latency", TimmModels(), IMAGENET, folder)
    with pytest.raises(DataNotFoundError, match="i9_10940x"):
        make_cost("timm", TimmModels(), IMAGENET, tmp_path / "none")


@pytest.mark.parametrize(
    "lines",
    [
        ("model,infer_samples_per_sec", "resnet18,50.0"),
        (HEADER, "resnet18,224,fast,1"),
        (HEADER, "resnet18,large,50.0,1"),
        (HEADER, "resnet18,224,-50.0,1"),
        (HEADER, "resnet18,224,50.0,many"),
        (HEADER, "resnet18,224,50.0,0"),
        (HEADER, "resnet18,224,50.0"),
        (HEADER, *ROWS, "resnet18,224,51.0,1"),
    ],
)
def test_other_tables_are_one_line(lines: tuple[str, ...], tmp_path: Path) -> None:
    with pytest.raises(DataFormatError, match="hwnas data verify timm") as raised:
        make_cost("timm", TimmModels(), IMAGENET, write(tmp_path, *lines))
    assert "\n" not in str(raised.value)
