"""The proof that a runtime computes what PyTorch computes."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from hwnas.errors import InvalidValueError
from hwnas.networks.copying import copy_model
from hwnas.networks.plain import plain_network, to_float32
from hwnas.networks.settings import default_settings
from hwnas.runtimes.base import Array, Executable, OnnxModel, RunSettings, TorchNetwork
from hwnas.runtimes.onnx_facts import has_free_batch
from hwnas.runtimes.onnxruntime_runtime import OnnxRuntime
from hwnas.runtimes.onnxruntime_session import load_model_bytes
from hwnas.runtimes.torch_runtime import forward
from hwnas.tasks.task import TensorSpec

if TYPE_CHECKING:
    import onnx
    from torch import nn

RELATIVE: Mapping[str, float] = {"float32": 1e-3, "float16": 3e-2, "bfloat16": 2e-1, "int8": 5e-1}
"""Largest accepted difference as a share of the largest output, by precision; 1 for others."""
LEAST_CORRELATION = 0.99
"""Below it the outputs in a precision are told to be poor."""
Outputs = Sequence[Sequence[Array]]


def torch_outputs(module: nn.Module, inputs: Sequence[Array]) -> list[Array]:
    """Run a copy of a network in PyTorch: on the CPU, in float32 and evaluation mode.

    Raises:
        InvalidValueError: the network does not run on such inputs.
    """
    return _run(_twin(module), inputs)


def _twin(module: nn.Module) -> nn.Module:
    with default_settings():
        return copy_model(plain_network(module), to_float32).eval()


def _run(twin: nn.Module, inputs: Sequence[Array]) -> list[Array]:
    with default_settings():
        return forward(twin, *(torch.from_numpy(array) for array in inputs))


class Agreement(NamedTuple):
    """How well a runtime's outputs agree with PyTorch's in float32.

    Attributes:
        relative_error: largest absolute difference of an output over PyTorch's largest absolute
            output; 0 if all outputs are 0, NaN if PyTorch's own are not finite.
        correlation: Pearson correlation of all outputs of all examples; NaN where one side is
            constant or not finite.
        reason: why there was nothing to compare with, where there should have been.
    """

    relative_error: float
    correlation: float
    reason: str = ""


def agreement(executable: Executable, module: nn.Module) -> Agreement:
    """Compare what a runtime computes with PyTorch, before a measurement counts.

    Args:
        executable: the network as the runtime prepared it; compared on its inputs and on its
            `examples`, where it has any.
        module: the network.

    Raises:
        InvalidValueError: the error is more than `RELATIVE` allows for the precision, or the
            outputs have other shapes.
    """
    twin = _twin(module)
    examples = getattr(executable, "examples", ())
    expected = [_run(twin, inputs) for inputs in (executable.inputs, *examples)]
    return compared(executable, expected, "PyTorch's outputs")


def compared(
    executable: Executable,
    expected: Sequence[Sequence[Array]],
    what: str = "ONNX Runtime's outputs",
) -> Agreement:
    """Compare what a runtime computes with known outputs.

    Args:
        executable: the network as the runtime prepared it.
        expected: outputs in float32 for its inputs, and then for each of its `examples`.
        what: what these are, for the error.

    Raises:
        InvalidValueError: as `agreement`.
    """
    found = [executable.outputs()]
    found += [executable.outputs(*inputs) for inputs in getattr(executable, "examples", ())]
    difference = max(map(largest_difference, found, expected), key=_nan_last)
    scale = max(map(_largest, expected), key=_nan_last)
    if not np.isfinite(scale):
        return Agreement(float("nan"), float("nan"), "its outputs in float32 are not finite")
    error = difference / scale if scale else difference
    accepted = RELATIVE.get(executable.key.precision, 1.0)
    # Written so that NaN fails.
    if not error <= accepted:
        raise InvalidValueError(
            f"`model` must give {what} within {accepted:g} of the largest one, but "
            f"{executable.key} differs by {error:.3g}: its latency would be that of another "
            f"network."
        )
    return Agreement(error, _correlation(found, expected))


def _correlation(found: Outputs, expected: Outputs) -> float:
    a, b = (np.concatenate([array.ravel() for o in s for array in o]) for s in (found, expected))
    a, b = (v.astype(np.float64) - v.mean(dtype=np.float64) for v in (a, b))
    size = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / size if size else float("nan")


def _nan_last(value: float) -> float:
    return np.inf if np.isnan(value) else value


def largest_difference(got: Sequence[Array], expected: Sequence[Array]) -> float:
    """Give the largest absolute difference; NaN if an output is NaN in one of them only.

    Raises:
        InvalidValueError: number or shapes of the outputs differ.
    """
    shapes, wanted = ([array.shape for array in arrays] for arrays in (got, expected))
    if shapes != wanted:
        raise InvalidValueError(
            f"`model` must give outputs of shape {_text(wanted)}, as the network does, but got "
            f"{_text(shapes)}."
        )
    with np.errstate(invalid="ignore"):
        pairs = zip(got, expected, strict=True)
        return _largest([g.astype(np.float64) - e for g, e in pairs])


def _largest(arrays: Sequence[Array]) -> float:
    return max((float(np.max(np.abs(a), initial=0.0)) for a in arrays), default=0.0)


def _text(shapes: Sequence[tuple[int, ...]]) -> str:
    return ", ".join(map(str, shapes))


def verify_onnx(
    model: onnx.ModelProto | str | os.PathLike[str],
    module: nn.Module,
    in_shape: tuple[int, ...] | TensorSpec,
    atol: float = 1e-4,
    rtol: float = 1e-4,
    seed: int = 0,
) -> float:
    """Compare an ONNX model in ONNX Runtime with the network that it was made from.

    Args:
        model: the model or its file, with one input and the network's outputs in their order.
        module: the network; evaluated in evaluation mode and left as it is.
        in_shape: shape of one image, (C, H, W), or what the network gets.
        atol: largest difference that is accepted.
        rtol: difference that is accepted on top, as a share of the largest output.
        seed: seed of the Gaussian images or of the tokens; where the batch is free there are two.

    Returns:
        The largest absolute difference of an output.

    Raises:
        InvalidValueError: the difference is larger than `atol + rtol * max |output|`, or one
            of the outputs is not finite.
    """
    content = load_model_bytes(model)
    settings = RunSettings(batch=2 if has_free_batch(content) else None, seed=seed)
    tokens = isinstance(in_shape, TensorSpec) and in_shape.vocabulary is not None
    shape = in_shape.shape if isinstance(in_shape, TensorSpec) else in_shape
    with OnnxRuntime().prepare(OnnxModel(content, shape), settings) as executable:
        inputs = executable.inputs
        if tokens:
            inputs = [TorchNetwork(module, in_shape).draw(len(inputs[0]), seed)]
        expected = torch_outputs(module, inputs)
        difference = largest_difference(executable.outputs(*inputs), expected)
    accepted = atol + rtol * _largest(expected)
    # Written so that NaN fails.
    if not (difference <= accepted < float("inf")):
        raise InvalidValueError(
            f"`model` must agree with the network within {accepted:.3g}, but differs by "
            f"{difference:.3g}: it was made from another network, other weights or another mode."
        )
    return difference
