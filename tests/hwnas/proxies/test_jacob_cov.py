import math

import numpy as np
import torch
from torch import nn

from hwnas.proxies.engine.scoring import score_network
from hwnas.proxies.engine.signals import Setting
from hwnas.proxies.engine.subject import Subject
from hwnas.proxies.jacob_cov import JacobCov


def test_a_linear_network_has_equal_gradients() -> None:
    # The correlation matrix is all ones: one eigenvalue B, the others 0.
    B, k = 5, 1e-5
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 3))
    expected = -(math.log(B + k) + 1 / (B + k) + (B - 1) * (math.log(k) + 1 / k))
    score = score_network(model, (3, 2, 2), [JacobCov()], batch_size=B)["jacob_cov"]
    assert math.isclose(score.value, expected, rel_tol=1e-6)


def test_against_gradients_of_one_image_at_a_time(resnet: nn.Module) -> None:
    subject = Subject(resnet, (3, 8, 8), batch_size=6, seed=2)
    network, (images, _) = subject.network(Setting()).double(), subject.input(Setting())
    rows = []
    for n in range(6):
        inputs = images.double()
        one = inputs[n].clone().requires_grad_()
        full = torch.cat([inputs[:n], one[None], inputs[n + 1 :]])
        network(full).sum().backward()
        assert one.grad is not None
        rows.append(one.grad.flatten().numpy())
    v = np.linalg.eigvalsh(np.corrcoef(rows)) + 1e-5
    score = score_network(resnet, (3, 8, 8), [JacobCov()], batch_size=6, seed=2)["jacob_cov"]
    assert math.isclose(score.value, -float((np.log(v) + 1 / v).sum()), rel_tol=1e-4)


def test_an_output_that_ignores_the_input_has_no_score() -> None:
    class Constant(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.zeros(len(x), 3)

    score = score_network(Constant(), (3, 2, 2), [JacobCov()])["jacob_cov"]
    assert math.isnan(score.value)
    assert score.error is not None
    assert "must depend on its input" in score.error


def test_the_initialisation_is_a_variant(resnet: nn.Module) -> None:
    both = score_network(resnet, (3, 8, 8), [JacobCov(), JacobCov("as_built")], batch_size=4)
    assert both["jacob_cov"].value != both["jacob_cov.as_built"].value
