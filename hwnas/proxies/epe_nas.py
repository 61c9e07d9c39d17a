"""EPE-NAS: do images of one class change the output alike?"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, ClassVar

from hwnas.deferred import deferred
from hwnas.errors import ProxyError
from hwnas.proxies.engine.signals import Init, OwnSignal, Setting
from hwnas.proxies.jacob_cov import InputGradient
from hwnas.typing import Direction, Signal, Signals

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from hwnas.proxies.engine.subject import Subject
else:
    torch = deferred("torch")

_EPSILON = 1e-5
_MANY_CLASSES = 100


@dataclass(frozen=True)
class Labels(OwnSignal["tuple[Tensor, int]"]):
    """The (B,) labels of a pass, and the number of classes K.

    Attributes:
        setting: of the pass.
    """

    setting: Setting

    def measure(self, subject: Subject) -> tuple[Tensor, int]:
        """Take the user's, or draw random ones."""
        return subject.input(self.setting)[1], subject.num_classes


@dataclass(frozen=True)
class EpeNas:
    """Correlation of input gradients within classes. Larger is better.

    With ``s_c = sum_ij log(|R_c[i, j]| + 1e-5)`` over the correlation matrix R_c of the input
    gradients of class c: ``sum_c |s_c|`` for at most 100 classes K, else the mean over classes of
    ``sum_c' |s_c / n_c - s_c' / n_c'|`` with n_c the images of class c (Lopes et al., EPE-NAS:
    Efficient Performance Estimation without Training, ICANN 2021). Only classes with
    an image count; beyond 100, only those with two.

    It needs one training-mode forward and backward pass, which jacob_cov shares, and labels:
    random ones stand in where the user gives none. NaN if a gradient is constant, or there is no
    class with enough images.

    Unstable: with 32 Gaussian images and random labels the ranks of two seeds agree with a Spearman
    coefficient of .68 only (60 networks of NAS-Bench-201). Give it labelled images.

    Published code keeps the default initialisation (`init="as_built"`) and computes in float32.

    Attributes:
        init: weights; ``kaiming`` shares the pass with AZ-NAS.
    """

    init: Init = "kaiming"

    direction: ClassVar[Direction] = "maximize"
    version: ClassVar[int] = 1

    @property
    def name(self) -> str:
        """``epe_nas``, with ``.as_built`` for the unchanged weights."""
        return "epe_nas" if self.init == "kaiming" else f"epe_nas.{self.init}"

    @property
    def _requests(self) -> tuple[InputGradient, Labels]:
        return InputGradient(Setting(self.init)), Labels(Setting(self.init))

    @property
    def needs(self) -> frozenset[Signal[object]]:
        """The input gradients and the labels."""
        return frozenset(self._requests)

    def score(self, signals: Signals) -> float:
        """Compute the score from the gradients."""
        gradient, labels = self._requests
        of_image, K = signals[labels]
        rows = signals[gradient].double()
        groups = [rows[of_image == c] for c in sorted(set(of_image.tolist()))]
        if K <= _MANY_CLASSES:
            return sum(abs(_within(group)) for group in groups)
        sums = [_within(group) / len(group) for group in groups if len(group) > 1]
        if not sums:
            raise ProxyError("`labels` must have two images of one class, but all differ.")
        return 2 * sum(abs(a - b) for a, b in combinations(sums, 2)) / len(sums)


def _within(rows: Tensor) -> float:
    """Sum the logarithms of the absolute correlations of (n, C*H*W) gradients."""
    centred = rows - rows.mean(dim=1, keepdim=True)
    centred = centred / centred.norm(dim=1, keepdim=True)
    return float(torch.log((centred @ centred.T).abs() + _EPSILON).sum())
