"""Epsilon: do the outputs for two constant weights differ?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from hwnas.errors import InvalidValueError, ProxyError
from hwnas.proxies.signals import OwnSignal, Setting
from hwnas.proxies.subject import Subject
from hwnas.typing import Direction, Signal, Signals

_RAMP = 32
Images = Literal["ramp", "batch"]
"""``ramp``: B grey images, image i has the value i / B everywhere; ``batch``: the usual images."""


@dataclass(frozen=True)
class ConstantWeightOutputs(OwnSignal[tuple[Tensor, Tensor]]):
    """(B * K,) logits of the network with all weights equal, for each of two weights.

    Weights are the parameters called weight, of every layer, batch norms included; those called
    bias are 0. Batch norms are in training mode.

    Attributes:
        weights: the two constants.
        images: the input.
        batch_size: images B of a ramp.
        double: float64, where a small weight does not underflow.
    """

    weights: tuple[float, float]
    images: Images
    batch_size: int
    double: bool

    def measure(self, subject: Subject) -> tuple[Tensor, Tensor]:
        """Run one forward pass a weight."""
        dtype = torch.float64 if self.double else torch.float32
        images = self._input(subject).to(dtype)
        state = torch.default_generator.get_state()
        outputs = []
        for weight in self.weights:
            network = subject.network(Setting("as_built")).to(dtype)
            _fill_(network, weight)
            torch.default_generator.set_state(state)  # equal dropout in both passes
            with torch.no_grad(), _ConstantConvolutions(self.double):
                outputs.append(network(images).flatten().double())
        return outputs[0], outputs[1]

    def _input(self, subject: Subject) -> Tensor:
        if self.images == "batch":
            return subject.input(Setting("as_built"))[0]
        like = subject.input(Setting("as_built", batch_size=1))[0]
        grey = torch.arange(self.batch_size, dtype=torch.float64) / self.batch_size
        layout = (
            torch.channels_last if like.is_contiguous(memory_format=torch.channels_last) else None
        )
        ramp = grey[:, None, None, None].expand(-1, *subject.in_shape)
        return ramp.contiguous(memory_format=layout or torch.contiguous_format)


@torch.no_grad()
def _fill_(network: nn.Module, weight: float) -> None:
    for name, parameter in network.named_parameters():
        if "weight" in name.rpartition(".")[2]:
            parameter.fill_(weight)
        elif "bias" in name.rpartition(".")[2]:
            parameter.zero_()


class _ConstantConvolutions(TorchFunctionMode):
    """Computes one channel of each 2-D convolution whose weights are equal, and repeats it."""

    def __init__(self, active: bool) -> None:
        super().__init__()
        self._active = active

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        del types
        if not self._active or func is not F.conv2d:
            return func(*args, **(kwargs or {}))
        return _constant_conv2d(*args, **(kwargs or {}))


def _constant_conv2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor:
    """Convolve (B, C, H, W); equal weights make the channels of a group equal: one is computed."""
    if not bool((weight == weight[0, 0, 0, 0]).all()) or (bias is not None and bool(bias.any())):
        return F.conv2d(input, weight, bias, stride, padding, dilation, groups)
    of_group = torch.unflatten(input, 1, (groups, -1)).sum(dim=2)
    kernel = weight[:1, :1].expand(groups, -1, -1, -1)
    maps = F.conv2d(of_group, kernel, None, stride, padding, dilation, groups)
    return maps.repeat_interleave(weight.shape[0] // groups, dim=1)


@dataclass(frozen=True)
class Epsilon:
    """Difference of the outputs for two constant weights. Larger is better.

    ``mean |p1 - p2| / mean(p1, p2)`` with p1 and p2 the outputs over the batch, scaled to [0, 1],
    of the network with all weights equal to the first and the second constant, biases 0; outputs
    that are the least of their network are left out (Gracheva, Trainless model performance
    estimation based on random weights initialisations for neural architecture search, Array 12,
    2021). NaN if all outputs are equal.

    It needs two training-mode forward passes, neither weights nor labels. With the grey ramp, the
    default, it needs no images either and has no randomness; Gaussian images, as the synthetic
    batch has, are known to carry far less, so `images="batch"` is for the user's own.

    The authors' code is float32: with a weight of 1e-7 a batch norm divides by sqrt(1e-5), and a
    cell without a path of skips and pools underflows to NaN, about 40 % of NAS-Bench-201. The
    published correlation holds for the rest only; networks rank differently where all have a value.
    `published=True` computes as they do, on 256 images; the default ramp has 32.

    Attributes:
        weights: the two constants.
        images: the input.
        batch_size: images of the ramp, or None for the default.
        published: float32.
    """

    weights: tuple[float, float] = (1e-7, 1.0)
    images: Images = "ramp"
    batch_size: int | None = None
    published: bool = False

    direction: ClassVar[Direction] = "maximize"
    version: ClassVar[int] = 1

    def __post_init__(self) -> None:
        if len(self.weights) != 2 or self.weights[0] == self.weights[1]:
            raise InvalidValueError(
                f"`weights` must be two different numbers, but got {self.weights}."
            )
        if self.batch_size is not None and self.batch_size < 2:
            raise InvalidValueError(f"`batch_size` must be at least 2, but got {self.batch_size}.")
        if self.images not in ("ramp", "batch"):
            raise InvalidValueError(f"`images` must be 'ramp' or 'batch', but got {self.images!r}.")

    @property
    def name(self) -> str:
        """``epsilon`` with the settings that are not the default."""
        low, high = self.weights
        parts = [
            "published" if self.published else "",
            f"weights{low:g}to{high:g}" if self.weights != (1e-7, 1.0) else "",
            "batch" if self.images == "batch" else "",
            f"ramp{self.batch_size}" if self.batch_size is not None else "",
        ]
        variant = "-".join(part for part in parts if part)
        return f"epsilon.{variant}" if variant else "epsilon"

    @property
    def _outputs(self) -> ConstantWeightOutputs:
        size = self.batch_size or (256 if self.published else _RAMP)
        return ConstantWeightOutputs(self.weights, self.images, size, not self.published)

    @property
    def needs(self) -> frozenset[Signal[Any]]:
        """The outputs."""
        return frozenset({self._outputs})

    def score(self, signals: Signals) -> float:
        """Compare the two outputs."""
        p = torch.stack([_scaled(logits) for logits in signals[self._outputs]])
        value = (p[0] - p[1]).abs().nanmean() / p.nanmean()
        if not value.isfinite():
            raise ProxyError("All outputs of the network with constant weights are equal.")
        return float(value)


def _scaled(logits: Tensor) -> Tensor:
    """Scale (B * K,) outputs to [0, 1], with NaN for 0."""
    p = (logits - logits.min()) / (logits.max() - logits.min())
    return torch.where(p == 0, torch.nan, p)
