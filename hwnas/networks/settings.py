"""PyTorch's settings as they are by default, whatever those of the caller are."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
import torch.nn.modules.module as module_hooks
import torch.utils.checkpoint as checkpointing
from torch.utils._python_dispatch import _disable_current_modes

from hwnas.process_state import PROCESS_STATE

_C = torch._C
_Switch = tuple[Callable[[], Any], Callable[[Any], object], Any]
"""What gets a setting, what sets it, and its default."""


def _precisions() -> tuple[_Switch, ...]:
    """Give the precisions of single backends, of which PyTorch before 2.9 had none."""
    if not hasattr(_C, "_get_fp32_precision_getter"):
        return ()
    kinds = ("all", "conv", "rnn", "matmul")
    return (_precision("generic", "all"), *(_precision("mkldnn", kind) for kind in kinds))


def _precision(backend: str, operators: str) -> _Switch:
    return (
        lambda: _C._get_fp32_precision_getter(backend, operators),
        lambda value: _C._set_fp32_precision_setter(backend, operators, value),
        "none",
    )


def _flushes_denormals() -> bool:
    least = torch.full((), sys.float_info.min, dtype=torch.float64)
    return not bool(least * 0.5)


_SWITCHES: tuple[_Switch, ...] = (
    (torch.get_default_dtype, torch.set_default_dtype, torch.float32),
    (
        lambda: (
            torch.are_deterministic_algorithms_enabled(),
            torch.is_deterministic_algorithms_warn_only_enabled(),
        ),
        lambda value: torch.use_deterministic_algorithms(value[0], warn_only=value[1]),
        (False, False),
    ),
    (torch.get_float32_matmul_precision, torch.set_float32_matmul_precision, "highest"),
    *_precisions(),
    (_C._get_mkldnn_enabled, _C._set_mkldnn_enabled, True),
    (_C._get_mkldnn_deterministic, _C._set_mkldnn_deterministic, False),
    (_C._get_nnpack_enabled, _C._set_nnpack_enabled, True),
    (torch.backends.mha.get_fastpath_enabled, torch.backends.mha.set_fastpath_enabled, True),
    (_C._get_flash_sdp_enabled, _C._set_sdp_use_flash, True),
    (_C._get_mem_efficient_sdp_enabled, _C._set_sdp_use_mem_efficient, True),
    (_C._get_math_sdp_enabled, _C._set_sdp_use_math, True),
    (_flushes_denormals, torch.set_flush_denormal, False),
)
_GLOBAL_HOOKS: tuple[dict[int, Any], ...] = (
    module_hooks._global_forward_pre_hooks,
    module_hooks._global_forward_hooks,
    module_hooks._global_backward_pre_hooks,
    module_hooks._global_backward_hooks,
)


@contextmanager
def default_settings() -> Iterator[None]:
    """Run with PyTorch's default settings in this thread, and give the caller's back afterwards.

    These are gradient and inference mode, autocast, default device and type, deterministic
    algorithms, precision and choice of CPU kernels, flushing of denormal numbers, function and
    dispatch modes, and hooks of all modules. Blocks that `torch.utils.checkpoint` would run again
    in the backward pass run once, and what `torch.compile` made runs as it was written: both
    compute the same, but out of sight. Most of them are the process's: threads take turns.
    """
    with PROCESS_STATE, ExitStack() as stack:
        stack.enter_context(_without_modes())
        stack.enter_context(torch.inference_mode(mode=False))
        stack.enter_context(torch.enable_grad())
        if torch.is_autocast_enabled("cpu"):
            stack.enter_context(torch.autocast("cpu", enabled=False))
        if torch.get_default_device().type != "cpu":
            stack.enter_context(torch.device("cpu"))
        for get, put, default in _SWITCHES:
            if (before := get()) != default:
                stack.callback(put, before)
                put(default)
        for hooks in _GLOBAL_HOOKS:
            if hooks:
                stack.callback(hooks.update, dict(hooks))
                hooks.clear()
        stack.enter_context(_without_checkpoints())
        if "torch._dynamo.eval_frame" in sys.modules:  # else nothing is compiled
            stack.enter_context(torch.compiler.set_stance("force_eager"))
        yield


@contextmanager
def _without_modes() -> Iterator[None]:
    with _disable_current_modes():
        modes = [_C._pop_torch_function_stack() for _ in range(_C._len_torch_function_stack())]
        try:
            yield
        finally:
            for mode in reversed(modes):
                _C._push_on_torch_function_stack(mode)


@contextmanager
def _without_checkpoints() -> Iterator[None]:
    """Let `torch.utils.checkpoint` call its functions only."""
    names = {
        "CheckpointFunction": _PlainCall,
        "_checkpoint_without_reentrant_generator": _nothing,
    }
    kept = {name: getattr(checkpointing, name) for name in names}
    vars(checkpointing).update(names)
    try:
        yield
    finally:
        vars(checkpointing).update(kept)


class _PlainCall:
    """Stands in for the function that runs a block again."""

    @staticmethod
    def apply(function: Callable[..., Any], preserve_rng_state: bool, *args: Any) -> Any:
        del preserve_rng_state
        return function(*args)


def _nothing(*args: Any, **kwargs: Any) -> Iterator[None]:
    """Stand in for what watches a block, which is started before and continued after it."""
    del args, kwargs
    yield
