"""What of the user's own is a search space: a class of them, a function of a trial, a list."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from hwnas.errors import InvalidValueError
from hwnas.spaces.functions import FunctionSpace
from hwnas.spaces.model_choice import ModelChoice
from hwnas.spaces.trial import takes_argument

_OF_A_SPACE = ("name", "parameters", "parse", "decode", "build")


def own_space(found: Any, target: str) -> Callable[..., Any]:
    """Give what makes spaces, from their settings, of something that the user has named.

    That is a class of spaces, or a function without arguments that gives one; a function of a
    trial, or a class of networks that are made of one; or a list, or dictionary, of models.

    Args:
        found: what bears the name.
        target: ``module:name``.

    Raises:
        InvalidValueError: it is something else.
    """
    from torch import nn

    if isinstance(found, list | tuple | Mapping):
        return partial(FunctionSpace, ModelChoice.of(found, target), target=target)
    if is_made_of_a_trial(found):
        return partial(FunctionSpace, found, target=target)
    is_network = isinstance(found, nn.Module) or _is_network_class(found)
    if is_network or not callable(found):
        raise InvalidValueError(
            f"`{target}` must be a function of a trial, a class of search spaces or a list of "
            f"models, but is {'a network' if is_network else f'a {type(found).__name__}'}: write "
            f"`def build(trial)` that gives one, and name that."
        )
    make: Callable[..., Any] = found
    if isinstance(found, type):
        return make
    if not takes_argument(found):
        return partial(_made, make, target)
    return partial(FunctionSpace, found, target=target)


def is_made_of_a_trial(found: Any) -> bool:
    """Tell whether something is a class of networks that takes a trial by that name."""
    return _is_network_class(found) and "trial" in inspect.signature(found).parameters


def _is_network_class(found: Any) -> bool:
    from torch import nn

    return isinstance(found, type) and issubclass(found, nn.Module)


def _made(make: Callable[..., Any], target: str, **settings: Any) -> Any:
    """Call a function that should give a space."""
    from torch import nn

    space = make(**settings)
    if isinstance(space, nn.Module) or not all(hasattr(space, name) for name in _OF_A_SPACE):
        given = "one network" if isinstance(space, nn.Module) else f"a {type(space).__name__}"
        raise InvalidValueError(
            f"`{target}` must give a search space where it takes no trial, but gave {given}: write "
            f"`def build(trial)`, which asks the trial for its choices."
        )
    return space
