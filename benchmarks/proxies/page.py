"""Write docs/proxies.md, and give the text of a page for each proxy to the documentation's site.

    python benchmarks/proxies/page.py

A page joins what the class says of itself with docs/figures, see benchmarks/proxies/figures.py.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from benchmarks.proxies.picture import Pair, tau_picture
from hwnas.proxies import make_proxies, make_proxy, proxy_names
from hwnas.ranking.recipes import RECIPES

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = DOCS / "proxies.md"
HEAD = """# Proxies

A proxy scores a network as it is initialised, without training. `hwnas proxies` lists them; each is
defined on any `torch.nn.Module` that its formula has a meaning for, and says in one sentence where
it has none. What is asked for together shares forward and backward passes. The site (`make docs`)
has a page a proxy, with formula, source, cost and figures; here a name leads to its code. What each
costs beside others is in [Measurements](measurements.md#time-of-the-proxies).
"""
JOINED = """
## Ready-made scores

They join the ranks of several proxies, in a search among a fixed, seeded sample of 256
architectures.
"""
BESIDE = "params"
"""What a score must be better than to be worth its passes."""
SPLITS = {"validation": "validation", "full-test": "test, trained on all images"}


def page() -> str:
    """Give the overview's text."""
    rows = ["| proxy | what it is | better |", "| --- | --- | --- |"]
    for proxy in make_proxies(["all"]):
        path = type(proxy).__module__.replace(".", "/")
        said = _first_line(proxy).replace("|", "\\|")
        rows.append(f"| [`{proxy.name}`](../{path}.py) | {said} | {_better(proxy)} |")
    scores = ["| score | joins | source |", "| --- | --- | --- |"]
    for name, recipe in RECIPES.items():
        parts = ", ".join(f"`{member}`" for member in recipe.members)
        scores.append(f"| `{name}` | {parts} | {recipe.source} |")
    table, joined = "\n".join(rows), "\n".join(scores)
    return f"{HEAD}\n{table}\n{JOINED}\n{joined}\n"


def proxy_pages() -> dict[str, str]:
    """Give the text of each registered proxy's page by its name."""
    return {name: proxy_page(name) for name in proxy_names()}


def proxy_page(name: str) -> str:
    """Give the text of one proxy's page."""
    proxy: Any = make_proxy(name)
    first, *facts = [f"| {what} | {value} |" for what, value in _facts(name, proxy)]
    parts = [
        f"# {name}",
        _first_line(proxy),
        "\n".join([first, "| --- | --- |", *facts]),
        f"## Where it ranks well\n\n{_ranks(name)}",
        f"## Formula and source\n\n{_documented(type(proxy))}",
        f"The family, `{type(proxy).__module__}`:\n\n{_documented(type(proxy), whole_file=True)}",
    ]
    if signals := sorted({type(signal) for signal in proxy.needs}, key=lambda kind: kind.__name__):
        asked = "\n\n".join(_documented(signal, heading=True) for signal in signals)
        parts.append(f"## What it asks of a pass\n\n{asked}")
    return "\n\n".join(parts) + "\n"


def _first_line(proxy: Any) -> str:
    return (type(proxy).__doc__ or "").strip().partition("\n")[0]


def _better(proxy: Any) -> str:
    """Say which values are better, and in which ready-made scores it is the others."""
    ways = ("larger", "smaller") if proxy.direction == "maximize" else ("smaller", "larger")
    others = [f"`{name}`" for name, recipe in RECIPES.items() if proxy.name in recipe.opposed]
    return f"{ways[0]}; {ways[1]} in {', '.join(others)}" if others else ways[0]


def _facts(name: str, proxy: Any) -> Iterator[tuple[str, str]]:
    yield "better", _better(proxy)
    own = getattr(proxy, "own_images", None)
    yield "images", {None: "those of `--batch`", 0: "none"}.get(own, f"{own} of its own")
    if (surrogate := getattr(proxy, "surrogate", None)) is not None:
        yield "scores", f"a small network of the same architecture, `{surrogate}`"
    if (passes := _passes().get(name)) is not None:
        yield "cost alone", f"{passes} passes forward and backward of 64 images"
    joined = [f"`{recipe}`" for recipe, of in RECIPES.items() if name in of.proxies]
    if joined:
        yield "part of", ", ".join(joined)
    yield "on the command line", f"`hwnas score --sample 10 --proxy {name}`"


def _documented(kind: type, *, heading: bool = False, whole_file: bool = False) -> str:
    """Let mkdocstrings write what a class, or its file, says of itself."""
    named = kind.__module__ if whole_file else f"{kind.__module__}.{kind.__qualname__}"
    options = ["    options:", "      members: false"]
    shown = ["      heading_level: 3"] if heading else ["      show_root_heading: false"]
    return "\n".join([f"::: {named}", *options, *shown])


def _ranks(name: str) -> str:
    figures = _figures()
    rows, pairs = [], []
    for (proxy, *where), (networks, tau) in figures.items():
        if proxy == name:
            space, dataset, split = where
            _, other = figures.get((BESIDE, space, dataset, split), ("", "nan"))
            said = SPLITS.get(split, split)
            rows.append(
                f"| {space} | {dataset} | {said} | {networks} | {_shown(tau)} | {_shown(other)} |"
            )
            label = f"{space}, {dataset}, {split}"
            pairs.append(Pair(label, *(None if t == "nan" else float(t) for t in (tau, other))))
    if not rows:
        return "Nobody has ranked a benchmark by it here yet: `hwnas rank --sample` does."
    head = f"| space | data set | accuracies | networks | Kendall's τ | of {BESIDE} |"
    rule = "| --- | --- | --- | --- | --- | --- |"
    said = f"Kendall's τ-b with accuracies of trained networks, and that of `{BESIDE}` there."
    more = "How they were made: [Measurements](../measurements.md#ranking)."
    picture = f'<div style="overflow-x:auto">{tau_picture(name, BESIDE, pairs)}</div>'
    return f"{said} {more}\n\n{picture}\n\n" + "\n".join([head, rule, *rows])


def _shown(tau: str) -> str:
    """Show that there is none where the proxy is not defined or the same for all."""
    return "–" if tau == "nan" else tau


@cache
def _figures() -> Mapping[tuple[str, str, str, str], tuple[str, str]]:
    """Give (networks, τ) by (proxy, space, data set, split)."""
    with (DOCS / "figures/proxies.csv").open(encoding="utf-8") as file:
        return {
            (row["proxy"], row["space"], row["dataset"], row["split"]): (
                row["networks"],
                row["kendall"],
            )
            for row in csv.DictReader(file)
        }


@cache
def _passes() -> Mapping[str, str]:
    with (DOCS / "figures/passes.csv").open(encoding="utf-8") as file:
        return {row["proxy"]: row["passes"] for row in csv.DictReader(file)}


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
