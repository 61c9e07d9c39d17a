"""VKDNW: is the knowledge about the weights of a network spread evenly?

Týbl and Neumann, Training-free Neural Architecture Search through Variance of Knowledge of Deep
Network Weights, CVPR 2025.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from hwnas.deferred import deferred
from hwnas.errors import InvalidValueError, ProxyError
from hwnas.proxies.counts import ParameterShapes
from hwnas.proxies.derivatives.element_jacobian import ElementJacobian
from hwnas.proxies.derivatives.spectra import entropy, singular_values
from hwnas.proxies.engine.signals import Setting
from hwnas.typing import Direction, Signal, Signals

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = deferred("torch")

# 0.05 as rounded to float16 by the authors' code.
_SMOOTHING = 0.04998779296875


@dataclass(frozen=True)
class VkdnwEntropy:
    """Entropy of the deciles of the Fisher information's spectrum (Eq. 11). Larger is better.

    The Fisher information of P weights, one of each parameter tensor, is (Eqs. 9 and 10)
    ``F = mean_n J_n^T (diag(p_n) - p_n p_n^T) J_n`` with the (K, P) Jacobian J_n of the logits of
    image n and its class probabilities p_n, which are mixed with 5 % of the uniform ones. The
    value is the entropy, in nats, of the deciles 0.1, ..., 0.9 of its eigenvalues, normalised: at
    most ln 9.

    It needs an evaluation-mode pass on kaiming weights with K - 1 backward passes, no labels. With
    4, 8, 16 and 32 images networks rank as with the usual 64 with a Spearman correlation of .776,
    .821, .909 and .982 (120 different networks of NAS-Bench-201): 32 is the default. NaN
    if all deciles are 0. The spectrum comes from the singular values of the stacked factor in
    float64: squaring it in float32, as the authors' code does, leaves noise of up to 0.02.

    The authors' code multiplies the Jacobian by the lower-triangular factor L of
    ``diag(p) - p p^T = L L^T`` instead of its transpose, so that it takes the spectrum of
    ``J^T L^T L J``: `published=True`. The paper leaves batch norms out of the weights, the code
    does not: nor does this.

    Attributes:
        published: the authors' product.
        fim_size: weights P at most; the first ones are taken (`params_grad_len` in the code).
        elements: weights of each parameter tensor, evenly spaced; element 0 if it is one.
        batch_size: images, or None for the whole batch.
    """

    published: bool = False
    fim_size: int = 128
    elements: int = 1
    batch_size: int | None = 32

    direction: ClassVar[Direction] = "maximize"
    version: ClassVar[int] = 2

    def __post_init__(self) -> None:
        for setting in ("fim_size", "elements", "batch_size"):
            value = getattr(self, setting)
            if value is not None and value < 1:
                raise InvalidValueError(f"`{setting}` must be at least 1, but got {value}.")

    @property
    def name(self) -> str:
        """``vkdnw_entropy`` with the settings that are not the default."""
        return f"vkdnw_entropy{self.suffix(VkdnwEntropy.batch_size)}"

    def suffix(self, usual: int | None) -> str:
        """Name the variant with a leading dot; empty for the default with the usual batch size."""
        images = "wholebatch" if self.batch_size is None else f"batch{self.batch_size}"
        parts = [
            "published" if self.published else "",
            f"fim{self.fim_size}" if self.fim_size != 128 else "",
            f"elements{self.elements}" if self.elements != 1 else "",
            images if self.batch_size != usual else "",
        ]
        variant = "-".join(part for part in parts if part)
        return f".{variant}" if variant else ""

    @property
    def own_images(self) -> int | None:
        """The images of the setting; None for the whole batch."""
        return self.batch_size

    @property
    def _jacobian(self) -> ElementJacobian:
        setting = Setting(mode="eval", batch_size=self.batch_size)
        return ElementJacobian(setting, self.fim_size, self.elements, not self.published)

    @property
    def needs(self) -> frozenset[Signal[object]]:
        """The Jacobian."""
        return frozenset({self._jacobian})

    def deciles(self, signals: Signals) -> Tensor:
        """Give the (9,) deciles of the spectrum."""
        jacobian = signals[self._jacobian]  # rows (B, K - 1, P), logits (B, K)
        smooth = jacobian.logits.double().softmax(dim=1) * (1 - _SMOOTHING)
        p = smooth + _SMOOTHING / smooth.shape[1]  # (B, K): .95 p + .05 / K
        factor = _published_factor if self.published else _factor
        # (P,) eigenvalues of F = A^T A (Eqs. 9 and 10), then their quantiles .1, …, .9
        deciles = torch.linspace(0.1, 0.9, 9, dtype=torch.float64)
        return torch.quantile(_spectrum(factor(jacobian.rows, p)), deciles)

    def score(self, signals: Signals) -> float:
        """Compute the entropy of the deciles."""
        value = entropy(self.deciles(signals))  # Eq. 11: -sum_i d_i log d_i, d_i = decile_i / sum
        if math.isnan(value):
            raise ProxyError("The Fisher information is 0 or not finite for this network.")
        return value


@dataclass(frozen=True)
class Vkdnw:
    """Size first, entropy second (Eq. 12). Larger is better.

    Number of parameter tensors plus `VkdnwEntropy` divided by its maximum, ln 9, so that the
    entropy orders networks of equal size only. The paper adds the entropy itself, which it takes to
    be below 1; on NAS-Bench-201 sizes differ by 3 or more, where the order is the same.

    Since the size decides most of the order, few images are enough: with 4, 8, 16 and 32 networks
    rank as with the usual 64 with a Spearman correlation of .990, .991, .995 and .998 (120
    different networks of NAS-Bench-201). 4 is the default; the literature's number of images is
    ``Vkdnw(VkdnwEntropy(batch_size=64))``, called ``vkdnw.batch64``.

    Attributes:
        entropy: the entropy and its settings.
    """

    entropy: VkdnwEntropy = VkdnwEntropy(batch_size=4)

    direction: ClassVar[Direction] = "maximize"
    version: ClassVar[int] = 2

    @property
    def name(self) -> str:
        """``vkdnw`` with the entropy's settings that are not the default."""
        return f"vkdnw{self.entropy.suffix(Vkdnw.entropy.batch_size)}"

    @property
    def own_images(self) -> int | None:
        """Those of the entropy."""
        return self.entropy.own_images

    @property
    def needs(self) -> frozenset[Signal[object]]:
        """The needs of the entropy, and the parameter tensors."""
        return self.entropy.needs | {ParameterShapes()}

    def score(self, signals: Signals) -> float:
        """Add the two."""
        # Eq. 12 with the entropy brought to [0, 1]: number of tensors + entropy / ln 9
        return len(signals[ParameterShapes()]) + self.entropy.score(signals) / math.log(9)


@dataclass(frozen=True)
class FimDecile:
    """Decile of the Fisher information's spectrum: an input of learned rankings. Larger is better.

    The spectrum is that of `VkdnwEntropy`, whose pass all deciles share. Alone it is hardly a
    proxy; "the eigenvalues of the FIM as features" of VKDNW, Sec. V-A, are its nine deciles here,
    since networks differ in the number of weights. With 16 images each decile ranks networks as
    with 64 with a Spearman correlation of .99 or more, with 8 the lower four do not (.28 to .43;
    40 different networks of NAS-Bench-201): 16 is the default.

    Attributes:
        decile: 1 to 9.
        entropy: settings of the spectrum.
    """

    decile: int = 5
    entropy: VkdnwEntropy = VkdnwEntropy(batch_size=16)

    direction: ClassVar[Direction] = "maximize"
    version: ClassVar[int] = 1

    def __post_init__(self) -> None:
        if self.decile not in range(1, 10):
            raise InvalidValueError(f"`decile` must be in 1 to 9, but got {self.decile}.")

    @property
    def name(self) -> str:
        """``fim_decile`` with decile and settings of the spectrum that are not the default."""
        settings = self.entropy.suffix(FimDecile.entropy.batch_size).removeprefix(".")
        parts = [str(self.decile) if self.decile != FimDecile.decile else "", settings]
        variant = "-".join(part for part in parts if part)
        return f"fim_decile.{variant}" if variant else "fim_decile"

    @property
    def own_images(self) -> int | None:
        """Those of the entropy."""
        return self.entropy.own_images

    @property
    def needs(self) -> frozenset[Signal[object]]:
        """The needs of the entropy."""
        return self.entropy.needs

    def score(self, signals: Signals) -> float:
        """Take one decile."""
        return float(self.entropy.deciles(signals)[self.decile - 1])


def _factor(contrasts: Tensor, p: Tensor) -> Tensor:
    """Give A with ``F = A^T A``, from (B, K - 1, P) contrasts to the last logit and p (B, K).

    ``J^T (diag(p) - p p^T) J = sum_k p_k (J_k - m)(J_k - m)^T`` with ``m = sum_k p_k J_k``.
    """
    # (B, K, P): J_k - J_K; a constant taken off all J_k changes no J_k - m.
    rows = torch.cat([contrasts, torch.zeros_like(contrasts[:, :1])], dim=1)
    centred = rows - torch.einsum("bk,bkp->bp", p, rows)[:, None]  # J_k - m
    # (B * K, P): sqrt(p_k / B) (J_k - m)
    return (p.sqrt()[:, :, None] * centred).flatten(0, 1) / math.sqrt(len(p))


def _published_factor(rows: Tensor, p: Tensor) -> Tensor:
    """Give A with ``A^T A = mean_n (L J)^T (L J)``, from the first K - 1 rows of J and p (B, K).

    The last column of L is 0, hence the last row of J does not count; its columns sum to 0.
    """
    q = p[:, :-1]
    # (B, K - 1, K - 1): diag(q) - q q^T
    covariance = torch.diag_embed(q) - q[:, :, None] * q[:, None, :]
    if not covariance.isfinite().all():
        return torch.full_like(rows, torch.nan).flatten(0, 1)
    lower = torch.linalg.cholesky(covariance)
    lower = torch.cat([lower, -lower.sum(dim=1, keepdim=True)], dim=1)  # (B, K, K - 1): L
    # (B * K, P): L J / sqrt(B)
    return (lower @ rows).flatten(0, 1) / math.sqrt(len(p))


def _spectrum(factor: Tensor) -> Tensor:
    """Give the P eigenvalues of A^T A for A of (n, P); those beyond the rank are 0."""
    values = singular_values(factor) ** 2  # (min(n, P),)
    return torch.cat([values, values.new_zeros(factor.shape[1] - len(values))])
