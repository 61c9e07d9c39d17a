"""Contracts of what runs networks and of what is read around a run."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from hwnas.errors import HwnasError
from hwnas.meters.base import Meter
from hwnas.runtimes.base import OnnxModel, Place, RunSettings, Runtime, TorchNetwork
from hwnas.seeding import seeded
from hwnas.tasks.task import TensorSpec

if TYPE_CHECKING:
    from torch import nn


class RuntimeContract:
    """What every runtime keeps; supply the fixture `runtime`.

    Attributes:
        device: the device that is tried; the runtime's first one if None.
    """

    device: str | None = None

    @pytest.fixture
    def network(self) -> TorchNetwork:
        from torch import nn

        with seeded(0):
            layers = nn.Sequential(
                nn.Conv2d(3, 8, 3, padding=1),
                nn.BatchNorm2d(8),
                nn.ReLU(),
                nn.AvgPool2d(3, 1, 1),
                nn.Flatten(),
                nn.Linear(8 * 8 * 8, 5),
            )
        return TorchNetwork(layers, (3, 8, 8))

    @pytest.fixture
    def settings(self, runtime: Runtime) -> RunSettings:
        return RunSettings(self.device or runtime.devices()[0], batch=2, seed=3)

    def test_facts(self, runtime: Runtime, settings: RunSettings) -> None:
        assert runtime.name
        assert runtime.packages
        assert runtime.precisions
        assert all(choices for choices in runtime.options.values())
        assert set(getattr(runtime, "telling_options", ())) <= set(runtime.options)
        assert runtime.version()
        assert settings.device in runtime.devices()
        assert not [device for device in runtime.devices() if ":" in device]
        assert type(runtime)().name == runtime.name

    def test_place_names_a_resource(self, runtime: Runtime, settings: RunSettings) -> None:
        place = runtime.place(settings)
        assert isinstance(place, Place)
        assert place.resource

    def test_outputs_are_those_of_pytorch(
        self, runtime: Runtime, network: TorchNetwork, settings: RunSettings
    ) -> None:
        from hwnas.runtimes.agreement import agreement

        with runtime.prepare(network, settings) as executable:
            (outputs,) = executable.outputs()
            assert outputs.shape == (2, 5)
            assert np.ptp(outputs) > 0
            found = agreement(executable, network.module)
            assert found.relative_error < 1e-3
            assert found.correlation > 0.999

    def test_key_says_what_runs(
        self, runtime: Runtime, network: TorchNetwork, settings: RunSettings
    ) -> None:
        with runtime.prepare(network, settings) as executable:
            key = executable.key
        assert (key.device, key.batch, key.threads) == (settings.device, 2, settings.threads)
        assert key.runtime == f"{runtime.name}-{runtime.version()}"
        assert key.precision == runtime.precisions[0]

    def test_inputs_depend_on_the_seed_only(
        self, runtime: Runtime, network: TorchNetwork, settings: RunSettings
    ) -> None:
        def inputs(seed: int) -> np.ndarray:
            chosen = RunSettings(settings.device, batch=2, seed=seed)
            with runtime.prepare(network, chosen) as executable:
                (images,) = executable.inputs
                return np.array(images)

        assert inputs(3).shape == (2, 3, 8, 8)
        assert np.array_equal(inputs(3), inputs(3))
        assert not np.array_equal(inputs(3), inputs(4))

    def test_runs_repeat(
        self, runtime: Runtime, network: TorchNetwork, settings: RunSettings
    ) -> None:
        with runtime.prepare(network, settings) as executable:
            (first,) = executable.outputs()
            for _ in range(3):
                executable.run()
            (last,) = executable.outputs()
        np.testing.assert_allclose(last, first, rtol=1e-5, atol=1e-6)

    def test_network_and_process_are_left_alone(
        self, runtime: Runtime, network: TorchNetwork, settings: RunSettings
    ) -> None:
        import torch

        module: nn.Module = network.module
        before = {name: value.clone() for name, value in module.state_dict().items()}
        state, threads = torch.get_rng_state(), torch.get_num_threads()
        with runtime.prepare(network, settings) as executable:
            executable.run()
            executable.outputs()
        assert all(torch.equal(before[name], v) for name, v in module.state_dict().items())
        assert module.training
        assert all(p.device.type == "cpu" and p.grad is None for p in module.parameters())
        assert torch.equal(torch.get_rng_state(), state)
        assert torch.get_num_threads() == threads

    def test_what_is_not_there_is_refused(
        self, runtime: Runtime, network: TorchNetwork, settings: RunSettings
    ) -> None:
        device = settings.device
        for wrong in (
            RunSettings("no-such-device"),
            RunSettings(device, precision="no-such-precision"),
            RunSettings(device, options=(("no-such-option", "1"),)),
        ):
            with pytest.raises(HwnasError), runtime.prepare(network, wrong):
                pass

    def test_network_that_does_not_fit_is_refused(
        self, runtime: Runtime, network: TorchNetwork, settings: RunSettings
    ) -> None:
        wrong = TorchNetwork(network.module, (3, 9, 9))
        with pytest.raises(HwnasError), runtime.prepare(wrong, settings) as executable:
            executable.outputs()

    def test_what_is_no_model_is_refused(self, runtime: Runtime, settings: RunSettings) -> None:
        with pytest.raises(HwnasError), runtime.prepare(OnnxModel(b"no model"), settings):
            pass

    def test_onnx_model_runs_or_is_refused(
        self, runtime: Runtime, network: TorchNetwork, settings: RunSettings, tmp_path: Path
    ) -> None:
        from hwnas.onnx_export.export import export_onnx

        path = tmp_path / "model.onnx"
        export_onnx(network.module, network.in_shape, path, batch=2)
        try:
            with runtime.prepare(OnnxModel(path), settings) as executable:
                assert executable.outputs()[0].shape == (2, 5)
        except HwnasError:
            pytest.skip("the runtime refuses ONNX models")

    def test_tokens_run_or_are_refused(self, runtime: Runtime, settings: RunSettings) -> None:
        from torch import nn

        from hwnas.runtimes.agreement import agreement

        with seeded(0):
            model = nn.Sequential(nn.Embedding(50, 4), nn.Flatten(), nn.Linear(24, 3))
        network = TorchNetwork(model, TensorSpec((6,), "tokens", 50))
        try:
            with runtime.prepare(network, settings) as executable:
                assert executable.inputs[0].max() > 1
                assert agreement(executable, model).relative_error < 0.5
        except HwnasError as error:
            if "tokens" not in str(error):
                raise
            pytest.skip("the runtime refuses tokens")


class MeterContract:
    """What every meter keeps; supply the fixture `meter`.

    Attributes:
        place: a place whose work the meter sees.
    """

    place: Place = Place("this-cpu", own_thread=True)

    def test_facts(self, meter: Meter) -> None:
        assert meter.name
        assert meter.metric
        assert isinstance(meter.unit, str)
        assert meter.window_seconds >= 0
        assert type(meter)().name == meter.name

    def test_it_sees_its_own_place(self, meter: Meter) -> None:
        assert meter.sees(self.place) is True

    def test_readings_are_finite_and_do_not_fall(self, meter: Meter) -> None:
        with meter.open(self.place) as read:
            readings = [read()]
            for _ in range(3):
                _work(meter.window_seconds)
                readings.append(read())
        assert np.isfinite(readings).all()
        assert (np.diff(readings) >= 0).all()

    def test_it_can_be_opened_again(self, meter: Meter) -> None:
        for _ in range(2):
            with meter.open(self.place) as read:
                assert np.isfinite(read())

    def test_two_can_be_open_at_once(self, meter: Meter) -> None:
        with meter.open(self.place) as outer, type(meter)().open(self.place) as inner:
            before = outer(), inner()
            _work(meter.window_seconds)
            assert outer() >= before[0]
            assert inner() >= before[1]


def _work(seconds: float) -> None:
    end = time.perf_counter() + max(seconds, 1e-3)
    while time.perf_counter() < end:
        pass
