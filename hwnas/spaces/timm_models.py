"""Models of timm by name."""

from __future__ import annotations

import importlib
from functools import cache
from types import ModuleType
from typing import TYPE_CHECKING, Any

from hwnas.errors import InvalidValueError, MissingDependencyError
from hwnas.spaces.trial import Trial

if TYPE_CHECKING:
    from torch import nn

_UNKNOWN = "operator torchvision::"


def timm_model(name: str, trial: Trial) -> nn.Module:
    """Build a model of timm, untrained, for the channels and classes of the trial's task.

    Models that are made for one size of images, such as vision transformers, get that of the task.

    Raises:
        MissingDependencyError: timm is not installed, or cannot be imported.
        InvalidValueError: timm has no such model.
    """
    try:
        timm: Any = _imported()
    except ModuleNotFoundError as error:
        raise MissingDependencyError(
            f"`{name}` is a model of timm, for which {error.name} is not installed: "
            f"pip install 'hwnas[timm]'."
        ) from None
    except Exception as error:  # e.g. of torchvision, which has to be of torch's version
        raise MissingDependencyError(
            f"`{name}` is a model of timm, which cannot be imported ({error}): torchvision must be "
            f"the version for this torch, as in `pip install torch torchvision timm`."
        ) from error
    if not timm.is_model(name.partition(".")[0]):
        raise InvalidValueError(f"`models` must be names of timm.list_models(), but got {name!r}.")
    wanted = {"num_classes": trial.classes, "in_chans": trial.input[0], "pretrained": False}
    try:
        model: nn.Module = timm.create_model(name, **wanted, img_size=trial.input[1:])
    except TypeError as error:
        if "img_size" not in str(error):
            raise
        model = timm.create_model(name, **wanted)
    return model


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
