from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

nni = pytest.importorskip("nni", reason="the extra nni is not installed")

import nni.nas.hub.pytorch as hub  # noqa: E402
from nni.mutable import Categorical, CategoricalMultiple, MutableDict, Numerical  # noqa: E402
from nni.nas.space import RawFormatModelSpace, SimplifiedModelSpace  # noqa: E402

from hwnas.spaces.nasbench201 import NasBench201  # noqa: E402
from hwnas.tasks.task import image_task  # noqa: E402
from hwnas_nni.codec import codec_of  # noqa: E402

HUB: dict[str, Callable[[], Any]] = {
    "NasBench101": lambda: hub.NasBench101(16, num_stacks=1, num_modules_per_stack=1),
    "NasBench201": hub.NasBench201,
    "DARTS": lambda: hub.DARTS(16, 8, "cifar"),
    "NASNet": lambda: hub.NASNet(16, 8, "cifar"),
    "ProxylessNAS": hub.ProxylessNAS,
    "MobileNetV3": hub.MobileNetV3Space,
    "ShuffleNet": hub.ShuffleNetSpace,
    "AutoFormer": hub.AutoFormer,
}


@pytest.mark.parametrize("name", HUB)
def test_every_hub_space_is_read_and_its_samples_are_valid(name: str) -> None:
    executable = SimplifiedModelSpace.from_model(HUB[name]())
    codec = codec_of(executable)
    rng = np.random.default_rng(0)
    archs = [arch for arch in (codec.space.sample(rng) for _ in range(30))]
    valid = [arch for arch in archs if codec.space.is_valid(arch)]
    assert len(valid) >= 5
    for arch in valid:
        model = executable.freeze(codec.to_sample(arch))
        assert codec.from_sample(model.sample) == arch
        assert codec.space.parse(str(arch)) == arch


def test_invalid_samples_are_told() -> None:
    executable = SimplifiedModelSpace.from_model(HUB["NasBench101"]())
    codec = codec_of(executable)
    rng = np.random.default_rng(0)
    archs = [codec.space.sample(rng) for _ in range(60)]
    for arch in archs:
        assert codec.space.is_valid(arch) == executable.contains(codec.to_sample(arch))
    assert {codec.space.is_valid(arch) for arch in archs} == {True, False}


@pytest.mark.parametrize("kind", [SimplifiedModelSpace, RawFormatModelSpace])
def test_the_hubs_nasbench201_is_nas_bench_201(kind: Any) -> None:
    codec = codec_of(kind.from_model(hub.NasBench201(8, num_modules_per_stack=2)))
    assert codec.space == NasBench201(channels=8, cells=2)
    text = "|nor_conv_3x3~0|+|none~0|avg_pool_3x3~1|+|skip_connect~0|nor_conv_1x1~1|none~2|"
    assert codec.to_sample(codec.space.parse(text)) == {
        "cell/0_1": "conv_3x3",
        "cell/0_2": "none",
        "cell/1_2": "avg_pool_3x3",
        "cell/0_3": "skip_connect",
        "cell/1_3": "conv_1x1",
        "cell/2_3": "none",
    }


def test_the_hubs_network_has_the_parameters_of_ours() -> None:
    executable = RawFormatModelSpace.from_model(hub.NasBench201(8, 2))
    codec = codec_of(executable)
    cell = codec.space.parse(
        "|nor_conv_3x3~0|+|nor_conv_1x1~0|avg_pool_3x3~1|+|skip_connect~0|nor_conv_1x1~1|none~2|"
    )
    theirs = executable.freeze(codec.to_sample(cell)).executable_model()
    ours = codec.space.build(cell, image_task(10, (3, 32, 32)))
    count = [sum(p.numel() for p in network.parameters()) for network in (theirs, ours)]
    assert count[0] == count[1]


def test_every_kind_of_choice_is_a_dimension() -> None:
    mutables = MutableDict(
        {
            "one": Categorical([1, 2.5, "x"], label="one"),
            "two": CategoricalMultiple(["a", "b", "c"], n_chosen=2, label="two"),
            "any": CategoricalMultiple(["a", "b"], label="any"),
            "real": Numerical(0, 1, label="real"),
            "step": Numerical(1.5, 6.5, quantize=2, label="step"),
            "log": Numerical(1e-4, 1.0, log_distributed=True, label="log"),
        }
    )
    space = codec_of(mutables, levels=4).space
    rng = np.random.default_rng(0)
    for _ in range(50):
        arch = space.sample(rng)
        sample = codec_of(mutables, levels=4).to_sample(arch)
        assert mutables.contains(sample)
    assert space.parameters["two"] == ('["a", "b"]', '["a", "c"]', '["b", "c"]')
    assert len(space.parameters["any"]) == 4
    assert [float(v) for v in space.parameters["step"]] == [2, 4, 6]
    # Quantiles 1/8, 3/8, 5/8, 7/8, and the same of the logarithm.
    assert [float(v) for v in space.parameters["real"]] == [0.125, 0.375, 0.625, 0.875]
    assert [float(v) for v in space.parameters["log"]] == pytest.approx(
        [10**-3.5, 10**-2.5, 10**-1.5, 10**-0.5]
    )
