"""What one backward pass of the loss tells about the weights of a network."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
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

        def run() -> LossPass:
            graph = self.run(subject)
            gradients = torch.autograd.grad(graph.loss, graph.parameters, materialize_grads=True)
            return graph.answer(gradients)

        return subject.once(self._images(subject), run)

    def input(self, subject: Subject) -> tuple[Tensor, Tensor]:
        """Give the images (B, C, H, W) and labels (B,)."""
        return subject.input(self.setting, self.part, self.parts)

    def run(self, subject: Subject) -> LossGraph:
        """Run the forward pass; equal requests draw equal random numbers, e.g. of dropout."""
        from hwnas.networks.device import seed_passes
        from hwnas.networks.layers import layer_weights, weight_layers

        images = self._images(subject)
        network = subject.differentiable(self.setting).requires_grad_()
        layers, weights = weight_layers(network), layer_weights(network)
        if not layers:
            raise ProxyError("`model` must have a convolution or a linear layer, but has none.")
        batch, labels = images.input(subject)
        for copies in (False, True):
            with _channel_products(layers if self.products else {}, len(batch), copies) as products:
                seed_passes(subject.device, derive_seed(subject.seed, "loss", images))
                mean = loss(subject.output, network(batch), labels)
            if not products.overwritten():
                break
        return LossGraph(mean, weights, list(network.parameters()), products)

    def known(self, subject: Subject, answer: LossPass) -> LossPass:
        """Let requests of the same images have the answer of a pass that ran for another one."""
        return subject.once(self._images(subject), lambda: answer)

    def _images(self, subject: Subject) -> LossGradients:
        return replace(self, parts=1 if subject.batch is None else self.parts)


@dataclass(frozen=True)
class LossGraph:
    """The mean loss after the forward pass, with its graph.

    Attributes:
        loss: the mean loss.
        weights: weight of each convolution and linear layer, by layer name.
        parameters: of the network.
        products: which the backward pass collects.
    """

    loss: Tensor
    weights: Mapping[str, nn.Parameter]
    parameters: Sequence[nn.Parameter]
    products: ChannelProducts

    def answer(self, gradients: Sequence[Tensor]) -> LossPass:
        """Give what the gradients by the parameters tell."""
        squares = [gradient.abs().double().square().sum() for gradient in gradients]
        found = dict(zip(self.parameters, gradients, strict=True))
        return LossPass(
            {name: weight.detach() for name, weight in self.weights.items()},
            {name: found[weight] for name, weight in self.weights.items()},
            float(torch.stack(squares).sum().sqrt()),
            self.products,
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

            @torch.no_grad()
            def add(gradient: Tensor) -> None:
                product = kept * gradient
                if product.ndim > 2:
                    last = isinstance(layer, nn.Linear)
                    rows = product.flatten(1, -2) if last else position_rows(product)
                    product = sum_positions(rows)[:, 0]
                products.sums[name] = products.sums.get(name, 0) + product
                handle.remove()  # the gradient may pass again where it is differentiated

            handle = output.register_hook(add)  # type: ignore[no-untyped-call]
            return output.clone() if copies else output

        return hook

    handles = [layer.register_forward_hook(watch(name)) for name, layer in layers.items()]
    try:
        yield products
    finally:
        for handle in handles:
            handle.remove()
