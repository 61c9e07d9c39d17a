import math

import numpy as np
import pytest
import torch
from torch import nn

from hwnas.errors import InvalidValueError
from hwnas.proxies.engine.scoring import score_network
from hwnas.proxies.engine.signals import Mode, Setting
from hwnas.proxies.engine.subject import Subject
from hwnas.proxies.ntk import NtkCondition
from hwnas.tasks.batch import Batch

SHAPE = (3, 8, 8)


@pytest.mark.parametrize("mode", ["eval", "train"])
def test_a_linear_network_by_hand(mode: Mode) -> None:
    # The gradient of K logits is the image K times: orthogonal images of sizes 1 and 3 give 9.
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 5))
    images = torch.tensor([[1.0, 0.0, 0.0, 0.0], [0.0, 0.0, -3.0, 0.0]]).reshape(2, 1, 2, 2)
    (score,) = score_network(model, (1, 2, 2), [NtkCondition(mode)], batch=Batch(images)).values()
    assert math.isclose(score.value, 9, rel_tol=1e-6)


@pytest.mark.parametrize("mode", ["eval", "train"])
def test_against_one_gradient_at_a_time(resnet: nn.Module, mode: Mode) -> None:
    subject = Subject(resnet, SHAPE, batch_size=5, seed=4)
    setting = Setting(mode=mode)
    network = subject.network(setting).double().requires_grad_()
    images = subject.input(setting)[0].double()
    rows = []
    for n in range(5):
        network.zero_grad()
        network(images)[n].sum().backward()
        rows.append(
            torch.cat(
                [
                    module.weight.grad.flatten()
                    for module in network.modules()
                    if isinstance(module, (nn.Conv2d, nn.Linear, nn.BatchNorm2d))
                    and module.weight.grad is not None
                ]
            ).numpy()
        )
    values = np.linalg.eigvalsh(np.array(rows) @ np.array(rows).T)
    proxy = NtkCondition(mode)
    found = score_network(resnet, SHAPE, [proxy], batch_size=5, seed=4)[proxy.name]
    assert math.isclose(found.value, float(values[-1] / values[0]), rel_tol=1e-3)


def test_equal_images_have_a_singular_kernel() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 5))
    batch = Batch(torch.ones(2, 1, 2, 2))
    found = score_network(model, (1, 2, 2), [NtkCondition()], batch=batch)["ntk_cond"]
    assert math.isnan(found.value)
    assert "singular" in str(found.error)


def test_settings() -> None:
    assert NtkCondition("train", 8).name == "ntk_cond.train-batch8"
    assert NtkCondition().direction == "minimize"
    with pytest.raises(InvalidValueError, match="`batch_size`"):
        NtkCondition(batch_size=0)
