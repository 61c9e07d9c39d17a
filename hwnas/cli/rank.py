"""`hwnas rank`: how well proxies and ready-made scores rank networks of known accuracy."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from hwnas.cli.options import Images, Jobs
from hwnas.cli.output import note, one_line, print_json_lines, print_table
from hwnas.cli.progress import ProgressBar
from hwnas.errors import InvalidValueError, unknown_name
from hwnas.evaluation.cache import ResultCache

if TYPE_CHECKING:
    from hwnas.data.nasbench201 import Split
    from hwnas.rank_study.population import Population
    from hwnas.spaces.nasbench201 import Cell
    from hwnas.study.configuration import EvaluationSetup

_POPULATIONS = ("live", "all", "networks")
STABLE = 0.9
"""Spearman of two seeds' ranks below which a score is called unstable."""
_HEADERS = {
    "score": "score",
    "kind": "kind",
    "failed": "failed",
    "spearman": "Spearman ρ",
    "published_spearman": "published ρ",
    "kendall": "Kendall τ",
    "published_kendall": "published τ",
    "ndcg": "nDCG@{p}",
    "spearman_top10": "ρ top 10 %",
    "kendall_top10": "τ top 10 %",
    "spearman_top5": "ρ top 5 %",
    "kendall_top5": "τ top 5 %",
    "top10_top10": "top 10 %/10 %",
    "top64_top5": "top 64/5 %",
    "operation_bias": "bias ↓",
    "seed_stability": "seeds' ρ",
}


def rank(
    space: Annotated[str, typer.Option(help="Search space with known accuracies.")] = "nasbench201",
    dataset: Annotated[
        list[str] | None,
        typer.Option(help="cifar10, cifar100, ImageNet16-120. \\[default: cifar10]"),
    ] = None,
    split: Annotated[
        str,
        typer.Option(
            help="Accuracies to rank by: validation, test, or full-test (networks trained on all "
            "images, as in the papers' tables)."
        ),
    ] = "validation",
    scores: Annotated[
        Path | None,
        typer.Option(help="Table of `hwnas score --out`, instead of the shipped scores."),
    ] = None,
    population: Annotated[
        str,
        typer.Option(
            help="Of the shipped scores: live (cells without a dead operation), all cells, or "
            "networks (each different one once)."
        ),
    ] = "live",
    proxy: Annotated[
        list[str] | None, typer.Option(help="Proxy, ready-made score, or 'all' (default).")
    ] = None,
    sample: Annotated[
        int | None,
        typer.Option(min=2, help="Different networks to score now, instead of shipped scores."),
    ] = None,
    labels: Annotated[
        list[int] | None,
        typer.Option(
            min=1,
            help="Learn from this many cells as well, and rank the others; several give a curve.",
        ),
    ] = None,
    ndcg: Annotated[int, typer.Option(min=1, help="P of nDCG@P.")] = 1000,
    bootstrap: Annotated[
        int, typer.Option(min=0, help="Resamples for 95 % intervals; 0 for none.")
    ] = 0,
    seed: Annotated[int, typer.Option(min=0, help="Seed of everything random.")] = 0,
    second_seed: Annotated[
        int | None,
        typer.Option(min=0, help="Score the sample with this seed too, to compare the ranks."),
    ] = None,
    jobs: Jobs = 1,
    batch: Annotated[int, typer.Option(min=2, help="Images of the proxies' input.")] = 16,
    images: Images = "gaussian",
    data: Annotated[
        Path | None, typer.Option(help="Folder of published data. \\[default: HWNAS_DATA]")
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(help="Write a self-contained page with the metrics as bars: .html."),
    ] = None,
    markdown: Annotated[bool, typer.Option(help="Print tables in Markdown.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")] = False,
) -> None:
    """Compare proxies and ready-made scores with published accuracies.

    Without --sample or --scores it ranks the whole space by the scores that ship with hwnas, which
    takes seconds, and prints what papers report for the same population beside it. What --sample
    scores is kept, so that the same command goes on where an interrupted one stopped.

    Example: hwnas rank --dataset cifar10 --dataset ImageNet16-120 --bootstrap 100
    """
    from hwnas.data.nasbench201 import accuracies
    from hwnas.rank_study.population import scored_sample
    from hwnas.rank_study.rows import Truth, learned_rows, score_rows
    from hwnas.ranking.published import TEST_ACCURACIES
    from hwnas.spaces.space_text import read_space
    from hwnas.study.configuration import EvaluationSetup
    from hwnas.tasks.catalogue import get_task

    _check(space, jobs, markdown and as_json)
    if plot is not None and plot.suffix != ".html":
        raise InvalidValueError(f"`--plot` must end in .html, but got {plot.name!r}.")
    _check_choice(scores, sample, second_seed, population)
    if scores is not None and images != "gaussian":
        raise InvalidValueError(
            "`--images` must not be given with --scores, but got both: what is in the file is "
            "ranked."
        )
    tasks = [get_task(name) for name in dict.fromkeys(dataset or ["cifar10"])]
    names = _proxies(proxy or ["all"])
    truths = {d.name: accuracies(d.name, cast("Split", split), data) for d in tasks}
    setups = [EvaluationSetup(read_space(space), t, batch, seed, data, images) for t in tasks]
    if scores is not None:
        populations = dict.fromkeys(truths, _read(scores, setups[0], names))
    elif sample is None:
        populations = dict.fromkeys(truths, _shipped(setups[0], population, names))
    else:
        with ResultCache.default() as cache, ProgressBar() as bar:
            populations = {
                setup.task.name: scored_sample(
                    setup,
                    names or ["all"],
                    sample,
                    second_seed=second_seed,
                    cache=cache,
                    jobs=jobs,
                    report=bar,
                )
                for setup in setups
            }
    every: list[dict[str, Any]] = []
    for name, members in populations.items():
        truth = Truth(name, split, truths[name])
        rows = score_rows(members, truth, p=ndcg, resamples=bootstrap, seed=seed)
        for number in dict.fromkeys(labels or []):
            rows += learned_rows(members, truth, number, p=ndcg, seed=seed)
        every += rows
        if as_json:
            print_json_lines(rows)
        else:
            _print(rows, members.origin, markdown)
    if split != "full-test" and any(row.get("published_kendall") is not None for row in every):
        note(TEST_ACCURACIES)
    if plot is not None:
        from hwnas.reports.rank_plot import write_rank_plot

        write_rank_plot(every, plot)
        note(f"Plot: {plot}")


def _check(space: str, jobs: int, both: bool) -> None:
    from hwnas import registry

    if space not in registry.names("spaces"):
        raise unknown_name("space", space, registry.names("spaces"))
    if space != "nasbench201":
        raise InvalidValueError(
            f"`--space` must have published accuracies, as nasbench201 has, but got {space!r}."
        )
    if jobs == 0:
        raise InvalidValueError("`--jobs` must not be 0: use 1, or -1 for all cores.")
    if both:
        raise InvalidValueError(
            "`--markdown` must not be given with --json, but got both: choose one."
        )


def _check_choice(
    scores: Path | None, sample: int | None, second_seed: int | None, population: str
) -> None:
    if population not in _POPULATIONS:
        raise unknown_name("population", population, _POPULATIONS)
    if scores is not None and not (sample is None and second_seed is None):
        raise InvalidValueError(
            "`--sample` and `--second-seed` must not be given with --scores, but got both: what "
            "is in the file is ranked."
        )
    if population != "live" and not (scores is None and sample is None):
        raise InvalidValueError(
            "`--population` must be given without --scores and --sample, but got both: it chooses "
            "among the shipped scores."
        )
    if second_seed is not None and sample is None:
        raise InvalidValueError(
            "`--second-seed` must be given with --sample, but got it alone: it scores networks."
        )


def _proxies(names: Sequence[str]) -> list[str] | None:
    """Replace ready-made scores by their proxies; None stands for all there are."""
    from hwnas.proxies import proxy_names
    from hwnas.rank_study.model_recipes import MODEL_RECIPES
    from hwnas.ranking.recipes import RECIPES

    parts = {name: recipe.proxies for name, recipe in RECIPES.items()}
    parts |= {name: model.proxies for name, model in MODEL_RECIPES.items()}
    known = ["all", *proxy_names(), *parts]
    for name in names:
        if name.partition(":")[0] not in known:
            raise unknown_name("proxy", name, known)
    if "all" in names:
        return None
    # A learned ranking of graphs alone needs no proxy: then all there are do no harm.
    return list(dict.fromkeys(p for n in names for p in parts.get(n, (n,)))) or None


def _columns(names: Sequence[str] | None) -> list[str] | None:
    from hwnas.proxies import make_proxies

    return None if names is None else [proxy.name for proxy in make_proxies(names)]


def _shipped(setup: EvaluationSetup[Cell], which: str, names: list[str] | None) -> Population[Cell]:
    from hwnas.rank_study.population import shipped_population
    from hwnas.spaces.nasbench201 import NasBench201
    from hwnas.tables.shipped import shipped_scores

    scores = shipped_scores(setup.space.name, "cifar10", setup.images)
    if scores is None:
        raise InvalidValueError(
            "`--sample` or `--scores` must be given, since no such scores are shipped: "
            "try --sample 256."
        )
    space = NasBench201()
    members = {
        "live": lambda cell: cell.is_live(),
        "all": lambda _: True,
        "networks": lambda cell: space.representative(cell) == cell,
    }
    return shipped_population(space, scores, members[which], setup.seed, _columns(names))


def _read(file: Path, setup: EvaluationSetup[Cell], names: list[str] | None) -> Population[Cell]:
    from hwnas.rank_study.population import shuffled
    from hwnas.tables.score_table import read_scores

    table = read_scores(file, setup.space, _columns(names))
    if table.ignored:
        note(f"columns left alone, as they are no proxies wanted: {', '.join(table.ignored)}.")
    if table.repeated:
        note(f"{table.repeated} repeated rows were left out.")
    if not table.counted:
        note(f"{file} does not count its rows: whether it is whole is not known.")
    return shuffled(table, file, setup.seed)


def _print(rows: list[dict[str, Any]], origin: str, markdown: bool) -> None:
    shown = [name for name in _HEADERS if name in rows[0]]
    headers = [_HEADERS[name].format(p=rows[0]["ndcg_p"]) for name in shown]
    body = [[_cell(row, name) for name in shown] for row in rows]
    title = f"{_describe(rows[0])}; {origin}"
    if not markdown:
        print_table(headers, body, title)
        return
    lines = [
        one_line(title),
        "",
        *(_line(cells) for cells in (headers, ["---"] * len(headers), *body)),
    ]
    sys.stdout.write("\n".join(lines) + "\n\n")


def _describe(row: dict[str, Any]) -> str:
    """State the data set, how many cells there are, and of which kind."""
    n, live = row["n"], row["live"]
    whole = {(15_625, 9_445): "all 15,625 cells", (9_445, 9_445): "all live cells"}
    cells = whole.get((n, live), f"{n:,} cells")
    return (
        f"{row['dataset']}, {row['split']} accuracy: {cells}, {live:,} of them live, "
        f"{row['networks']:,} different networks"
    )


def _cell(row: dict[str, Any], name: str) -> Any:
    value = row.get(name)
    if value is None:
        return "–"
    if not isinstance(value, float):
        return value
    text = "–" if value != value else f"{value:.1f}" if name == "top64_top5" else f"{value:.3f}"
    if name == "seed_stability" and value < STABLE:
        text += " unstable"
    interval = row.get(f"{name}_95")
    return f"{text} [{interval[0]:.3f}, {interval[1]:.3f}]" if interval else text


def _line(cells: Sequence[Any]) -> str:
    return "| " + " | ".join(str(cell) for cell in cells) + " |"
