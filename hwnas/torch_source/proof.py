"""The proof that code builds the network that it was written from."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from hwnas.networks.answer import tensors_in
from hwnas.networks.copying import copy_model
from hwnas.networks.settings import default_settings
from hwnas.seeding import seeded
from hwnas.torch_source.expressions import NotWritableError

TOLERANCE = 1e-6
"""Largest accepted difference of the outputs, as a share of the largest one if that is above 1."""


def check_source(source: str, network: nn.Module, inputs: Tensor) -> float:
    """Run code that was written from a network, and compare what it builds with the network.

    Names, shapes and types of the state, the number of parameters, the outputs in evaluation mode
    and, for equal random draws, in training mode must be the same.

    Args:
        source: a module with ``build() -> nn.Module``.
        network: the network; it is left as it is.
        inputs: (B, ...) inputs of it.

    Returns:
        The largest absolute difference of an output in evaluation mode.

    Raises:
        NotWritableError: the code does not run, or builds another network.
    """
    with default_settings(), seeded(0), torch.no_grad():
        twin = copy_model(network, torch.clone)
        try:
            space: dict[str, object] = {"__name__": "network"}
            exec(compile(source, "network.py", "exec"), space)  # what was written from the network
            build = space["build"]
            assert callable(build)
            made = build()
            _check_state(made, twin)
            made.load_state_dict(twin.state_dict())
            difference = _difference(made.eval(), twin.eval(), inputs)
            _difference(made.train(), twin.train(), inputs)
        except NotWritableError:
            raise
        except Exception as error:  # whatever code raises that is not right
            reason = " ".join(str(error).split())[:120]
            raise NotWritableError(f"its code fails ({type(error).__name__}: {reason})") from error
    return difference


def _check_state(made: nn.Module, network: nn.Module) -> None:
    states = [
        [(name, tuple(t.shape), t.dtype) for name, t in m.state_dict().items()]
        for m in (made, network)
    ]
    counts = [sum(p.numel() for p in m.parameters() if p.requires_grad) for m in (made, network)]
    if states[0] != states[1] or counts[0] != counts[1]:
        raise NotWritableError("its code has other weights")


def _difference(made: nn.Module, network: nn.Module, inputs: Tensor) -> float:
    outputs = []
    for module in (made, network):
        torch.default_generator.manual_seed(0)
        outputs.append(module(inputs))
    got, expected = (dict(tensors_in(output)) for output in outputs)
    if not expected or list(got) != list(expected):
        raise NotWritableError("its code has other outputs")
    return max(_largest(got[path], expected[path]) for path in expected)


def _largest(got: Tensor, expected: Tensor) -> float:
    """Give the largest difference of two tensors, truths among them; 0 of empty ones."""
    if got.shape != expected.shape or got.dtype != expected.dtype:
        raise NotWritableError("its code has other outputs")
    if not expected.numel():
        return 0.0
    kind = torch.complex128 if expected.is_complex() else torch.float64
    difference = float((got.to(kind) - expected.to(kind)).abs().max())
    # Written so that NaN fails.
    if not difference <= TOLERANCE * max(1.0, float(expected.to(kind).abs().max())):
        raise NotWritableError(f"its code differs by {difference:.3g}")
    return difference
