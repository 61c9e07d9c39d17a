"""Zen-score: how strongly does a network react to small changes of its input?"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from hwnas.deferred import deferred
from hwnas.errors import ProxyError
from hwnas.proxies.engine.signals import OwnSignal, Setting
from hwnas.seeding import derive_seed
from hwnas.typing import Direction, Signal, Signals

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from hwnas.proxies.engine.subject import Subject
else:
    torch = deferred("torch")

_STEP = 0.01
_MOMENTUM = 0.1


@dataclass(frozen=True)
class Perturbation:
    """What a small change of the input does, and what batch norms hide of it.

    Attributes:
        change: mean over the images of the summed absolute change of the last feature map.
        variances: (2,) of each batch norm that ran: mean over its channels of the unbiased
            variance of its input, before and after the change.
    """

    change: float
    variances: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class PerturbedFeatures(OwnSignal[Perturbation]):
    """`Perturbation` by a hundredth of a Gaussian image, of N(0, 1) weights in training mode."""

    def measure(self, subject: Subject) -> Perturbation:
        """Run two forward passes on Gaussian images, as many as the batch has."""
        from hwnas.networks.device import random_states, set_random_states
        from hwnas.networks.layers import standard_normal_weights_

        setting, _ = Setting("as_built"), subject.real_shape
        network = subject.network(setting)
        standard_normal_weights_(network, derive_seed(subject.seed, "standard normal"))
        like = subject.input(setting)[0]
        generator = subject.generator("perturbation")
        drawn = (torch.empty_like(like, device="cpu").normal_(generator=generator) for _ in "12")
        first, second = (images.to(subject.device) for images in drawn)
        states = random_states(subject.device)
        before, variances = _features(network, first)
        set_random_states(subject.device, states)  # equal dropout in both passes
        after, others = _features(network, first + _STEP * second)
        change = (before.double() - after.double()).abs().sum() / len(like)
        return Perturbation(float(change), tuple(zip(variances, others, strict=True)))


def _features(network: nn.Module, images: Tensor) -> tuple[Tensor, list[float]]:
    """Give the last feature map, and the mean variance of the input of each batch norm."""
    from hwnas.proxies.engine.last_feature_map import LastFeatureMap

    last = LastFeatureMap()
    with torch.no_grad(), last, _batch_variances(network) as variances:
        network(images)
    if last.map is None:
        raise ProxyError(
            "`model` must compute (B, C, H, W) feature maps of more than one position, but has "
            "none."
        )
    return last.map, variances


@contextmanager
def _batch_variances(network: nn.Module) -> Iterator[list[float]]:
    from hwnas.networks.layers import batch_norms

    variances: list[float] = []

    def note(norm: nn.Module, args: tuple[Tensor, ...]) -> None:
        del norm
        numbers = args[0].numel() // args[0].shape[1]
        _, variance = torch.ops.aten.batch_norm_update_stats(args[0], None, None, _MOMENTUM)
        variances.append(float(variance.double().mean() * numbers / (numbers - 1)))

    handles = [norm.register_forward_pre_hook(note) for norm in batch_norms(network).values()]
    try:
        yield variances
    finally:
        for handle in handles:
            handle.remove()


@dataclass(frozen=True)
class Zen:
    """Zen-score. Larger is better.

    ``log mean_n sum |f(x) - f(x + 0.01 x')| + sum_b log sqrt(mean_c var_bc)``: f is the last
    feature map before global pooling, x and x' are Gaussian images, and var_bc is the variance of
    channel c at the input of batch norm b, whose division the sum takes back (Lin et al., Zen-NAS:
    A Zero-Shot NAS for High-Performance Image Recognition, ICCV 2021). Weights are
    drawn from N(0, 1).

    It is meant for networks of convolutions: the last 4-dimensional tensor that is computed counts
    as the last map. It needs two training-mode forward passes, no labels; of the user's images only
    the number counts. NaN if the last map does not change, or a batch norm gets constants.

    The authors' code takes the batch norms' running variances, which after two passes with momentum
    0.1 are ``0.81 + 0.09 var(x) + 0.1 var(x + 0.01 x')`` instead: `published=True`. That subtracts
    about 0.83 a batch norm. It averages 32 draws, AZ-NAS, VKDNW and NASLib take one, as here.

    Attributes:
        published: running variances after two passes.
    """

    published: bool = False

    direction: ClassVar[Direction] = "maximize"
    version: ClassVar[int] = 1
    needs: ClassVar[frozenset[Signal[object]]] = frozenset({PerturbedFeatures()})

    @property
    def name(self) -> str:
        """``zen``, with ``.published`` for the variant."""
        return "zen.published" if self.published else "zen"

    def score(self, signals: Signals) -> float:
        """Add the logarithms up."""
        found = signals[PerturbedFeatures()]
        factors = [self._variance(*pair) for pair in found.variances]
        if not found.change or not all(factors):
            raise ProxyError(
                "The last feature map does not change, or a batch norm gets constants."
            )
        return math.log(found.change) + sum(math.log(v) / 2 for v in factors)

    def _variance(self, first: float, second: float) -> float:
        if not self.published:
            return first
        return (1 - _MOMENTUM) * ((1 - _MOMENTUM) + _MOMENTUM * first) + _MOMENTUM * second
