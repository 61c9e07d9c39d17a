import math
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from hwnas.proxies import make_proxies
from hwnas.proxies.aznas import Expressivity, Progressivity, Trainability
from hwnas.proxies.engine.block_signals import (
    BlockCovariances,
    BlockTransfer,
    BlockTransfers,
    _transfer_matrix,
    random_signs,
)
from hwnas.proxies.engine.scoring import score_network
from hwnas.proxies.engine.signals import Setting
from hwnas.proxies.engine.subject import Subject
from hwnas.spaces.nasbench201 import NasBench201, parse_cell
from hwnas.typing import Signals

SHAPE = (3, 8, 8)


def copies(model: nn.Module) -> tuple[Subject, nn.Module, Tensor]:
    subject = Subject(model, SHAPE, batch_size=3, seed=9)
    return subject, subject.network(Setting()).double(), subject.input(Setting())[0].double()


def entropies(network: nn.Module, images: Tensor) -> list[float]:
    """Entropies of the residual blocks' outputs, the blocks called one after another."""
    maps = network.get_submodule("bn")(network.get_submodule("conv")(images))
    result = []
    for block in network.get_submodule("layers").children():
        maps = block(maps)
        channels = maps.detach().numpy().transpose(1, 0, 2, 3).reshape(maps.shape[1], -1)
        p = np.linalg.eigvalsh(np.cov(channels, bias=True))
        p = p[p > 0] / p[p > 0].sum()
        result.append(float(-(p * np.log(p)).sum()))
    return result


def test_expressivity_and_progressivity_against_numpy(resnet: nn.Module) -> None:
    _, network, images = copies(resnet)
    H = entropies(network, images)
    scores = score_network(resnet, SHAPE, [Expressivity(), Progressivity()], batch_size=3, seed=9)
    assert math.isclose(scores["expressivity"].value, sum(H), rel_tol=1e-5)
    expected = min(H[1] - H[0], H[2] - H[1])
    assert math.isclose(scores["progressivity"].value, expected, rel_tol=1e-4)


def unshuffled(gradient: np.ndarray[Any, Any], stride: int) -> np.ndarray[Any, Any]:
    """Give (B*H*W, r*r*C) rows: at each output position the stride x stride inputs above it."""
    B, C, h, w = gradient.shape
    return np.array(
        [
            [
                gradient[b, c, y * stride + i, x * stride + j]
                for c in range(C)
                for i in range(stride)
                for j in range(stride)
            ]
            for b in range(B)
            for y in range(h // stride)
            for x in range(w // stride)
        ]
    )


def test_trainability_against_explicit_jacobians(resnet: nn.Module) -> None:
    subject, network, images = copies(resnet)
    generator = subject.generator("random signs")
    maps = network.get_submodule("bn")(network.get_submodule("conv")(images))
    terms = []
    for block, stride in zip(network.get_submodule("layers").children(), (1, 2, 1), strict=True):

        def run(x: Tensor, block: nn.Module = block) -> Tensor:
            return cast(Tensor, block(x.clone()))

        output = run(maps)
        signs = random_signs(output, generator)
        jacobian: Tensor = torch.autograd.functional.jacobian(  # type: ignore[no-untyped-call]
            run, maps
        )
        matrix = jacobian.reshape(output.numel(), maps.numel())
        returned = (signs.double().flatten() @ matrix).reshape(maps.shape).numpy()
        rows_in, rows_out = unshuffled(returned, stride), unshuffled(signs.numpy(), 1)
        s = np.linalg.norm(rows_in.T @ rows_out / len(rows_out), ord=2)
        terms.append(-s - 1 / (s + 1e-6) + 2)
        maps = output.detach()
    score = score_network(resnet, SHAPE, [Trainability()], batch_size=3, seed=9)["trainability"]
    assert math.isclose(score.value, float(np.mean(terms)), rel_tol=1e-4)


def test_the_transfer_of_a_block_that_enlarges() -> None:
    generator = torch.Generator().manual_seed(0)
    signs = random_signs(torch.zeros(8, 3, 8, 8), generator)
    returned = 4 * nn.functional.avg_pool2d(signs, 2)  # through the nearest neighbours
    rows_in, rows_out = unshuffled(returned.numpy(), 1), unshuffled(signs.numpy(), 2)
    expected = np.linalg.svd(rows_in.T @ rows_out / len(rows_out), compute_uv=False)
    found = np.linalg.svd(_transfer_matrix(returned, signs).numpy(), compute_uv=False)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_a_network_with_a_decoder_is_trainable() -> None:
    decoder = nn.Sequential(nn.Upsample(scale_factor=4), nn.Conv2d(6, 2, 3, padding=1))
    encoder = nn.Sequential(nn.Conv2d(3, 6, 3, stride=4, padding=1), nn.BatchNorm2d(6))
    found = score_network(nn.Sequential(encoder, decoder), SHAPE, [Trainability()], batch_size=3)
    assert found["trainability"].error is None


class Given(dict[Any, Any]):
    """Answers of a test."""


def transfers(*gains: float, identity: bool = False) -> Signals:
    matrices = (torch.diag(torch.tensor([g, g / 2], dtype=torch.float64)) for g in gains)
    return cast(
        Signals, Given({BlockTransfers(): tuple(BlockTransfer(m, identity) for m in matrices)})
    )


def test_trainability_of_known_gains() -> None:
    # 2 - 1 - 1 = 0 and 2 - 2 - 1/2 = -1/2, up to the 1e-6 below the fraction.
    assert math.isclose(Trainability().score(transfers(1.0, 2.0)), -0.25, abs_tol=1e-5)
    assert math.isclose(Trainability().score(transfers(0.0)), 2 - 1e6, rel_tol=1e-9)


def test_the_published_variant_ranks_identities_worst() -> None:
    class Skip(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.pass_on = nn.Identity()

        def forward(self, x: Tensor) -> Tensor:
            maps: Tensor = self.pass_on(x)
            return maps

    stem = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))
    model = nn.Sequential(stem, Skip(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    both = [Trainability(), Trainability(published=True)]
    scores = score_network(model, SHAPE, both, batch_size=64)
    assert -0.2 < scores["trainability"].value < 0
    assert math.isnan(scores["trainability.published"].value)
    assert "identity" in str(scores["trainability.published"].error)


def test_the_stem_of_nasbench201_has_features_but_no_transfer() -> None:
    cell = parse_cell("|nor_conv_3x3~0|+|none~0|none~1|+|skip_connect~0|none~1|avg_pool_3x3~2|")
    subject = Subject(NasBench201(channels=2).build(cell), SHAPE, batch_size=4)
    network, (images, _) = subject.network(Setting()), subject.input(Setting())
    features = BlockCovariances().collector(subject)
    transfer = BlockTransfers().collector(subject)
    with features.watch(network, images), transfer.watch(network, images):
        logits = network(images)
    assert [len(c) for c in features.finish(logits)] == [2] * 6 + [4] * 6 + [8] * 6
    shapes = [tuple(t.matrix.shape) for t in transfer.finish(logits)]
    # A reduction has its 2 x 2 input positions unshuffled into channels.
    assert shapes == [(2, 2)] * 5 + [(8, 4)] + [(4, 4)] * 5 + [(16, 8)] + [(8, 8)] * 5


def test_a_block_that_passes_nothing_dominates() -> None:
    class Cut(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.unused = nn.Identity()

        def forward(self, x: Tensor) -> Tensor:
            return torch.zeros_like(x)

    stem = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))
    model = nn.Sequential(stem, Cut(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    scores = score_network(model, SHAPE, [Trainability(), Expressivity()], batch_size=4)
    assert math.isclose(scores["trainability"].value, 2 - 1e6, rel_tol=1e-6)
    assert math.isnan(scores["expressivity"].value)


@pytest.mark.parametrize("proxy", [Expressivity(), Progressivity(), Trainability()])
def test_a_network_without_feature_maps_has_no_score(
    proxy: Expressivity | Progressivity | Trainability, mlp: nn.Module
) -> None:
    score = score_network(mlp, (3, 4, 4), [proxy])[proxy.name]
    assert math.isnan(score.value)
    assert score.error is not None
    assert "must have blocks" in score.error


def test_an_image_without_a_multiple_of_the_stride_is_padded(resnet: nn.Module) -> None:
    score = score_network(resnet, (3, 7, 7), [Trainability()], batch_size=3)["trainability"]
    assert score.error is None
    assert -10 < score.value < 0


def test_random_signs_are_fair_and_independent() -> None:
    like = torch.empty(3, 5, 101, 103)
    generator = torch.Generator().manual_seed(0)
    first, second = (random_signs(like, generator) for _ in range(2))
    assert first.shape == like.shape
    assert bool((first.abs() == 1).all())
    # Means of n = 156,045 signs have a standard deviation of 1 / sqrt(n) = 0.0025.
    assert abs(float(first.mean())) < 0.01
    assert abs(float((first * second).mean())) < 0.01
    assert abs(float((first[..., 1:] * first[..., :-1]).mean())) < 0.01
    assert torch.equal(random_signs(like, torch.Generator().manual_seed(0)), first)


class Noisy(nn.Module):
    """A block that scales its input in training mode alone, in place or not."""

    def __init__(self, in_place: bool) -> None:
        super().__init__()
        self.conv, self.in_place = nn.Conv2d(4, 4, 3, padding=1), in_place

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            x = x.mul_(1.5) if self.in_place else x * 1.5
        maps: Tensor = self.conv(x)
        return maps


@pytest.mark.parametrize("names", [["trainability"], ["trainability", "jacob_cov", "expressivity"]])
def test_a_block_that_writes_into_its_input_scores_as_one_that_does_not(names: list[str]) -> None:
    scores = []
    for in_place in (True, False):
        stem = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))
        blocks = [Noisy(in_place), Noisy(in_place)]
        model = nn.Sequential(stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        scores.append(score_network(model, SHAPE, make_proxies(names), batch_size=4))
    for name in set(names) - {"expressivity"}:  # which sees what the next block has made of it
        assert scores[0][name].error is None
        assert math.isclose(scores[0][name].value, scores[1][name].value, rel_tol=1e-6)


def test_matrices_of_wide_maps_are_small_and_have_the_same_spectrum() -> None:
    generator = torch.Generator().manual_seed(0)
    maps_in, maps_out = (torch.randn(2, C, 2, 2, generator=generator) for C in (20, 30))
    rows_in, rows_out = (m.permute(0, 2, 3, 1).flatten(0, 2).double() for m in (maps_in, maps_out))
    matrix = _transfer_matrix(maps_in, maps_out)
    assert matrix.shape == (8, 8)
    expected = np.linalg.svd((rows_in.T @ rows_out / 8).numpy(), compute_uv=False)
    found = np.linalg.svd(matrix.numpy(), compute_uv=False)
    np.testing.assert_allclose(found, expected[:8], rtol=1e-12)
    assert _transfer_matrix(maps_in[:, :5], maps_out).shape == (5, 30)
