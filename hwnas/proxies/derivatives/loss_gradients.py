"""What one backward pass of the loss tells about the weights of a network."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from hwnas.deferred import deferred
from hwnas.errors import ProxyError
from hwnas.proxies.derivatives.positions import position_rows, sum_positions
from hwnas.proxies.engine.signals import OwnSignal, Setting
from hwnas.seeding import derive_seed
from hwnas.tasks.outputs import loss

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from hwnas.networks.layers import WeightLayer
    from hwnas.proxies.engine.subject import Subject
else:
    torch = deferred("torch")
    nn = deferred("torch.nn")

AS_BUILT = Setting("as_built")
"""The weights as the user gave them, training mode: what the proxies of a loss look at."""


@dataclass
class ChannelProducts:
    """Sums over positions of activation times gradient, of the outputs of layers.

    Attributes:
        sums: (B, C) by layer name; a layer that has no gradient is absent.
        misfit: shape of an output that has no row an image, or None.
    """

    sums: dict[str, Tensor] = field(default_factory=dict)
    misfit: tuple[int, ...] | None = None
    _kept: list[tuple[Tensor, int]] = field(default_factory=list, repr=False)

    def keep(self, output: Tensor) -> Tensor:
        """Keep an output for its product with its gradient."""
        self._kept.append((output.detach(), output._version))
        return self._kept[-1][0]

    def overwritten(self) -> bool:
        """Tell whether the network changed an output in place; outputs are let go of."""
        changed = any(output._version != version for output, version in self._kept)
        self._kept.clear()
        return changed


@dataclass(frozen=True)
class LossPass:
    """Weights and gradients after one backward pass of the mean loss.

    Attributes:
        weights: weight of each convolution and linear layer, by layer name.
        gradients: gradient of each of them; 0 where the loss does not depend on it.
        norm: L2 norm of the gradient by all parameters, batch norms and biases included.
        products: of the same layers.
    """

    weights: Mapping[str, Tensor]
    gradients: Mapping[str, Tensor]
    norm: float
    products: ChannelProducts


@dataclass(frozen=True)
class LossGradients(OwnSignal[LossPass]):
    """The gradients of the mean loss on one batch, cross-entropy or that of the task.

    Attributes:
        setting: preparation of the network, and images a batch.
        part: index of the batch.
        parts: batches that the user's images are divided into; Gaussian ones are drawn one each.
        products: whether the products are wanted; there are none otherwise.
    """

    setting: Setting = AS_BUILT
    part: int = 0
    parts: int = 1
    products: bool = True

    def measure(self, subject: Subject) -> LossPass:
        """Run one forward and backward pass, once for all requests of the same images."""
        parts = 1 if subject.batch is None else self.parts
        images = replace(self, parts=parts)
        return subject.once(images, lambda: self._run(subject, images))

    def input(self, subject: Subject) -> tuple[Tensor, Tensor]:
        """Give the images (B, C, H, W) and labels (B,)."""
        return subject.input(self.setting, self.part, self.parts)

    def loss(self, subject: Subject, network: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
        """Run the forward pass; equal requests draw equal random numbers, e.g. of dropout."""
        from hwnas.networks.device import seed_passes

        seed_passes(subject.device, derive_seed(subject.seed, "loss", self))
        return loss(subject.output, network(batch[0]), batch[1])

    def _run(self, subject: Subject, images: LossGradients) -> LossPass:
        from hwnas.networks.layers import layer_weights, weight_layers

        network = subject.differentiable(self.setting).requires_grad_()
        layers, weights = weight_layers(network), layer_weights(network)
        if not layers:
            raise ProxyError("`model` must have a convolution or a linear layer, but has none.")
        batch = images.input(subject)
        watched = layers if self.products else {}
        parameters = list(network.parameters())
        for copies in (False, True):
            with _channel_products(watched, len(batch[0]), copies) as products:
                mean = images.loss(subject, network, batch)
            if not products.overwritten():
                break
        gradients = torch.autograd.grad(mean, parameters, materialize_grads=True)
        of_parameter = {id(p): g for p, g in zip(parameters, gradients, strict=True)}
        return LossPass(
            {name: weight.detach() for name, weight in weights.items()},
            {name: of_parameter[id(weight)] for name, weight in weights.items()},
            float(torch.stack([g.abs().double().square().sum() for g in gradients]).sum().sqrt()),
            products,
        )


@contextmanager
def _channel_products(
    layers: Mapping[str, WeightLayer], B: int, copies: bool
) -> Iterator[ChannelProducts]:
    """Watch a forward pass; its backward pass collects the products.

    Copies of the outputs take memory, but the network may change them in place.
    """
    products = ChannelProducts()

    def watch(name: str) -> Any:
        def hook(layer: nn.Module, args: Any, output: Tensor) -> Tensor:
            del args
            if output.ndim < 2 or len(output) != B:
                products.misfit = tuple(output.shape)
                return output
            kept = products.keep(output)

            def add(gradient: Tensor) -> None:
                product = kept * gradient
                if product.ndim > 2:
                    last = isinstance(layer, nn.Linear)
                    rows = product.flatten(1, -2) if last else position_rows(product)
                    product = sum_positions(rows)[:, 0]
                products.sums[name] = products.sums.get(name, 0) + product

            output.register_hook(add)  # type: ignore[no-untyped-call]
            return output.clone() if copies else output

        return hook

    handles = [layer.register_forward_hook(watch(name)) for name, layer in layers.items()]
    try:
        yield products
    finally:
        for handle in handles:
            handle.remove()
