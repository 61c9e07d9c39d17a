"""Search spaces from their texts: a name, or what a result file carries.

A text is never executed. It names a registered space, ``nasbench201:channels=16,cells=5`` or
``NasBench201(channels=16, cells=5)``; or a class of the user's own, ``my_module:MySpace(k=2)``,
a function of a trial, ``my_module:build:input=1x96x96,classes=7``, or a list of models, which are
imported only where the user names them, never because a file does.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping
from typing import Any

from hwnas import registry
from hwnas.errors import HwnasError, InvalidValueError, UnknownNameError
from hwnas.files.grammar import Component, read_component
from hwnas.networks.importing import import_attribute
from hwnas.spaces.functions import FunctionSpace, sizes_of
from hwnas.spaces.own import own_space
from hwnas.tasks.task import Task
from hwnas.typing import Arch, SearchSpace

_SPELLED = re.compile(r"\s*([^\W\d][\w.]*):([^\W\d]\w*)((?:[:(].*)?)\s*", re.DOTALL)
_named: dict[str, Any] = {}
"""What makes the spaces that the user named in this process, by ``module:name``."""


def insist_on_space(given: object) -> None:
    """Refuse what only stands for a space.

    Raises:
        InvalidValueError: it is its name or its class.
    """
    if isinstance(given, str):
        raise InvalidValueError(
            f"`space` must be a search space, but got the text {given!r}: make it by "
            f"hwnas.spaces.space_text.named_space({given!r})."
        )
    if isinstance(given, type):
        raise InvalidValueError(
            f"`space` must be a search space, but got the class {given.__name__}: call it."
        )


def named_space(text: str) -> SearchSpace[Any]:
    """Make the space that the user names: a registered one, or one of their own with settings.

    Raises:
        InvalidValueError: the text has another form, or the space refuses the settings.
        UnknownNameError: no such space is registered.
    """
    permit(text)
    return read_space(text)


def permit(text: str) -> None:
    """Import what the user names, from the current folder too: files of it are read from then on.

    A registered name needs no import.

    Raises:
        InvalidValueError: there is no such module, or nothing of a space in it.
    """
    spelled = _SPELLED.fullmatch(text)
    if spelled and spelled[1] not in registry.targets("spaces"):
        target = f"{spelled[1]}:{spelled[2]}"
        _named[target] = own_space(import_attribute(spelled[1], spelled[2], "space"), target)


def keep(space: FunctionSpace) -> None:
    """Read files of a function's space from now on: the user has it in this process."""
    _named[space.target] = own_space(space.function, space.target)


def is_own(text: str) -> bool:
    """Tell whether a text names something in a module of the user's own; nothing is imported."""
    return _own(text) is not None


def is_function(text: str) -> bool:
    """Tell whether the user names a function of a trial, or a list of models; import it.

    What is neither, or cannot be imported, is for those who read it as a network to tell.
    """
    try:
        permit(text)
    except InvalidValueError:
        return False
    target, _ = _own(text) or ("", "")
    return getattr(_named.get(target), "func", None) is FunctionSpace


def sized_text(text: str, task: Task | None) -> str:
    """Give the text of a space that the user names with the sizes of a task, where it lacks them.

    Only functions of a trial are told by their sizes; other spaces build for any task.

    Args:
        text: what the user names.
        task: what they are for; None if nothing is said of it.

    Raises:
        InvalidValueError: a function needs them, and there are none.
    """
    permit(text)
    if not is_function(text):
        return text
    target, rest = _own(text) or ("", "")
    settings = read_component(target.rpartition(":")[2] + rest, "space").settings
    if "input" in settings and "classes" in settings:
        return text
    if task is None:
        raise InvalidValueError(
            f"`--input` and `--classes` must be given for {target}, since a function does not say "
            f"them, e.g. --input 1,96,96 --classes 7, or {target}:input=1x96x96,classes=7."
        )
    words = {**sizes_of(task), **settings}
    return f"{target}:{','.join(f'{name}={value}' for name, value in words.items())}"


def read_space(text: str) -> SearchSpace[Any]:
    """Make the space that the text of a file stands for.

    Raises:
        InvalidValueError: the text has another form, the space refuses the settings, or it is of a
            class that the user has not named.
        UnknownNameError: no such space is registered or was named.
    """
    if (own := _own(text)) is not None:
        target, rest = own
        component = read_component(target.rpartition(":")[2] + rest, "space")
        if target in _named:
            return _made(target, component)
        for name, known in registry.targets("spaces").items():
            if known == target:
                return _made(name, component)
        raise InvalidValueError(
            f"`space` {target} must be registered, or named for its module to be imported, but "
            f"is neither: add --space {target}."
        )
    component = read_component(text, "space")
    try:
        table = {**registry.targets("spaces"), **{target: target for target in _named}}
        return _made(_found(component.name, table), component)
    except UnknownNameError as error:
        if component.name in registry.names("spaces"):
            raise
        raise UnknownNameError(
            f"{error} One of your own is named by --space MODULE:CLASS."
        ) from None


def written_space(space: SearchSpace[Arch]) -> str:
    """Give the text of a space for files: one that `read_space` makes it of again, if there is one.

    That is its `repr` or its registered name, or else its `repr` after the module of its class.
    What wraps a space is written as the space.
    """
    space = getattr(space, "wrapped", space)
    text = repr(space)
    for known in (text, space.name):
        with contextlib.suppress(HwnasError, TypeError):
            component = read_component(known, "space")
            name = _found(component.name, registry.targets("spaces"))
            if repr(registry.make("spaces", name, **component.settings)) == text:
                return known
    spelled = f"{type(space).__module__}:{text}"
    with contextlib.suppress(InvalidValueError):
        if text.startswith(f"{type(space).__name__}(") and read_component(text, "space"):
            return spelled
    return text


def _own(text: str) -> tuple[str, str] | None:
    """Split ``module:name`` of the user's own from its settings; None for a registered name."""
    for target in _named:
        if text.startswith(target) and text[len(target) :][:1] in ("", ":", "("):
            return target, text[len(target) :]
    spelled = _SPELLED.fullmatch(text)
    if spelled and spelled[1] not in registry.targets("spaces"):
        return f"{spelled[1]}:{spelled[2]}", spelled[3]
    return None


def _made(name: str, component: Component) -> SearchSpace[Any]:
    space: SearchSpace[Any]
    if name in _named:
        _insist_on_sizes(name, component.settings)
        space = registry.make_of(_named[name], "space", name, **component.settings)
    else:
        space = registry.make("spaces", name, **component.settings)
    return space


def _insist_on_sizes(target: str, settings: Mapping[str, Any]) -> None:
    """Refuse a function of a trial that is not told what its networks are for."""
    sized = {"input", "classes"} <= settings.keys()
    if not sized and getattr(_named[target], "func", None) is FunctionSpace:
        raise InvalidValueError(
            f"`{target}` must be told input and classes, since a function does not say them: "
            f"write {target}:input=1x96x96,classes=7."
        )


def _found(name: str, table: Mapping[str, str]) -> str:
    """Find the name of a class in a table of spaces; names stand for themselves."""
    if name in table:
        return name
    return next((key for key, target in table.items() if target.endswith(f":{name}")), name)
