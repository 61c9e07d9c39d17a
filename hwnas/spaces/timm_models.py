"""Models of timm by name."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from functools import cache
from types import ModuleType
from typing import TYPE_CHECKING, Any

from hwnas.errors import InvalidValueError, MissingDependencyError

if TYPE_CHECKING:
    from torch import nn

_UNKNOWN = "operator torchvision::"


def timm_names(pattern: str) -> Sequence[str]:
    """List the models whose names fit a pattern of `timm.list_models`.

    Raises:
        MissingDependencyError: timm is not installed, or cannot be imported.
    """
    names: list[str] = _timm(pattern).list_models(pattern)
    return names


def timm_model(name: str, classes: int, in_shape: tuple[int, ...]) -> nn.Module:
    """Build a model of timm, untrained.

    Models that are made for one size of images, such as vision transformers, get that of the task.

    Args:
        name: the model.
        classes: classes K.
        in_shape: (C, H, W) of an image.

    Raises:
        MissingDependencyError: timm is not installed, or cannot be imported.
        InvalidValueError: timm has no such model.
    """
    timm = _timm(name)
    if not timm.is_model(name.partition(".")[0]):
        raise InvalidValueError(f"`models` must be names of timm.list_models(), but got {name!r}.")
    wanted = {"num_classes": classes, "in_chans": in_shape[0], "pretrained": False}
    try:
        model: nn.Module = timm.create_model(name, **wanted, img_size=tuple(in_shape[1:]))
    except TypeError as error:
        if "img_size" not in str(error):
            raise
        model = timm.create_model(name, **wanted)
    return model


def _timm(what: str) -> Any:
    """Import timm.

    Args:
        what: what is wanted of it, for the error.
    """
    try:
        found = _imported()
        if not hasattr(found, "list_models"):  # a folder of that name, which is a module for Python
            raise ModuleNotFoundError(name="timm")
        return found
    except ModuleNotFoundError as error:
        raise MissingDependencyError(
            f"`{what}` is a model of timm, for which {error.name} is not installed: "
            f"pip install 'hwnas[timm]'."
        ) from None
    except Exception as error:  # e.g. of torchvision, which has to be of torch's version
        raise MissingDependencyError(
            f"`{what}` is a model of timm, which cannot be imported ({error}): torchvision must be "
            f"the version for this torch, as in `pip install torch torchvision timm`."
        ) from error


def _imported() -> ModuleType:
    """Import timm, with the operators of torchvision or without them.

    The package index has torchvision 0.28 for CUDA alone, whose compiled part does not load beside
    a PyTorch for the CPU, and whose import then stops at operators that are not there. No network
    of timm runs them.
    """
    try:
        return importlib.import_module("timm")
    except RuntimeError as error:
        if not str(error).startswith(_UNKNOWN):
            raise
        _declare_operators()
        return importlib.import_module("timm")


@cache
def _declare_operators() -> Any:
    """Name the operators that torchvision describes as it is imported; they do not run."""
    import torch

    library: Any = torch.library.Library
    named = library("torchvision", "FRAGMENT")
    for operator in ("nms", "qnms"):
        named.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    return named  # kept, since the names go with it
