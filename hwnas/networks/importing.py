"""A user's own network by its name on the command line."""

from __future__ import annotations

import difflib
import importlib
import os
import re
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import TYPE_CHECKING

from hwnas.errors import InvalidValueError
from hwnas.seeding import numbers_seeded, seeded
from hwnas.typing import InShape

if TYPE_CHECKING:
    from torch import nn

_SIZE = re.compile(r"\d{1,9}", re.ASCII)


def load_model(spec: str, seed: int = 0) -> nn.Module:
    """Import and call what ``module:callable`` names; the current folder can be imported from.

    Args:
        spec: e.g. ``my_models:build_net``; the callable is called without arguments and gives the
            network. A class of networks is such a callable.
        seed: of the weights that it draws; what is drawn on import is drawn before.

    Returns:
        The network, as the callable made it.

    Raises:
        InvalidValueError: the text has another form, the module or the attribute is missing, or
            the attribute does not give a network; the user's own exception is its cause.
    """
    from torch import nn

    module_name, colon, attribute = spec.partition(":")
    if not (module_name and colon and attribute):
        raise InvalidValueError(
            f"`model` must be MODULE:CALLABLE, e.g. 'my_models:build_net', but got {spec!r}."
        )
    factory = import_attribute(module_name, attribute, "model")
    if not callable(factory) or isinstance(factory, nn.Module):
        raise InvalidValueError(
            f"`model` {spec!r} must name a function or class that gives the network when called "
            f"without arguments, but it is a {type(factory).__name__}."
        )
    try:
        with seeded(seed), numbers_seeded(seed):
            model = factory()
    except TypeError as error:
        raise InvalidValueError(
            f"`model` {spec!r} must be callable without arguments, but the call failed: {error}. "
            f"Of a function of a trial `hwnas profile` takes the choices of one network by --arch."
        ) from error
    except (Exception, SystemExit) as error:  # whatever the user's code raises
        raise InvalidValueError(
            f"`model` {spec!r} must give a network, but raised {type(error).__name__}: {error}"
        ) from error
    if not isinstance(model, nn.Module):
        raise InvalidValueError(
            f"`model` {spec!r} must give a torch.nn.Module, but gave a {type(model).__name__}."
        )
    return model


class NamedModel:
    """Makes what ``module:callable`` names; where a copy is received, its module is imported.

    That is where what a call needs is imported, which is no part of the call's time.

    Args:
        spec: see `load_model`.
    """

    def __init__(self, spec: str) -> None:
        self.spec = spec

    def __call__(self) -> nn.Module:
        """Import and call it; errors as of `load_model`."""
        return load_model(self.spec)

    def __reduce__(self) -> tuple[Callable[[str], NamedModel], tuple[str]]:
        return _received, (self.spec,)


def _received(spec: str) -> NamedModel:
    module_name, _, attribute = spec.partition(":")
    with suppress(InvalidValueError):  # the call says it
        import_attribute(module_name, attribute, "model")
    return NamedModel(spec)


def import_attribute(module_name: str, attribute: str, kind: str) -> object:
    """Import what the user names; the current folder can be imported from.

    Args:
        module_name: module, e.g. ``my_models``.
        attribute: name in it.
        kind: what it stands for, for errors, e.g. ``model``.

    Raises:
        InvalidValueError: the module or the attribute is missing, or the module raises.
    """
    here = os.getcwd()
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise InvalidValueError(
            f"`{kind}` must name a module that can be imported from {here}, but importing "
            f"{module_name!r} failed: there is no module {error.name!r}."
        ) from error
    except (Exception, SystemExit) as error:  # whatever the user's code raises
        raise InvalidValueError(
            f"`{kind}` must name a module that can be imported, but {module_name!r} raised "
            f"{type(error).__name__}: {error}"
        ) from error
    if not hasattr(module, attribute):
        raise InvalidValueError(
            f"`{kind}` must name an attribute of module {module_name!r} ({module.__file__}), but "
            f"it has no {attribute!r}.{_closest(attribute, vars(module))}"
        )
    return getattr(module, attribute)


def _closest(attribute: str, names: Iterable[str]) -> str:
    """Suggest what may be meant."""
    close = difflib.get_close_matches(attribute, list(names), n=1)
    return f" Did you mean {close[0]!r}?" if close else ""


def parse_in_shape(text: str) -> InShape:
    """Read the shape of one image, e.g. ``3,32,32``.

    Raises:
        InvalidValueError: the text is not three positive whole numbers joined by commas.
    """
    parts = [part.strip() for part in text.split(",")]
    if len(parts) != 3 or not all(part.isascii() and part.isdigit() for part in parts):
        raise InvalidValueError(f"`input` must be C,H,W, e.g. '3,32,32', but got {text!r}.")
    channels, height, width = (int(part) for part in parts)
    if min(channels, height, width) < 1:
        raise InvalidValueError(f"`input` must be positive in C, H and W, but got {text!r}.")
    return channels, height, width


def parse_sizes(text: str, option: str = "input") -> tuple[int, ...]:
    """Read a shape of any rank, e.g. ``16`` or ``3,32,32``, or numbers of another `option`.

    Raises:
        InvalidValueError: the text is not positive whole numbers of at most nine digits, joined by
            commas.
    """
    parts = [part.strip() for part in text.split(",")]
    if not all(_SIZE.fullmatch(part) and int(part) > 0 for part in parts):
        raise InvalidValueError(
            f"`{option}` must be positive whole numbers of at most nine digits, e.g. 3,32,32, "
            f"but got {text!r}."
        )
    return tuple(map(int, parts))
