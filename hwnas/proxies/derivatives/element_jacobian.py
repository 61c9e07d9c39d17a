"""Per-image gradients of each logit by a few weights, without the gradients of all weights."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING

from hwnas.deferred import deferred
from hwnas.errors import ProxyError
from hwnas.proxies.engine.signals import OwnSignal, Setting
from hwnas.seeding import derive_seed

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from hwnas.proxies.engine.subject import Subject
else:
    torch = deferred("torch")

_EVALUATION = Setting(mode="eval")
# Where the images are divided, whatever their number: at what the proxies of VKDNW ask for.
_PARTS = (0, 4, 16)
Element = tuple["nn.Parameter", int]
"""A parameter and the flat index of one of its elements."""


@dataclass(frozen=True)
class Jacobian:
    """Derivatives of the logits by P elements of parameters.

    Attributes:
        logits: (B, K).
        rows: (B, K - 1, P) float64: derivatives of the first K - 1 logits, or of their
            differences to the last one.
    """

    logits: Tensor
    rows: Tensor


@dataclass(frozen=True)
class ElementJacobian(OwnSignal[Jacobian]):
    """Derivatives of an evaluation-mode network's logits by a few elements a parameter tensor.

    Of a tensor with n elements those at ``linspace(0, n - 1, elements)`` are taken, element 0 if it
    is one; tensors stand in the order of `named_parameters`.

    Attributes:
        setting: preparation of the network; the mode must be eval, where images are independent.
        size: elements in all, at most; the first ones are taken.
        elements: elements a tensor.
        contrasts: differentiate differences to the last logit, which determine the Fisher
            information: it does not change when a function is added to all logits.
    """

    setting: Setting = _EVALUATION
    size: int = 128
    elements: int = 1
    contrasts: bool = True

    def measure(self, subject: Subject) -> Jacobian:
        """Run one forward pass, and K - 1 backward passes to activations only, for each part.

        Requests of different numbers of images share the parts of those that they have in common.

        Elements without a shortcut (`hwnas.proxies.derivatives.element_taps`) cost K - 1 backward
        passes an image more.
        """
        images, _ = subject.input(self.setting)
        if subject.num_classes < 2:
            raise ProxyError("`model` must have at least 2 classes, but has 1.")
        anyhow = replace(self, setting=replace(self.setting, batch_size=None))
        found: list[Jacobian] = []
        for start, stop in pairwise([*(n for n in _PARTS if n < len(images)), len(images)]):
            part = images[start:stop]
            key = anyhow, part.cpu().numpy().tobytes()
            found.append(subject.once(key, partial(anyhow._of_images, subject, part, start)))
        return Jacobian(
            torch.cat([of_part.logits for of_part in found]),
            torch.cat([of_part.rows for of_part in found]),
        )

    def _of_images(self, subject: Subject, images: Tensor, start: int) -> Jacobian:
        from hwnas.networks.device import seed_passes
        from hwnas.networks.layers import insist_on_real
        from hwnas.proxies.derivatives.element_taps import ElementTaps

        network = subject.differentiable(self.setting)
        insist_on_real(dict(network.named_parameters()))
        elements = _elements(network, self.size, self.elements)
        taps = ElementTaps(elements, len(images))
        seed_passes(subject.device, derive_seed(subject.seed, "elements", self, start))
        with taps:
            logits = network(images)
        functions = self._functions(logits)
        rows = torch.zeros(*functions.shape, len(elements), dtype=torch.float64)
        taps.fill(rows, functions)
        if slow := [i for i, (parameter, _) in enumerate(elements) if parameter in taps.unknown]:
            chosen = [elements[i] for i in slow]
            for row, image in zip(rows, images[:, None], strict=True):
                row[:, slow] = self._by_image(network, image, chosen)
        return Jacobian(logits.detach(), rows)

    def _functions(self, logits: Tensor) -> Tensor:
        """Give the (B, K - 1) functions that are differentiated."""
        return logits[:, :-1] - logits[:, -1:] if self.contrasts else logits[:, :-1]

    def _by_image(self, network: nn.Module, image: Tensor, elements: list[Element]) -> Tensor:
        """Differentiate one image's functions by ordinary backward passes: (K - 1, elements)."""
        parameters = [parameter.requires_grad_() for parameter, _ in elements]
        rows = []
        for function in self._functions(network(image))[0]:
            gradients = torch.autograd.grad(
                function, parameters, retain_graph=True, materialize_grads=True
            )
            values = [g.flatten()[i] for g, (_, i) in zip(gradients, elements, strict=True)]
            rows.append(torch.stack(values))
        return torch.stack(rows).double()


def _elements(network: nn.Module, size: int, count: int) -> list[Element]:
    elements: list[Element] = []
    for parameter in network.parameters():
        if parameter.numel():
            places = torch.linspace(0, parameter.numel() - 1, count).long()
            elements += [(parameter, place) for place in sorted(set(places.tolist()))]
    if not elements:
        raise ProxyError("`model` must have parameters, but has none.")
    return elements[:size]
