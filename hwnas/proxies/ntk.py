"""Condition number of the neural tangent kernel: can the network be trained?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from hwnas.deferred import deferred
from hwnas.errors import InvalidValueError, ProxyError
from hwnas.proxies.derivatives.spectra import eigenvalues
from hwnas.proxies.engine.several_images import insist_on_several
from hwnas.proxies.engine.signals import Mode, OwnSignal, Setting
from hwnas.typing import Direction, Signal, Signals

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from hwnas.proxies.engine.subject import Subject
else:
    torch = deferred("torch")

# Columns that are multiplied in float64 at once.
_COLUMNS = 2**18


@dataclass(frozen=True)
class TangentKernel(OwnSignal["Tensor"]):
    """(B, B) float64: products of the gradients of the images' summed logits by the weights.

    Weights are the parameters called weight, of every layer, batch norms included.

    Attributes:
        setting: preparation of the network; in evaluation mode each image is a batch of its own.
    """

    setting: Setting

    def measure(self, subject: Subject) -> Tensor:
        """Add up the products weight by weight; in training mode, by a backward pass an image."""
        from hwnas.proxies.derivatives.image_gradients import gradients_by_image, image_gradients

        network, (images, labels) = (
            subject.differentiable(self.setting),
            subject.input(self.setting),
        )
        weights = [
            p
            for name, p in dict(network.named_parameters()).items()
            if "weight" in name.rpartition(".")[2]
        ]
        if not weights:
            raise ProxyError("`model` must have a parameter called weight, but has none.")
        kernel = torch.zeros(len(images), len(images), dtype=torch.float64)

        def add(number: int, gradients: Tensor) -> None:
            del number
            rows = gradients.flatten(1).double()
            kernel.add_(rows @ rows.T)

        if self.setting.mode == "train":
            rows = _rows(_batch_gradients(network, images, weights), len(images), weights)
        else:
            left = image_gradients(network, images, labels, weights, _sum, add)
            slow = [weights[number] for number in left]
            rows = _rows(gradients_by_image(network, images, labels, slow, _sum), len(images), slow)
        for part in torch.split(rows, _COLUMNS, dim=1):
            add(0, part)
        return kernel


def _sum(logits: Tensor, labels: Tensor) -> Tensor:
    del labels
    return logits.sum()


def _batch_gradients(
    network: nn.Module, images: Tensor, weights: Sequence[nn.Parameter]
) -> Iterator[tuple[Tensor, ...]]:
    """Give the gradients of the summed logits of each image of one batch."""
    for weight in weights:
        weight.requires_grad_()
    for output in network(images).flatten(1).sum(dim=1):
        yield torch.autograd.grad(output, weights, retain_graph=True, materialize_grads=True)


def _rows(
    gradients: Iterator[tuple[Tensor, ...]], images: int, weights: Sequence[nn.Parameter]
) -> Tensor:
    """Collect the gradients of each image as a row."""
    rows = torch.empty(images, sum(weight.numel() for weight in weights))
    for row, of_image in zip(rows, gradients if weights else (), strict=False):
        torch.cat([gradient.flatten() for gradient in of_image], out=row)
    return rows


@dataclass(frozen=True)
class NtkCondition:
    """Condition number of the empirical neural tangent kernel. Smaller is better.

    ``lambda_max / lambda_min`` of the (B, B) kernel ``K[i, j] = g_i . g_j`` with g_i the gradient
    of the sum of the logits of image i by the weights of all layers, batch norms included (Chen et
    al., Neural Architecture Search on ImageNet in Four GPU Hours: A Theoretically Inspired
    Perspective, ICLR 2021, "TE-NAS"). NaN if the kernel is singular.

    It needs a forward and a backward pass an image on kaiming weights, no labels. In evaluation
    mode, the default, images do not see each other. TE-NAS uses training mode (`mode="train"`),
    where each backward pass runs through the whole batch: B full passes, and another number.

    TE-NAS scores networks of 3 channels and one cell a stage; AZ-NAS and VKDNW score full ones on
    real images, and negate. Their float32 spectra may have a negative least eigenvalue, which turns
    the order round; here the kernel is float64.

    Unstable: with 16 images the ranks of two seeds agree with a Spearman coefficient of .72 (60
    different networks of NAS-Bench-201).

    Attributes:
        mode: of the batch norms.
        batch_size: images, or None for as many as the user gave.
    """

    mode: Mode = "eval"
    batch_size: int | None = None

    direction: ClassVar[Direction] = "minimize"
    version: ClassVar[int] = 1

    def __post_init__(self) -> None:
        if self.batch_size is not None and self.batch_size < 1:
            raise InvalidValueError(f"`batch_size` must be at least 1, but got {self.batch_size}.")

    @property
    def name(self) -> str:
        """``ntk_cond`` with the settings that are not the default."""
        parts = [
            "train" if self.mode == "train" else "",
            f"batch{self.batch_size}" if self.batch_size is not None else "",
        ]
        variant = "-".join(part for part in parts if part)
        return f"ntk_cond.{variant}" if variant else "ntk_cond"

    @property
    def _kernel(self) -> TangentKernel:
        return TangentKernel(Setting(mode=self.mode, batch_size=self.batch_size))

    @property
    def needs(self) -> frozenset[Signal[object]]:
        """The kernel."""
        return frozenset({self._kernel})

    def score(self, signals: Signals) -> float:
        """Divide the largest by the least eigenvalue."""
        insist_on_several(len(kernel := signals[self._kernel]))
        values = eigenvalues(kernel)
        least, largest = float(values[0]), float(values[-1])
        if not least > len(values) * torch.finfo(torch.float64).eps * largest:
            raise ProxyError("The tangent kernel is singular or not finite.")
        return largest / least
