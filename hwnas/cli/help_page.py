"""The help pages: what typer leaves to say, and short words where it takes the text's room."""

from __future__ import annotations

import inspect
import re
from typing import Any, get_type_hints

import typer

HELP_NAMES = {"help_option_names": ["-h", "--help"]}
_KINDS = {"str": "<str>", "int": "<int>", "float": "<float>", "Path": "<path>"}


def complete(group: typer.Typer) -> None:
    """Complete the help of a group and its commands."""
    group.info.context_settings = dict(HELP_NAMES)
    if isinstance(group.info.help, str):
        group.info.short_help = group.info.help
    for command in group.registered_commands:
        command.help = paragraphs(command.callback)
        command.short_help = re.split(r"\n\n| Example: ", command.help)[0]
        describe_options(command.callback)


def paragraphs(command: Any) -> str:
    """Give a command's docstring with one line a paragraph, which the terminal breaks anew."""
    return re.sub(r"(?<!\n)\n(?!\n)", " ", inspect.getdoc(command) or "")


def describe_options(command: Any) -> None:
    """Say which options may be given again, and name what they take by one short word."""
    hints = get_type_hints(command, include_extras=True)
    command.__annotations__ = hints  # texts would be read anew, and what is added here lost
    for hint in hints.values():
        option = getattr(hint, "__metadata__", (None,))[0]
        if option is not None:
            _describe(option, str(getattr(hint, "__origin__", "")))


def _describe(option: Any, kind: str) -> None:
    several = "list[" in kind
    if several and "Repeatable." not in (option.help or ""):
        before, default, after = (option.help or "").partition("[default")
        option.help = f"{before.rstrip()} Repeatable. {default}{after}".strip()
    # Else typer says `<list[str]>` and `<int range>`, which take the room of the text.
    if option.metavar is None and (several or option.min is not None or option.max is not None):
        words = re.findall(r"\w+", kind)
        option.metavar = next((_KINDS[word] for word in words if word in _KINDS), None)
