"""`hwnas spaces`, `hwnas proxies` and `hwnas costs`: what there is, by name."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from hwnas import registry
from hwnas.cli.output import note, print_json_lines, print_table
from hwnas.errors import MissingDependencyError

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")]


_JOINED = {"log": "log ranks", "sum": "ranks", "vote": "votes"}


def spaces(as_json: AsJson = False) -> None:
    """List the search spaces. Example: hwnas spaces."""
    from hwnas.spaces.facets import Listing, facet

    rows = []
    for name in registry.names("spaces"):
        space = registry.load("spaces", name)()
        members = facet(space, Listing)
        size = None if members is None else len(members)
        rows.append(
            {"space": name, "architectures": size, "parameters": len(space.parameters)}
            | {"description": _summary(space)}
        )
    _show(rows, as_json)


def proxies(as_json: AsJson = False) -> None:
    """List the proxies and ready-made scores. Example: hwnas proxies --json."""
    from hwnas.proxies import make_proxies
    from hwnas.ranking.recipes import RECIPES

    rows = [
        {"name": p.name, "kind": "proxy", "direction": p.direction, "description": _summary(p)}
        for p in make_proxies(["all"])
    ]
    rows += [
        {
            "name": name,
            "kind": "score",
            "direction": "maximize",
            "description": f"{_JOINED[recipe.method]} of {', '.join(recipe.proxies)}",
        }
        for name, recipe in RECIPES.items()
    ]
    _show(rows, as_json)


def costs(as_json: AsJson = False) -> None:
    """List the costs as SOURCE:DEVICE:METRIC. Example: hwnas costs."""
    from hwnas.costs.source import FileCostSource, get_source, source_names

    rows = []
    for name in source_names():
        source = get_source(name)
        if isinstance(source, FileCostSource):
            rows.append({"cost": f"{name}:FILE", "unit": "as in the file", "direction": "minimize"})
            continue
        try:
            options = source.options()
        except MissingDependencyError as error:
            note(str(error))
            continue
        for option in options:
            rows.append(
                {
                    "cost": f"{name}:{option.device}:{option.metric}",
                    "unit": option.unit,
                    "direction": option.direction,
                }
            )
    _show(rows, as_json)


def _summary(value: Any) -> str:
    return (type(value).__doc__ or "").strip().partition("\n")[0]


def _show(rows: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        print_json_lines(rows)
    else:
        print_table(list(rows[0]), [list(row.values()) for row in rows])
