"""The layers with weight matrices, and their initialisation."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd

from hwnas.errors import ProxyError
from hwnas.networks.normal_draws import NormalDraws

WeightLayer = _ConvNd | nn.Linear


def weight_layers(model: nn.Module) -> dict[str, WeightLayer]:
    """Give the convolutions and linear layers by name, in the order in which they were defined."""
    return {n: m for n, m in model.named_modules() if isinstance(m, (_ConvNd, nn.Linear))}


def batch_norms(model: nn.Module) -> dict[str, _BatchNorm]:
    """Give the batch norms by name, in the order in which they were defined."""
    return {n: m for n, m in model.named_modules() if isinstance(m, _BatchNorm)}


def kaiming_weights_(model: nn.Module, seed: int) -> None:
    """Initialise anew: weights N(0, 2 / fan_in), biases 0, batch norms as new.

    He et al., Delving Deep into Rectifiers, ICCV 2015, Eq. 10. Parameters of other kinds of
    layers (layer norms, embeddings, attention's packed projections) keep their values.

    Args:
        model: changed in place.
        seed: seed of the draws.
    """
    _initialise(model, seed, lambda w: math.sqrt(2 / max(1, w.shape[1:].numel())))


def standard_normal_weights_(model: nn.Module, seed: int) -> None:
    """Initialise anew as `kaiming_weights_` does, but with weights N(0, 1)."""
    _initialise(model, seed, lambda _: 1.0)


def insist_on_real(tensors: Mapping[str, Tensor | None]) -> None:
    """Refuse complex numbers, which formulas of real ones would halve.

    Raises:
        ProxyError: one of these is complex; names it.
    """
    waves = [name for name, t in tensors.items() if t is not None and t.is_complex()]
    if waves:
        raise ProxyError(
            f"`model` must have real parameters for this score, but {waves[0]} is complex."
        )


def layer_weights(model: nn.Module) -> dict[str, nn.Parameter]:
    """Give the weights of `weight_layers` by the layers' names.

    Raises:
        ProxyError: a layer computes its weight, so that it can neither be set nor be differentiated
            by; `plain_network` knows PyTorch's ways to compute weights. Or a weight is complex.
    """
    layers = weight_layers(model)
    insist_on_real({f"{n}.weight": m._parameters.get("weight") for n, m in layers.items()})
    weights: dict[str, nn.Parameter] = {}
    for name, layer in layers.items():
        weight = layer._parameters.get("weight")
        if weight is None:
            raise ProxyError(
                f"Each layer's `weight` must be a parameter, but {name!r} computes it in a way of "
                "its own: use `torch.nn.utils.parametrize`."
            )
        weights[name] = weight
    return weights


@torch.no_grad()
def _initialise(model: nn.Module, seed: int, deviation: Callable[[Tensor], float]) -> None:
    weights, draws = layer_weights(model), NormalDraws(seed)
    for name, layer in weight_layers(model).items():
        # On the CPU, whose generator gives the same numbers to every device.
        weight = weights[name]
        drawn = weight if weight.device.type == "cpu" else torch.empty_like(weight, device="cpu")
        draws.fill_(drawn, deviation(weight))
        if drawn is not weight:
            weight.copy_(drawn)
        if layer.bias is not None:
            layer.bias.zero_()
    for norm in batch_norms(model).values():
        norm.reset_parameters()
