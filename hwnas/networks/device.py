"""Where proxies run their passes: the CPU, or an accelerator that PyTorch knows.

Weights, inputs, labels and signs are always drawn on the CPU, so that every device sees the same
numbers; what dropout leaves out is drawn where it runs. Answers come back to the CPU, where the
formulas are computed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from hwnas.errors import InvalidValueError

CPU = torch.device("cpu")


def read_device(name: str) -> torch.device:
    """Read the name of a device: ``cpu``, ``cuda``, ``cuda:1``, ``mps``.

    Raises:
        InvalidValueError: it is no name of a device, or this machine has none such.
    """
    try:
        device = torch.device(name)
    except RuntimeError:
        raise InvalidValueError(
            f"`device` must be cpu, cuda, cuda:N or mps, but got {name!r}."
        ) from None
    if device.type == "cpu":
        return CPU
    there = torch.get_device_module(device) if device.type in ("cuda", "mps", "xpu") else None
    if there is None or not there.is_available():
        raise InvalidValueError(
            f"`device` must be there, but PyTorch {torch.__version__} finds no {device.type!r} on "
            f"this machine: take --device cpu, or install a PyTorch build with drivers for it."
        )
    if device.index is not None and device.index >= there.device_count():
        raise InvalidValueError(
            f"`device` must be one of the {there.device_count()} that are there, counted from 0, "
            f"but got {name!r}."
        )
    return device


@contextmanager
def made_on(device: torch.device) -> Iterator[None]:
    """Make tensors on a device where nothing else is said, and multiply them in full float32."""
    if device.type == "cpu":
        yield
        return
    cudnn, before = torch.backends.cudnn, torch.backends.cudnn.allow_tf32
    cudnn.allow_tf32 = False
    try:
        with torch.device(device):
            yield
    finally:
        cudnn.allow_tf32 = before


def random_states(device: torch.device) -> list[Tensor]:
    """Give the states of the generators that a pass draws from, e.g. in dropout."""
    states = [torch.default_generator.get_state()]
    if device.type != "cpu":
        states.append(torch.get_device_module(device).get_rng_state())
    return states


def set_random_states(device: torch.device, states: Sequence[Tensor]) -> None:
    """Put back what `random_states` gave."""
    torch.default_generator.set_state(states[0])
    if device.type != "cpu":
        torch.get_device_module(device).set_rng_state(states[1])


def seed_passes(device: torch.device, seed: int) -> None:
    """Seed the generators that a pass draws from."""
    torch.default_generator.manual_seed(seed)
    if device.type != "cpu":
        torch.get_device_module(device).manual_seed(seed)


def on_cpu(value: Any) -> Any:
    """Move the tensors in an answer to the CPU: in tuples, lists, mappings and dataclasses."""
    if isinstance(value, Tensor):
        return value.to("cpu")
    if isinstance(value, tuple) and not hasattr(value, "_fields"):
        return tuple(map(on_cpu, value))
    if isinstance(value, list):
        return list(map(on_cpu, value))
    if isinstance(value, Mapping):
        return {key: on_cpu(item) for key, item in value.items()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {f.name: getattr(value, f.name) for f in dataclasses.fields(value) if f.init}
        return dataclasses.replace(value, **{name: on_cpu(item) for name, item in fields.items()})
    return value
