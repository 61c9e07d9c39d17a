"""What keeps a module from being run, and modules that are complete after their first run."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.lazy import LazyModuleMixin
from torch.nn.parameter import UninitializedBuffer

from hwnas.errors import InvalidValueError
from hwnas.networks.answer import (
    ALL,
    Answer,
    Answering,
    AnsweringAll,
    Part,
    answer_path,
    names_in,
    parts_of,
    say_left_out,
    tensors_in,
)
from hwnas.networks.copying import copy_model, own_tensors
from hwnas.networks.joined import told_of_inputs
from hwnas.networks.plain import to_float32
from hwnas.seeding import seeded, torch_state_kept


def usable_network(model: nn.Module, inputs: Callable[[], Tensor], seed: int = 0) -> nn.Module:
    """Give a network whose layers can be looked at and run.

    Args:
        model: the network; it is left as it is.
        inputs: draws inputs that it accepts, on the CPU.
        seed: seed of the weights of lazy modules.

    Returns:
        `model` itself; or, where it has lazy modules, a copy that has run once.

    Raises:
        InvalidValueError: its tensors have no values, its layers are hidden by TorchScript, or
            lazy modules fail on their first run.
    """
    check_has_values(model)
    scripted = [m for m in model.modules() if isinstance(m, torch.jit.ScriptModule)]
    if scripted:
        raise InvalidValueError(
            f"`model` must be a module in Python, but got a {type(scripted[0]).__name__} of "
            "TorchScript, whose layers cannot be watched or initialised: give the module that it "
            "was made from."
        )
    return complete_network(model, inputs, seed)


def check_has_values(model: nn.Module) -> None:
    """Refuse a network on the `meta` device with `InvalidValueError`."""
    empty = [t for m in model.modules() for t in own_tensors(m) if t.is_meta]
    if empty:
        raise InvalidValueError(
            f"`model` must have values, but {len(empty)} of its tensors are on the meta device: "
            "build it on the CPU, or give it values with `to_empty` and its initialisation."
        )


def complete_network(model: nn.Module, inputs: Callable[[], Tensor], seed: int = 0) -> nn.Module:
    """Give `model` itself, or a copy whose lazy modules have the sizes of their first inputs.

    Raises:
        InvalidValueError: the first run fails.
    """
    if not any(_is_lazy(module) for module in model.modules()):
        return model
    # PyTorch cannot copy the buffers that a lazy module has yet to size.
    unsized = [b for b in model.buffers() if isinstance(b, UninitializedBuffer)]
    make: Any = UninitializedBuffer
    memo = {id(b): make(device=b.device, dtype=b.dtype) for b in unsized}
    twin = copy.deepcopy(model, memo)
    try:
        with seeded(seed), torch.no_grad():
            twin.eval()(inputs())
    except Exception as error:  # whatever the user's network raises
        raise InvalidValueError(
            f"`model` must complete its lazy modules on inputs of shape {tuple(inputs().shape)}, "
            f"but raised {_told(error, model, inputs())}"
        ) from error
    left = [name for name, module in twin.named_modules() if _is_lazy(module)]
    if left:
        raise InvalidValueError(
            f"`model` must run its lazy modules, but did not run {', '.join(left)}."
        )
    for mine, theirs in zip(twin.modules(), model.modules(), strict=True):
        mine.training = theirs.training
    return twin


def answering_network(
    model: nn.Module, inputs: Callable[[], Tensor], output: str | int | None = None
) -> nn.Module:
    """Give a network that returns its answer alone, in evaluation mode.

    Args:
        model: the network; it is left as it is.
        inputs: draws inputs that it accepts, on the CPU.
        output: which output is the answer, or ``all``; None for the rule of
            `hwnas.networks.answer`, whose choice is logged.

    Returns:
        `model` itself if it returns a tensor and has no lazy modules, unless all is wanted.

    Raises:
        InvalidValueError: it has no values, does not run on such inputs, or has no such output.
    """
    check_has_values(model)
    model = complete_network(model, inputs)
    drawn = inputs()
    try:
        twin = copy_model(model, to_float32).eval()
        with torch_state_kept(), torch.no_grad():
            answer = twin(drawn)
    except Exception as error:  # whatever the user's network raises
        raise InvalidValueError(
            f"`model` must run on inputs of shape {tuple(drawn.shape)}, but "
            f"{type(model).__name__} raised {_told(error, model, drawn)}"
        ) from error
    if output == ALL:
        parts = parts_of(answer, len(drawn), _of_more(twin, drawn))
        say_left_out(answer, parts)
        return AnsweringAll(model, parts, _in_training(twin, drawn) or parts).train(model.training)
    if isinstance(answer, Tensor):
        return model
    path = answer_path(answer, output)
    Answer(output)(twin, (drawn,), answer)  # says what is chosen
    among = len(list(tensors_in(answer)))
    return Answering(model, path, names_in(answer, path), among=among).train(model.training)


def _in_training(twin: nn.Module, inputs: Tensor) -> list[Part]:
    """List what a copy of a network gives in training mode; nothing where it does not run there."""
    try:
        with torch_state_kept(), torch.no_grad():
            return parts_of(twin.train()(inputs), len(inputs), _of_more(twin, inputs))
    except Exception:  # whatever the user's network raises: it says so where that mode is asked for
        return []


def _of_more(twin: nn.Module, inputs: Tensor) -> Any:
    """Run a copy of a network on one input more; None where it is for this number of them."""
    try:
        with torch_state_kept(), torch.no_grad():
            return twin(torch.cat([inputs, inputs[:1]]))
    except Exception:  # whatever the user's network raises
        return None


def _told(error: Exception, model: nn.Module, inputs: Tensor) -> str:
    """Say what a network raised, and what to do if it takes tokens or several inputs."""
    rank = inputs.ndim - 1 if inputs.is_floating_point() else 0
    return f"{type(error).__name__}: {' '.join(str(error).split())}{told_of_inputs(model, rank)}"


def _is_lazy(module: nn.Module) -> bool:
    return isinstance(module, LazyModuleMixin) and module.has_uninitialized_params()
