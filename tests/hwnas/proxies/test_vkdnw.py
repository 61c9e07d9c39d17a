import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, jacrev

from hwnas.errors import InvalidValueError
from hwnas.proxies.engine.scoring import score_network
from hwnas.proxies.engine.signals import Setting
from hwnas.proxies.engine.subject import Subject
from hwnas.proxies.vkdnw import FimDecile, Vkdnw, VkdnwEntropy
from hwnas.typing import FloatArray

SHAPE = (3, 8, 8)
SMOOTHING = 0.04998779296875


def jacobians(model: nn.Module) -> tuple[FloatArray, FloatArray]:
    """Give (B, K, P) derivatives by the first element of each tensor and (B, K) smoothed p."""
    subject = Subject(model, SHAPE, batch_size=5, seed=3)
    setting = Setting(mode="eval")
    network = subject.network(setting).double()
    parameters = {name: p.detach() for name, p in network.named_parameters()}
    rows, probabilities = [], []
    for image in subject.input(setting)[0].double():

        def logits(values: dict[str, Tensor], image: Tensor = image) -> Tensor:
            output: Tensor = functional_call(network, values, (image[None],))[0]
            return output

        rows.append(
            torch.stack([d.flatten(1)[:, 0] for d in jacrev(logits)(parameters).values()], dim=1)
        )
        p = logits(parameters).softmax(dim=0)
        probabilities.append(p * (1 - SMOOTHING) + SMOOTHING / len(p))
    return torch.stack(rows).numpy(), torch.stack(probabilities).numpy()


def decile_entropy(information: FloatArray) -> float:
    values = np.clip(np.linalg.eigvalsh(information), 0, None)
    deciles = np.quantile(values, np.arange(1, 10) / 10)
    t = deciles / deciles.sum()
    return float(-sum(x * math.log(x) for x in t if x > 0))


def test_entropy_against_the_explicit_fisher_information(resnet: nn.Module) -> None:
    J, p = jacobians(resnet)
    F = np.mean(
        [j.T @ (np.diag(q) - np.outer(q, q)) @ j for j, q in zip(J, p, strict=True)], axis=0
    )
    score = score_network(resnet, SHAPE, [VkdnwEntropy(batch_size=None)], batch_size=5, seed=3)[
        "vkdnw_entropy.wholebatch"
    ]
    assert math.isclose(score.value, decile_entropy(F), rel_tol=1e-4)


def lower_factor(p: FloatArray) -> FloatArray:
    """Closed form of L with L L^T = diag(p) - p p^T (Tanabe and Sagae, 1992)."""
    K = len(p)
    rest = 1 - np.concatenate([[0.0], np.cumsum(p)])
    L = np.zeros((K, K))
    for j in range(K - 1):
        L[j, j] = math.sqrt(p[j] * rest[j + 1] / rest[j])
        for i in range(j + 1, K):
            L[i, j] = -p[i] * math.sqrt(p[j] / (rest[j] * rest[j + 1]))
    return L


def test_published_variant_against_the_explicit_product(resnet: nn.Module) -> None:
    J, p = jacobians(resnet)
    factors = [lower_factor(q) for q in p]
    for L, q in zip(factors, p, strict=True):
        np.testing.assert_allclose(L @ L.T, np.diag(q) - np.outer(q, q), atol=1e-12)
    F = np.mean([(L @ j).T @ (L @ j) for L, j in zip(factors, J, strict=True)], axis=0)
    proxies = [VkdnwEntropy(published=p, batch_size=None) for p in (True, False)]
    scores = score_network(resnet, SHAPE, proxies, batch_size=5, seed=3)
    published = scores["vkdnw_entropy.published-wholebatch"].value
    assert math.isclose(published, decile_entropy(F), rel_tol=1e-4)
    assert not math.isclose(published, scores["vkdnw_entropy.wholebatch"].value, rel_tol=5e-3)


def test_score_is_size_plus_a_fraction(resnet: nn.Module) -> None:
    entropy = VkdnwEntropy(batch_size=4)
    scores = score_network(resnet, SHAPE, [entropy, Vkdnw()], batch_size=5)
    tensors = sum(1 for _ in resnet.parameters())
    assert math.isclose(
        scores["vkdnw"].value, tensors + scores[entropy.name].value / math.log(9), rel_tol=1e-12
    )
    assert tensors <= scores["vkdnw"].value <= tensors + 1


def test_the_batch_size_may_be_overridden(resnet: nn.Module) -> None:
    small = VkdnwEntropy(batch_size=5)
    value = score_network(resnet, SHAPE, [small], batch_size=9)[small.name].value
    whole = VkdnwEntropy(batch_size=None)
    assert value == score_network(resnet, SHAPE, [whole], batch_size=5)[whole.name].value


def test_a_network_without_information_has_no_score() -> None:
    class Cut(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(3, 4)

        def forward(self, x: Tensor) -> Tensor:
            logits: Tensor = 0 * self.fc(x.mean(dim=(2, 3)))
            return logits

    score = score_network(Cut(), SHAPE, [VkdnwEntropy()])["vkdnw_entropy"]
    assert math.isnan(score.value)
    assert score.error is not None
    assert "Fisher information is 0" in score.error


def test_names_tell_variants_apart() -> None:
    assert VkdnwEntropy().name == "vkdnw_entropy"
    variant = VkdnwEntropy(published=True, fim_size=64, elements=2, batch_size=16)
    assert variant.name == "vkdnw_entropy.published-fim64-elements2-batch16"
    assert Vkdnw().name == "vkdnw"
    assert Vkdnw(VkdnwEntropy(batch_size=64)).name == "vkdnw.batch64"
    assert Vkdnw(VkdnwEntropy()).name == "vkdnw.batch32"
    assert Vkdnw(variant).name == "vkdnw.published-fim64-elements2-batch16"


@pytest.mark.parametrize("setting", ["fim_size", "elements", "batch_size"])
def test_settings_must_be_positive(setting: str) -> None:
    with pytest.raises(InvalidValueError, match=f"`{setting}` must be at least 1"):
        VkdnwEntropy(**{setting: 0})  # type: ignore[arg-type]


def test_deciles_against_the_explicit_fisher_information(resnet: nn.Module) -> None:
    J, p = jacobians(resnet)
    F = np.mean(
        [j.T @ (np.diag(q) - np.outer(q, q)) @ j for j, q in zip(J, p, strict=True)], axis=0
    )
    expected = np.quantile(np.clip(np.linalg.eigvalsh(F), 0, None), np.arange(1, 10) / 10)
    entropy = VkdnwEntropy(batch_size=None)
    proxies = [FimDecile(decile, entropy) for decile in range(1, 10)]
    scores = score_network(resnet, SHAPE, proxies, batch_size=5, seed=3)
    assert list(scores)[3:5] == ["fim_decile.4-wholebatch", "fim_decile.wholebatch"]
    values = [score.value for score in scores.values()]
    np.testing.assert_allclose(values, expected, rtol=1e-3, atol=expected.max() * 1e-9)
