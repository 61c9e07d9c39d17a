"""MNN as a runtime."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from hwnas.errors import InvalidValueError
from hwnas.measure.measuring import measure
from hwnas.runtimes import make_runtime
from hwnas.runtimes.agreement import agreement
from hwnas.runtimes.base import RunSettings, Runtime, TorchNetwork
from hwnas.seeding import seeded
from hwnas.tasks.task import TensorSpec
from hwnas.testing import RuntimeContract

pytest.importorskip("_tools", reason="needs the extra mnn")


class TestMnn(RuntimeContract):
    @pytest.fixture
    def runtime(self) -> Runtime:
        return make_runtime("mnn")


def test_networks_are_measured_in_a_child_process(capfd: pytest.CaptureFixture[str]) -> None:
    network = TorchNetwork(nn.Conv2d(3, 4, 3), (3, 8, 8))
    found = measure(network, make_runtime("mnn"), max_seconds=0.05)
    assert str(found.key).startswith("cpu/mnn-")
    assert found.relative_error < 1e-4
    assert capfd.readouterr().out == ""


def test_other_pads_are_caught_by_the_outputs() -> None:
    # MNN pads such pools otherwise, without a word.
    class Pool(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3, padding=1)
            self.pool = nn.AvgPool2d(3, 2, 1, ceil_mode=True)

        def forward(self, x):  # type: ignore[no-untyped-def]
            return self.pool(self.conv(x) + 5)

    network = TorchNetwork(Pool(), (3, 8, 8))
    runtime = make_runtime("mnn")
    with runtime.prepare(network, RunSettings()) as executable:
        try:
            assert agreement(executable, network.module).relative_error < 1e-3
        except InvalidValueError as error:
            assert "another network" in str(error)  # noqa: PT017


class DeadBranch(nn.Module):
    """Adds a constant that layers make of zeros."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.dead, self.norm = nn.Conv2d(3, 8, 1), nn.Conv2d(8, 8, 1), nn.BatchNorm2d(8)
        self.norm.running_mean, self.norm.running_var = torch.randn(8), torch.rand(8) + 0.5

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.first(x)
        norm: torch.Tensor = self.norm(self.dead(torch.relu(torch.zeros_like(x))))
        return x + norm


def test_what_is_made_of_zeros_is_right() -> None:
    with seeded(0):
        network = TorchNetwork(DeadBranch().eval(), (3, 8, 8))
    for batch in (1, 2):
        with make_runtime("mnn").prepare(network, RunSettings(batch=batch)) as ready:
            assert agreement(ready, network.module).relative_error < 1e-5


class Recurrent(nn.Module):
    """An LSTM of two layers and directions over a signal."""

    def __init__(self) -> None:
        super().__init__()
        self.cells = nn.LSTM(6, 8, 2, batch_first=True, bidirectional=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.cells(x.transpose(1, 2))[0][:, -1]
        return out


def test_an_lstm_is_measured() -> None:
    with seeded(0):
        network = TorchNetwork(Recurrent().eval(), TensorSpec((6, 9), kind="signal"))
    found = measure(network, make_runtime("mnn"), max_seconds=0.05)
    assert found.relative_error < 1e-5


class Chosen(nn.Module):
    """Takes numbers of several shapes where a condition does not hold."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        means, columns = x.mean(1, keepdim=True), torch.linspace(-1, 1, 8)
        found: torch.Tensor = torch.where(x > 0, x, means) + torch.where(x > 1, means, columns)
        return found + x.masked_fill(x < -0.5, 0.5)


def test_conditions_and_what_they_leave_are_those_of_the_network() -> None:
    network = TorchNetwork(Chosen(), (3, 8, 8))
    for batch in (1, 2):
        with make_runtime("mnn").prepare(network, RunSettings(batch=batch)) as ready:
            assert agreement(ready, network.module).relative_error < 1e-5


class Rewritten(nn.Module):
    """A cubic resize, which MNN computes otherwise, and a circular pad, which it lacks."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = nn.functional.mish(nn.functional.pad(x, (1, 2, 3, 1), mode="circular"))
        found: torch.Tensor = nn.functional.interpolate(x, scale_factor=2, mode="bicubic")
        return found


def test_what_it_lacks_or_computes_otherwise_is_written_in_other_words() -> None:
    network = TorchNetwork(Rewritten(), (3, 8, 8))
    for batch in (1, 2):
        with make_runtime("mnn").prepare(network, RunSettings(batch=batch)) as ready:
            assert agreement(ready, network.module).relative_error < 1e-5


def test_signals_are_convolved_back() -> None:
    with seeded(0):
        network = TorchNetwork(
            nn.ConvTranspose1d(4, 6, 4, 2, 1, groups=2), TensorSpec((4, 10), kind="signal")
        )
    with make_runtime("mnn").prepare(network, RunSettings(batch=2)) as ready:
        assert agreement(ready, network.module).relative_error < 1e-5


def test_the_operators_that_it_lacks_are_named() -> None:
    class Spectrum(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            found: torch.Tensor = torch.fft.rfft(x).abs()
            return found

    network = TorchNetwork(Spectrum(), (3, 8, 8))
    with (
        pytest.raises(InvalidValueError, match="its converter lacks DFT: use the runtime"),
        make_runtime("mnn").prepare(network, RunSettings()),
    ):
        pass
