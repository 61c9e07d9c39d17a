"""Proxies written down plainly: ordinary autograd, image by image, without any shortcut."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.modules.conv import _ConvNd

from hwnas.proxies.engine.signals import Init, Mode, Setting
from hwnas.proxies.engine.subject import Subject


def layers(network: nn.Module) -> list[nn.Parameter]:
    """Give the weights of convolutions and linear layers."""
    found = [m for m in network.modules() if isinstance(m, (_ConvNd, nn.Linear))]
    return [layer._parameters["weight"] for layer in found]  # type: ignore[misc]


class PlainScores:
    """The scores of one plain network."""

    def __init__(self, network: nn.Module, shape: tuple[int, int, int], batch_size: int) -> None:
        self.subject = Subject(network, shape, None, batch_size, 0)
        self.shape = shape

    def prepared(self, init: Init, mode: Mode) -> nn.Module:
        network = copy.deepcopy(self.subject.model).float().requires_grad_(True)
        network.load_state_dict(self.subject.network(Setting(init)).state_dict())
        return network.train(mode == "train")

    def batch(self, size: int | None = None) -> tuple[Tensor, Tensor]:
        images, labels = self.subject.input(Setting(batch_size=size))
        return images.contiguous(), labels

    def loss_gradients(self) -> list[tuple[Tensor, Tensor]]:
        network = self.prepared("as_built", "train")
        images, labels = self.batch()
        weights = layers(network)
        loss = F.cross_entropy(network(images), labels)
        gradients = torch.autograd.grad(loss, weights, materialize_grads=True)
        pairs = zip(weights, gradients, strict=True)
        return [(w.detach().double(), g.double()) for w, g in pairs]

    def params(self) -> float:
        return float(sum(p.numel() for p in self.subject.model.parameters()))

    def l2_norm(self) -> float:
        return float(sum(w.detach().double().norm() for w in layers(self.subject.model)))

    def grad_norm(self) -> float:
        return float(sum(g.norm() for _, g in self.loss_gradients()))

    def snip(self) -> float:
        return float(sum((w * g).abs().sum() for w, g in self.loss_gradients()))

    def grasp(self) -> float:
        """Differentiate the product of gradient and a copy of it, in float64."""
        network = self.prepared("as_built", "train").double()
        images, labels = self.batch()
        weights = layers(network)
        with sdpa_kernel(SDPBackend.MATH):
            loss = F.cross_entropy(network(images.double()), labels)
        gradients = torch.autograd.grad(loss, weights, create_graph=True, materialize_grads=True)
        if not any(g.requires_grad for g in gradients):
            return 0.0
        along = sum((g * g.detach()).sum() for g in gradients)
        assert isinstance(along, Tensor)
        products = torch.autograd.grad(along, weights, materialize_grads=True)
        return -float(sum((w.detach() * p).sum() for w, p in zip(weights, products, strict=True)))

    def gradsign(self) -> float:
        """In batches of one image."""
        network = self.prepared("as_built", "train")
        weights = layers(network)
        total = [torch.zeros_like(w) for w in weights]
        for image, label in zip(*self.batch(), strict=True):
            loss = F.cross_entropy(network(image[None]), label[None])
            gradients = torch.autograd.grad(loss, weights, materialize_grads=True)
            for signs, gradient in zip(total, gradients, strict=True):
                signs += gradient.sign()
        return float(sum(signs.abs().sum() for signs in total))

    def synflow(self) -> float:
        network = self.prepared("kaiming", "eval").double()
        for module in network.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                vars(module)["forward"] = nn.Identity().forward
        for parameter in network.parameters():
            parameter.data.abs_()
        weights = layers(network)
        response = network(torch.ones(1, *self.shape, dtype=torch.float64)).sum()
        gradients = torch.autograd.grad(response, weights, materialize_grads=True)
        flow = sum((w.detach() * g).abs().sum() for w, g in zip(weights, gradients, strict=True))
        return math.log(float(flow))

    def ntk_cond(self) -> float:
        """Image by image, by the parameters called weight."""
        network = self.prepared("kaiming", "eval")
        weights = [p for name, p in network.named_parameters() if "weight" in name.split(".")[-1]]
        rows = []
        for image in self.batch()[0]:
            output = network(image[None]).sum()
            gradients = torch.autograd.grad(output, weights, materialize_grads=True)
            rows.append(torch.cat([g.flatten().double() for g in gradients]))
        jacobian = torch.stack(rows)
        values = torch.linalg.eigvalsh(jacobian @ jacobian.T)
        return float(values[-1] / values[0])

    def jacob_cov(self) -> float:
        network, (images, _) = self.prepared("kaiming", "train"), self.batch()
        (gradients,) = torch.autograd.grad(network(images.requires_grad_()).sum(), images)
        rows = gradients.flatten(1).double()
        rows = rows - rows.mean(dim=1, keepdim=True)
        rows = rows / rows.norm(dim=1, keepdim=True)
        shifted = torch.linalg.eigvalsh(rows @ rows.T) + 1e-5
        return -float((shifted.log() + 1 / shifted).sum())

    def vkdnw_entropy(self) -> float:
        """By the Fisher information of the first element of each parameter, 32 images."""
        network, (images, _) = self.prepared("kaiming", "eval"), self.batch(32)
        parameters = list(network.parameters())
        matrix = torch.zeros(len(parameters), len(parameters), dtype=torch.float64)
        for image in images:
            logits = network(image[None])[0]
            rows = [
                torch.stack(
                    [
                        g.flatten()[0].double()
                        for g in torch.autograd.grad(
                            logit, parameters, retain_graph=True, materialize_grads=True
                        )
                    ]
                )
                for logit in logits
            ]
            smoothing = float(torch.tensor(0.05, dtype=torch.float16))
            p = logits.detach().double().softmax(dim=0) * (1 - smoothing) + smoothing / len(logits)
            jacobian = torch.stack(rows)
            matrix += jacobian.T @ (p.diag() - p[:, None] * p) @ jacobian / len(images)
        values = torch.linalg.eigvalsh(matrix).clamp(min=0)
        deciles = torch.quantile(values, torch.linspace(0.1, 0.9, 9, dtype=torch.float64))
        shares = deciles / deciles.sum()
        return float(torch.special.entr(shares).sum())


OF_BATCHES = {"grad_norm", "snip", "grasp", "gradsign", "jacob_cov"}
"""Those that run in training mode, where dropout draws."""
PLAIN: dict[str, tuple[Callable[[PlainScores], float], float]] = {
    "params": (PlainScores.params, 0),
    "l2_norm": (PlainScores.l2_norm, 1e-6),
    "grad_norm": (PlainScores.grad_norm, 1e-4),
    "snip": (PlainScores.snip, 1e-4),
    "grasp": (PlainScores.grasp, 2e-2),
    "gradsign": (PlainScores.gradsign, 1e-2),
    "synflow": (PlainScores.synflow, 1e-6),
    "ntk_cond": (PlainScores.ntk_cond, 1e-3),
    "jacob_cov": (PlainScores.jacob_cov, 1e-3),
    "vkdnw_entropy": (PlainScores.vkdnw_entropy, 1e-3),
}
"""Formula, and the relative difference that rounding may make."""
