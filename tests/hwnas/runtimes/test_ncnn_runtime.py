"""ncnn as a runtime."""

from __future__ import annotations

import signal
import subprocess
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from hwnas.errors import InvalidValueError
from hwnas.runtimes import make_runtime
from hwnas.runtimes.agreement import agreement
from hwnas.runtimes.base import Prepared, RunSettings, Runtime, TorchNetwork
from hwnas.tasks.task import TensorSpec
from hwnas.testing import RuntimeContract

pytest.importorskip("ncnn", reason="needs the extra ncnn")
pytest.importorskip("pnnx", reason="needs the extra ncnn")


class TestNcnn(RuntimeContract):
    @pytest.fixture
    def runtime(self) -> Runtime:
        return make_runtime("ncnn")


def test_images_run_one_by_one() -> None:
    network = TorchNetwork(nn.Conv2d(3, 4, 3), (3, 8, 8))
    with make_runtime("ncnn").prepare(network, RunSettings(batch=3)) as executable:
        assert isinstance(executable, Prepared)
        (outputs,) = executable.outputs()
        assert outputs.shape == (3, 4, 6, 6)
        (others,) = executable.outputs(executable.inputs[0][::-1])
        np.testing.assert_allclose(others, outputs[::-1], rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(executable.outputs()[0], outputs, rtol=1e-5)
        assert executable.facts == {"batch_is": "one image after another"}


def test_a_conversion_that_crashes_begins_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    from hwnas.runtimes import ncnn_runtime

    class Crashing:
        """Ends by a segmentation fault, as pnnx does now and then, before it converts."""

        crashes = 2

        def run(self, command: list[str], **settings: Any) -> subprocess.CompletedProcess[bytes]:
            if self.crashes:
                self.crashes -= 1
                return subprocess.CompletedProcess(command, -signal.SIGSEGV)
            return subprocess.run(command, **settings)

    monkeypatch.setattr(ncnn_runtime, "subprocess", Crashing())
    network = TorchNetwork(nn.Conv2d(3, 4, 3), (3, 8, 8))
    with make_runtime("ncnn").prepare(network, RunSettings()) as executable:
        assert executable.outputs()[0].shape == (1, 4, 6, 6)


SEQUENCES: dict[str, Any] = {
    "tokens alone": lambda x: torch.softmax(x @ x.transpose(1, 2), -1) @ x,
    "mean over tokens": lambda x: (x * x).mean(1),
    "sum of each token": lambda x: x.sum(2, keepdim=True) * x,
    "a mean behind a convolution": lambda x: F.conv1d(x, torch.ones(3, 6, 3)).mean(2),
    "a mean of rows": lambda x: F.conv2d(x[:, None], torch.ones(2, 1, 3, 3)).mean(3),
    "products of heads": lambda x: torch.einsum("bic,bjc->bij", x, x).sum(1),
}


@pytest.mark.parametrize("name", SEQUENCES)
def test_sequences_run_with_the_batch_where_there_is_one(name: str) -> None:
    """pnnx takes the batch away where it sees one, and reduces nothing over one dimension."""

    class Sequence(nn.Module):
        def forward(self, x):  # type: ignore[no-untyped-def]
            return SEQUENCES[name](x)

    network = TorchNetwork(Sequence(), TensorSpec((6, 8), kind="signal"))
    with make_runtime("ncnn").prepare(network, RunSettings(batch=2)) as ready:
        assert agreement(ready, network.module).relative_error < 1e-5


def test_the_largest_of_each_channel_is_a_pool() -> None:
    class Largest(nn.Module):
        def forward(self, x):  # type: ignore[no-untyped-def]
            return torch.amax(x, (2, 3))

    network = TorchNetwork(Largest(), (3, 8, 8))
    with make_runtime("ncnn").prepare(network, RunSettings(batch=2)) as ready:
        assert agreement(ready, network.module).relative_error < 1e-5


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("linalg.det", "cannot"),
        ("amax", "load it, which lack ReduceMax: use the runtime onnxruntime"),
    ],
)
def test_what_cannot_be_converted_is_refused(name: str, told: str) -> None:
    class Odd(nn.Module):
        def forward(self, x):  # type: ignore[no-untyped-def]
            return torch.amax(x, 1) if name == "amax" else torch.linalg.det(x)

    network = TorchNetwork(Odd(), (3, 8, 8))
    with (
        pytest.raises(InvalidValueError, match=told),
        make_runtime("ncnn").prepare(network, RunSettings()),
    ):
        pass
