"""Epsilon: do the outputs for two constant weights differ?"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING, ClassVar, Literal

from hwnas.deferred import deferred
from hwnas.errors import InvalidValueError, ProxyError
from hwnas.proxies.engine.signals import OwnSignal, Setting
from hwnas.typing import Direction, InShape, Signal, Signals

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from hwnas.proxies.engine.subject import Subject
else:
    torch = deferred("torch")

_RAMP = 32
# Weights of one pass: maps are as many times as large.
_LANES = 2
Images = Literal["ramp", "batch"]
"""``ramp``: B grey images, image i has the value i / B everywhere; ``batch``: the usual images."""


CANDIDATES = tuple(10.0**exponent for exponent in range(-10, 5))
"""Weights that `choose_weights` tries unless told others: powers of ten, 1e-10 to 1e4."""


@dataclass(frozen=True)
class ConstantWeightOutputs(OwnSignal["tuple[Tensor, ...]"]):
    """(B * K,) outputs of the network with all weights equal, for each of some weights.

    Those of three images alone where the first weight gives the same output for all of them.

    Weights are the parameters called weight, of every layer, batch norms included; those called
    bias are 0. Batch norms are in training mode.

    Attributes:
        weights: the constants.
        images: the input.
        batch_size: images B of a ramp.
        double: float64, where a small weight does not underflow.
    """

    weights: tuple[float, ...]
    images: Images
    batch_size: int
    double: bool

    runs: ClassVar[bool] = False

    def measure(self, subject: Subject) -> tuple[Tensor, ...]:
        """Run forward passes."""
        dtype = torch.float64 if self.double else torch.float32
        images = self._images(subject).to(dtype)
        outputs: list[Tensor] = []
        for start in range(0, len(self.weights), _LANES):
            outputs += self._outputs(subject, self.weights[start : start + _LANES], images)
        return tuple(output.flatten().double() for output in outputs)

    def _outputs(
        self, subject: Subject, weights: Sequence[float], images: Tensor
    ) -> Sequence[Tensor]:
        """Run all weights in one pass where that is possible, else a pass each."""
        from hwnas.networks.device import random_states, set_random_states

        if self.double and (together := _in_lanes(subject, weights, images)) is not None:
            return together
        states = random_states(subject.device)
        if self.double:
            some = _logits(subject, weights[0], images[[0, len(images) // 2, -1]])
            if not _separates(some):  # e.g. behind a layer norm: no other image tells more
                return [some] * len(weights)
        outputs = []
        for weight in weights:
            set_random_states(subject.device, states)  # equal dropout in all passes
            outputs.append(_logits(subject, weight, images))
        return outputs

    def _images(self, subject: Subject) -> Tensor:
        """Give (B, C, H, W) images; those of the ramp are an expanded tensor."""
        shape = subject.real_shape
        if self.images == "batch":
            return subject.input(Setting("as_built"))[0]
        grey = torch.arange(self.batch_size, dtype=torch.float64) / self.batch_size
        return grey.view(-1, *(1 for _ in shape)).expand(-1, *shape)


def _in_lanes(
    subject: Subject, weights: Sequence[float], images: Tensor
) -> Sequence[Tensor] | None:
    """Run one pass with several weights, one channel for all; None where that is impossible."""
    from hwnas.proxies.derivatives.equal_channels import EqualChannels

    mode = EqualChannels(len(weights))

    @cache
    def fill(numbers: Tensor, *shape: int) -> Tensor:
        return mode.constant(numbers, *shape)

    network = _constant_copy(subject, weights, images.dtype, fill)
    try:
        with torch.no_grad(), mode:
            answer = network(images)
        return mode.answers(answer)
    except RuntimeError:
        return None  # it reads or writes single channels, or fails in the ordinary pass as well


def _logits(subject: Subject, weight: float, images: Tensor) -> Tensor:
    """Run a copy with constant weights, with one channel for all where that is possible."""
    from hwnas.networks.float64 import in_float64

    if images.dtype == torch.float64 and (one := _in_lanes(subject, [weight], images)) is not None:
        return one[0]

    def fill(numbers: Tensor, *shape: int) -> Tensor:
        return numbers[0].repeat(*shape)

    network = _constant_copy(subject, [weight], images.dtype, fill)
    run = partial(network, images.contiguous())
    with torch.no_grad():
        answer: Tensor = in_float64(run) if images.dtype == torch.float64 else run()
    return answer


def _constant_copy(
    subject: Subject, weights: Sequence[float], dtype: torch.dtype, fill: Callable[..., Tensor]
) -> nn.Module:
    """Copy a network in training mode; `fill(numbers, *shape)` makes its weights and biases."""
    numbers = {
        "weight": torch.tensor(list(weights), dtype=dtype),
        "bias": torch.zeros(len(weights), dtype=dtype),
    }
    constants = {
        id(parameter): numbers[kind]
        for name, parameter in subject.plain.named_parameters()
        for kind in ("bias", "weight")
        if kind in name.rpartition(".")[2]
    }

    def replacement(tensor: Tensor) -> Tensor:
        if (value := constants.get(id(tensor))) is not None:
            return fill(value, *tensor.shape)
        kept = dtype if tensor.is_floating_point() else tensor.dtype
        return tensor.to(subject.device, kept, copy=True)

    return subject.copy(replacement, training=True)


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

    The authors choose the weights anew for each space, and find the score the better the more they
    differ: `choose_weights` gives the lowest and highest that a sample of the space bears.

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
    version: ClassVar[int] = 2

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
    def own_images(self) -> int | None:
        """None of the batch's images where the ramp takes their place."""
        return 0 if self.images == "ramp" else None

    @property
    def _outputs(self) -> ConstantWeightOutputs:
        size = self.batch_size or (256 if self.published else _RAMP)
        return ConstantWeightOutputs(self.weights, self.images, size, not self.published)

    @property
    def needs(self) -> frozenset[Signal[object]]:
        """The outputs."""
        return frozenset({self._outputs})

    def score(self, signals: Signals) -> float:
        """Compare the two outputs."""
        return epsilon_of(signals[self._outputs])


def epsilon_of(outputs: Sequence[Tensor]) -> float:
    """Compare two (B * K,) outputs, see `Epsilon`; `ProxyError` if all of one are equal."""
    p = torch.stack([_scaled(logits) for logits in outputs])
    value = (p[0] - p[1]).abs().nanmean() / p.nanmean()
    if not value.isfinite():
        raise ProxyError("All outputs of the network with constant weights are equal.")
    return float(value)


def _scaled(logits: Tensor) -> Tensor:
    """Scale (B * K,) outputs to [0, 1], with NaN for 0."""
    p = (logits - logits.min()) / (logits.max() - logits.min())
    return torch.where(p == 0, torch.nan, p)


def choose_weights(
    networks: Iterable[nn.Module],
    in_shape: InShape,
    candidates: Sequence[float] = CANDIDATES,
    *,
    published: bool = False,
) -> tuple[float, float]:
    """Choose the two constants of `Epsilon` for a search space, from a sample of its networks.

    They are the lowest and the highest candidate for which each network has finite outputs that
    are not all equal. Networks that no candidate suits, e.g. because their output ignores their
    input, have no say (Gracheva, Neural Architecture Search via Two Constant Shared Weights
    Initialisations, 2023, Section 4, where the choice is made by eye).

    Args:
        networks: some tens of networks of the space.
        in_shape: (C, H, W) of an image.
        candidates: positive weights to choose from.
        published: float32, as in ``Epsilon(published=True)``.

    Returns:
        The lower and the higher weight.

    Raises:
        ProxyError: fewer than two candidates suit the networks.
    """
    from hwnas.networks.settings import default_settings
    from hwnas.proxies.engine.subject import Subject

    weights = tuple(sorted(candidates))
    outputs = ConstantWeightOutputs(weights, "ramp", _RAMP, double=not published)
    with default_settings():
        suited = [
            [_separates(logits) for logits in outputs.measure(Subject(network, in_shape))]
            for network in networks
        ]
    informative = [row for row in suited if any(row)]
    kept = [w for i, w in enumerate(weights) if informative and all(r[i] for r in informative)]
    if len(kept) < 2:
        raise ProxyError(
            f"At least two of `candidates` must give all {len(informative)} networks that react to "
            f"their input finite outputs that differ, but got {kept}: try others than {weights}."
        )
    return kept[0], kept[-1]


def _separates(logits: Tensor) -> bool:
    return bool(logits.isfinite().all() and logits.min() < logits.max())
