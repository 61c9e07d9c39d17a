"""The proof that a runtime computes what PyTorch computes."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from hwnas import registry
from hwnas.errors import InvalidValueError, MissingDependencyError
from hwnas.onnx_export.export import export_onnx
from hwnas.runtimes import make_runtime
from hwnas.runtimes.agreement import agreement, largest_difference, verify_onnx
from hwnas.runtimes.base import Prepared, RunSettings, TorchNetwork
from hwnas.seeding import seeded
from hwnas.spaces.fbnet import FBNet
from hwnas.spaces.mobilenetv3 import MobileNetV3
from hwnas.spaces.nasbench201 import NasBench201
from hwnas.tasks.task import image_task
from hwnas.typing import DeviceKey

IMAGES = np.arange(12, dtype=np.float32).reshape(1, 3, 2, 2)


def executable(outputs: np.ndarray, precision: str = "float32") -> Prepared:
    return Prepared(DeviceKey("cpu", "lab", precision), [IMAGES], lambda: None, lambda: [outputs])


def test_error_is_a_share_of_the_largest_output() -> None:
    off = IMAGES.copy()
    off[0, 0, 0, 1] += 0.0055
    # The largest output is 11.
    assert agreement(executable(off), nn.Identity()).relative_error == pytest.approx(
        0.0005, rel=1e-3
    )
    assert agreement(executable(IMAGES), nn.Identity()).relative_error == 0
    zero = nn.Conv2d(3, 2, 1)
    nn.init.zeros_(zero.weight)
    assert zero.bias is not None
    nn.init.zeros_(zero.bias)
    assert agreement(executable(np.zeros((1, 2, 2, 2), np.float32)), zero).relative_error == 0


def test_correlation_is_pearsons_over_all_examples() -> None:
    rng = np.random.default_rng(0)
    examples = [[rng.normal(size=(1, 3, 2, 2)).astype(np.float32)] for _ in range(4)]
    off = [IMAGES + rng.normal(size=IMAGES.shape).astype(np.float32) / 9]
    off += [e + rng.normal(size=e.shape).astype(np.float32) / 9 for (e,) in examples]
    left = iter(off)
    ready = replace(
        executable(IMAGES, "float16"), outputs=lambda *_: [next(left)], examples=examples
    )
    found = agreement(ready, nn.Identity())
    expected = np.concatenate([IMAGES.ravel(), *(e.ravel() for (e,) in examples)])
    made = np.concatenate([o.ravel() for o in off])
    assert found.correlation == pytest.approx(np.corrcoef(expected, made)[0, 1], rel=1e-6)
    # The largest error and the largest output may be of different examples.
    assert found.relative_error == pytest.approx(np.abs(expected - made).max() / 11, rel=1e-5)
    assert math.isnan(agreement(executable(0 * IMAGES), Zero()).correlation)


class Zero(nn.Module):
    """Gives nothing but zeros."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * 0


def test_lower_precision_may_differ_by_more() -> None:
    off = IMAGES * np.float32(1.01)
    with pytest.raises(InvalidValueError, match=r"differs by 0\.01: its latency would be that of"):
        agreement(executable(off), nn.Identity())
    assert agreement(executable(off, "float16"), nn.Identity()).relative_error == pytest.approx(
        0.01, rel=1e-4
    )


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_is_no_number_is_refused(value: float) -> None:
    off = IMAGES.copy()
    off[0, 0, 0, 0] = value
    with pytest.raises(InvalidValueError, match=r"differs by (nan|inf)"):
        agreement(executable(off), nn.Identity())


def test_nothing_can_be_compared_with_outputs_that_overflow() -> None:
    class Overflow(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return (x + 1) * 1e30 * 1e30

    assert math.isnan(agreement(executable(IMAGES), Overflow()).relative_error)


def test_number_and_shape_of_outputs_must_be_the_networks() -> None:
    with pytest.raises(InvalidValueError, match=r"outputs of shape \(1, 3, 2, 2\), .* got \(1, 12"):
        agreement(executable(IMAGES.reshape(1, 12)), nn.Identity())
    with pytest.raises(InvalidValueError, match="outputs of shape"):
        largest_difference([IMAGES], [IMAGES, IMAGES])
    assert largest_difference([], []) == 0


@pytest.mark.parametrize("runtime", registry.names("runtimes"))
@pytest.mark.parametrize("space", [NasBench201(), FBNet(), MobileNetV3()], ids=lambda s: s.name)
def test_random_networks_agree_in_every_runtime(space: NasBench201, runtime: str) -> None:
    try:
        made = make_runtime(runtime)
    except MissingDependencyError as error:
        pytest.skip(str(error))
    rng = np.random.default_rng(0)
    for seed in range(3):
        with seeded(seed):
            network = TorchNetwork(
                space.build(space.sample(rng), image_task(10, (3, 32, 32))), (3, 32, 32)
            )
        with made.prepare(network, RunSettings(batch=2)) as ready:
            assert agreement(ready, network.module).relative_error < 1e-4


class Joined(nn.Module):
    """Joins all images of a batch."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.reshape(1, -1)


def test_a_free_batch_is_compared_with_two_images() -> None:
    model = export_onnx(nn.ReLU(), (3, 4, 4), dynamic_batch=True)
    assert verify_onnx(model, nn.ReLU(), (3, 4, 4)) == 0
    with pytest.raises(InvalidValueError, match=r"of shape \(1, 96\), .* got \(2, 3, 4, 4"):
        verify_onnx(model, Joined(), (3, 4, 4))
