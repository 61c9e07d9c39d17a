import math

import numpy as np
import torch
from torch import Tensor, nn

from hwnas.proxies.derivatives.loss_gradients import AS_BUILT
from hwnas.proxies.engine.scoring import score_network
from hwnas.proxies.engine.subject import Subject
from hwnas.proxies.intrain import InTrain

SHAPE = (3, 8, 8)


def intrain(model: nn.Module, shape: tuple[int, ...] = SHAPE, batch_size: int = 5) -> float:
    found = score_network(model, shape, [InTrain()], batch_size=batch_size, seed=3)["intrain"]
    assert found.error is None
    return found.value


def test_against_numpy_and_plain_autograd(resnet: nn.Module) -> None:
    subject = Subject(resnet, SHAPE, batch_size=5, seed=3)
    network = subject.network(AS_BUILT).double().requires_grad_()
    images, labels = subject.input(AS_BUILT)
    outputs: list[Tensor] = []
    layers = [m for m in network.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
    for layer in layers:
        layer.register_forward_hook(lambda *given: outputs.append(given[2].detach()))
    loss = nn.functional.cross_entropy(network(images.double()), labels)
    weights = [layer.weight for layer in layers]
    gradients = torch.autograd.grad(loss, weights)
    capacity = 0.0
    for maps in outputs:
        rows = np.moveaxis(maps.numpy(), 1, -1).reshape(-1, maps.shape[1])
        C = np.cov(rows.T, bias=True) + 1e-10 * np.eye(maps.shape[1])
        capacity += math.log(np.trace(C) ** 2 / np.trace(C @ C))
    healths = []
    for gradient in gradients:
        g = gradient.numpy()
        healths.append(min(1.0, g.std() / (np.abs(g).max() + 1e-8)))
    expected = capacity * (1 + sum(healths)) / math.log(len(outputs) + 1)
    assert math.isclose(intrain(resnet), expected, rel_tol=1e-4)


def test_one_direction_has_no_capacity() -> None:
    # Both features of the only layer are multiples of one number: log 1 = 0.
    class Pair(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(1, 2, bias=False)
            with torch.no_grad():
                self.layer.weight.copy_(torch.tensor([[1.0], [-2.0]]))

        def forward(self, x: Tensor) -> Tensor:
            pair: Tensor = self.layer(x.flatten(1)[:, :1])
            return pair

    assert abs(intrain(Pair())) < 1e-6


def test_layers_that_the_loss_ignores_do_not_count() -> None:
    class Aside(nn.Module):
        def __init__(self, aside: bool) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.layer = nn.Linear(12, 3)
            self.aside = nn.Linear(12, 3) if aside else None

        def forward(self, x: Tensor) -> Tensor:
            if self.aside is not None:
                self.aside(x.flatten(1))
            logits: Tensor = self.layer(x.flatten(1))
            return logits

    assert intrain(Aside(True), (3, 2, 2)) == intrain(Aside(False), (3, 2, 2))


def test_without_layers_there_is_no_score() -> None:
    found = score_network(nn.Flatten(), (3, 1, 1), [InTrain()], batch_size=2)["intrain"]
    assert math.isnan(found.value)
