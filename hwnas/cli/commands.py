"""The commands by name: each is imported when it is asked for, since all take time to import."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import cache
from typing import Any

import typer

from hwnas.cli.help_page import complete, describe_options


def _profile() -> typer.Typer:
    from hwnas.cli import profile, profile_elsewhere

    describe_options(profile.profile)
    profile_elsewhere.app.callback(invoke_without_command=True)(profile.profile)
    return profile_elsewhere.app


def _pareto() -> typer.Typer:
    from hwnas.cli import pareto, verify

    pareto.app.command("verify")(verify.verify)
    return pareto.app


def _predict() -> typer.Typer:
    from hwnas.cli import predict, predict_build

    predict.app.command("build")(predict_build.build)
    return predict.app


def _data() -> typer.Typer:
    from hwnas.cli import data

    return data.app


_GROUPS: dict[str, Callable[[], typer.Typer]] = {
    "profile": _profile, "pareto": _pareto, "predict": _predict, "data": _data,
}  # fmt: skip
_COMMANDS = {
    "search": "search", "worker": "worker", "score": "score", "rank": "rank",
    "spaces": "listing", "proxies": "listing", "costs": "listing", "samplers": "listing",
    "doctor": "doctor",
}  # fmt: skip
"""Modules that hold a function of the command's name."""


def register(app: typer.Typer, first: str) -> None:
    """Add the command that the first word names; all where it is another word, as for help.

    Args:
        app: the command line.
        first: first word behind ``hwnas``.
    """
    known = (*_GROUPS, *_COMMANDS)
    for name in (first,) if first in known else known:
        _add(app, name)
    for added in (app.registered_groups, app.registered_commands):
        added.sort(key=lambda info: known.index(str(info.name)))
    complete(app)


@cache
def _add(app: typer.Typer, name: str) -> None:
    if name in _GROUPS:
        group = _GROUPS[name]()
        complete(group)
        app.add_typer(group, name=name)
        return
    module: Any = importlib.import_module(f"hwnas.cli.{_COMMANDS[name]}")
    app.command(name)(getattr(module, name))
