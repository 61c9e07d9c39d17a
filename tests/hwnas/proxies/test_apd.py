import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from hwnas.proxies.apd import Apd
from hwnas.proxies.engine.scoring import score_network
from hwnas.proxies.engine.signals import Setting
from hwnas.proxies.engine.subject import Subject

SHAPE = (3, 8, 8)


def apd(model: nn.Module, batch_size: int = 5) -> float:
    found = score_network(model, SHAPE, [Apd()], batch_size=batch_size, seed=3)["apd"]
    assert found.error is None
    return found.value


def test_against_numpy(resnet: nn.Module) -> None:
    subject = Subject(resnet, SHAPE, batch_size=5, seed=3)
    network = subject.network(Setting("as_built")).double()
    ranks: list[float] = []

    def add(norm: nn.Module, args: tuple[Tensor, ...], maps: Tensor) -> None:
        del norm, args
        M = maps.detach().clone().transpose(0, 1).reshape(maps.shape[1], -1).numpy()
        ranks.append(float(np.linalg.norm(M) ** 2 / np.linalg.norm(M, 2) ** 2))

    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.register_forward_hook(add)
    with torch.no_grad():
        network(subject.input(Setting("as_built"))[0].double())
    assert len(ranks) == 4
    weights = [m.weight for m in resnet.modules() if isinstance(m, nn.Conv2d)]
    arrays = [w.detach().double().numpy().ravel() for w in weights]
    spread = sum(np.abs(w).sum() / np.linalg.norm(w) for w in arrays)
    assert math.isclose(apd(resnet), sum(ranks) * spread, rel_tol=1e-5)


def test_two_equal_channels_count_as_one() -> None:
    # Stable rank 1; nine equal weights: ||W||_1 / ||W||_2 = sqrt(2 * 3).
    conv = nn.Conv2d(3, 2, 1, bias=False)
    nn.init.constant_(conv.weight, -0.5)
    model = nn.Sequential(conv, nn.BatchNorm2d(2), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    assert apd(model) == pytest.approx(math.sqrt(6), rel=1e-6)


def test_without_batch_norms_there_is_no_score(mlp: nn.Module) -> None:
    found = score_network(mlp, (3, 4, 4), [Apd()], batch_size=2)["apd"]
    assert math.isnan(found.value)
    assert "must have batch norms" in str(found.error)
