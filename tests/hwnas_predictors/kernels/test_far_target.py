"""Kernel predictors of another machine, which is a folder of this one or a server on loopback."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hwnas.bundles.far import Far, LostError
from hwnas.bundles.machines import Machine
from hwnas.bundles.settings import BundleSettings
from hwnas.bundles.ssh import LOST, Answer
from hwnas.errors import InvalidValueError, UnknownNameError
from hwnas.evaluation.cache import ResultCache
from hwnas_predictors.kernels.far_target import FarTarget
from hwnas_predictors.kernels.plain_graph import find_plain_kernels
from hwnas_predictors.kernels.plain_model import plain_model
from hwnas_predictors.kernels.predictor import Family, KernelPredictor
from tests.hwnas.bundles.loopback import Loopback, real_sshd
from tests.hwnas_predictors.kernels.conftest import CIFAR10, EVERY, SMALL

LITTLE: dict[str, Any] = {
    "max_seconds": 0.1, "networks": 3, "held_out": 2, "kernel_seconds": 0.02,
    "network_seconds": 0.02,
}  # fmt: skip


def machine(transport: Any, **settings: Any) -> Machine:
    return Machine("board", Far(transport, sys.executable, lambda _: None),
                   BundleSettings(**settings))  # fmt: skip


@pytest.fixture
def home(tmp_path: Path) -> Loopback:
    (tmp_path / "home").mkdir()
    return Loopback(tmp_path / "home")


def test_a_predictor_of_another_machine_predicts_here_and_says_whose_it_is(
    home: Loopback, tmp_path: Path
) -> None:
    with ResultCache(tmp_path / "cache.sqlite") as cache:
        made = KernelPredictor.build([(SMALL, CIFAR10)], cache=cache, machine=machine(home),
                                     **LITTLE)  # fmt: skip
        asked = len(home.commands)
        again = KernelPredictor.build([(SMALL, CIFAR10)], cache=cache, machine=machine(home),
                                      **LITTLE)  # fmt: skip
    # What was measured is not measured again: only what it is is asked once more.
    assert len(home.commands) == asked + 1
    assert repr(again.predictor) == repr(made.predictor)
    device = made.predictor.device
    assert (device.device, device.runtime.partition("-")[0]) == ("board", "onnxruntime")
    made.predictor.save(tmp_path / "board.npz")
    loaded = KernelPredictor.load(tmp_path / "board.npz")
    arch = SMALL.sample(np.random.default_rng(0))
    # Another version of ONNX Runtime, or other blocks of channels, are no hindrance here.
    elsewhere = replace(loaded, block=3, device=replace(device, runtime="onnxruntime-0.1"))
    assert elsewhere.predict([arch]) == made.predictor.predict([arch]) > 0


def test_parts_of_networks_are_measured_over_a_real_server(tmp_path: Path) -> None:
    kernels = find_plain_kernels(Family(SMALL, CIFAR10).network(SMALL.parse(EVERY)))[:2]
    models = [plain_model(kernel) for kernel in kernels]
    with real_sshd(tmp_path) as ssh:
        target = FarTarget(machine(ssh))
        values = target.together_ms(models, "float32", 0.02)
        assert values.shape == (2,)
        assert (values > 0).all()
        assert target.together_ms(models[:1], "int8", 0.02) > 0


def test_a_machine_that_goes_away_leaves_no_kernel_for_one_that_cannot_run(home: Loopback) -> None:
    class Leaving(Loopback):
        def __call__(self, command: str, *given: Any, **more: Any) -> Answer:
            if sum(c.endswith("run.py") for c in self.commands) >= 3:
                return Answer(LOST, b"", "no route to host")
            return super().__call__(command, *given, **more)

    with pytest.raises(LostError, match="no route to host"):
        KernelPredictor.build([(SMALL, CIFAR10)], machine=machine(Leaving(home.home)), **LITTLE)


def test_settings_that_kernels_are_not_read_for_are_refused(home: Loopback) -> None:
    with pytest.raises(InvalidValueError, match="`batch` of board must be 1"):
        FarTarget(machine(home, batch=2))
    half = FarTarget(machine(home, precision="float16"))
    with pytest.raises(UnknownNameError, match="precision of ONNX models"):
        half.insist_that_it_runs(Family(SMALL, CIFAR10).network(SMALL.parse(EVERY)))
