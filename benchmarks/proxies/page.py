"""Write docs/proxies.md: the proxies and ready-made scores, with where each is documented.

python benchmarks/proxies/page.py
"""

from __future__ import annotations

from pathlib import Path

from hwnas.proxies import make_proxies
from hwnas.ranking.recipes import RECIPES

PAGE = Path(__file__).resolve().parents[2] / "docs/proxies.md"
HEAD = """# Proxies

A proxy scores a network as it is initialised, without training. `hwnas proxies` lists them; each is
defined on any `torch.nn.Module` that its formula has a meaning for, and says in one sentence where
it has none. What is asked for together shares forward and backward passes. What each costs and how
well it ranks is in [Measurements](measurements.md#time-of-the-proxies).
"""
JOINED = """
## Ready-made scores

They join the ranks of several proxies, in a search among a fixed, seeded sample of 256
architectures.
"""


def page() -> str:
    """Give the page's text."""
    rows = ["| proxy | what it is | better | documented in |", "| --- | --- | --- | --- |"]
    modules: dict[str, str] = {}
    for proxy in make_proxies(["all"]):
        module = type(proxy).__module__
        short = module.rpartition(".")[2]
        modules[module] = short
        said = (type(proxy).__doc__ or "").strip().partition("\n")[0].replace("|", "\\|")
        better = "larger" if proxy.direction == "maximize" else "smaller"
        rows.append(f"| `{proxy.name}` | {said} | {better} | [{short}](#{module}) |")
    scores = ["| score | joins | source |", "| --- | --- | --- |"]
    for name, recipe in RECIPES.items():
        parts = ", ".join(f"`{proxy}`" for proxy in recipe.proxies)
        scores.append(f"| `{name}` | {parts} | {recipe.source} |")
    sections = "\n\n".join(f"::: {module}" for module in modules)
    table, joined = "\n".join(rows), "\n".join(scores)
    return f"{HEAD}\n{table}\n{JOINED}\n{joined}\n\n## Formulas and sources\n\n{sections}\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
