"""`hwnas rank`: how well proxies and ready-made scores rank networks of known accuracy."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hwnas.cli.messages import one_line
from hwnas.cli.options import (
    Classes,
    Images,
    Input,
    Jobs,
    Reduced,
    Transfer,
    chosen_networks,
    names_function,
)
from hwnas.cli.output import note, print_json_lines, print_table, print_text, stability_text
from hwnas.cli.plan import Planned
from hwnas.cli.progress import progress
from hwnas.errors import InvalidValueError

if TYPE_CHECKING:
    from hwnas.rank_study.study import Ranked

_HEADERS = {
    "score": "score",
    "kind": "kind",
    "kendall_gain": "τ gain",
    "spearman": "Spearman ρ",
    "published_spearman": "published ρ",
    "kendall": "Kendall τ",
    "published_kendall": "published τ",
    "ndcg": "nDCG@{p}",
    "published_ndcg": "published nDCG",
    "failed": "failed",
    "spearman_top10": "ρ top 10 %",
    "published_spearman_top10": "published",
    "kendall_top10": "τ top 10 %",
    "published_kendall_top10": "published",
    "spearman_top5": "ρ top 5 %",
    "kendall_top5": "τ top 5 %",
    "top10_top10": "top 10 %/10 %",
    "published_top10_top10": "published",
    "top64_top5": "top 64/5 %",
    "published_top64_top5": "published",
    "best_accuracy": "best by it",
    "published_best_accuracy": "published",
    "best_loss": "best by it",
    "operation_bias": "bias ↓",
    "published_operation_bias": "published",
    "front_members": "front",
    "front_tight_hypervolume": "front's tight HV",
    "front_recall": "front's recall",
    "seed_stability": "seeds' ρ",
}

Space = Annotated[
    str,
    typer.Option(
        "--space",
        "--model",
        help="Search space: see `hwnas spaces`, or MODULE:CLASS; or MODULE:FUNCTION of a trial, "
        "with --input and --classes.",
    ),
]
Dataset = Annotated[
    list[str] | None,
    typer.Option(
        help="Data sets or tasks, e.g. cifar10, cifar100, ImageNet16-120, class_object. "
        "Repeatable. [default: the space's usual one]"
    ),
]
Split = Annotated[
    str | None,
    typer.Option(
        help="Accuracies to rank by; for nasbench201 validation, test, or full-test (networks "
        "trained on all images, as in the papers' tables). [default: the space's first]"
    ),
]
TruthFile = Annotated[
    Path | None,
    typer.Option(
        "--truth",
        help="Table with the columns architecture and accuracy (percent), or loss (less is "
        "better), instead of what the space knows; or FILE:COLUMN.",
    ),
]
Scores = Annotated[
    Path | None,
    typer.Option(help="Table of `hwnas score --out`, instead of the shipped scores."),
]
Population = Annotated[
    str | None,
    typer.Option(
        help="Of the shipped scores: live (architectures without a dead operation), all, or "
        "networks (each different one once). [default: live]"
    ),
]
Proxies = Annotated[
    list[str] | None,
    typer.Option(
        "--proxy",
        "--objective",
        help="Proxy, ready-made score, or 'all' (default); of --scores also a column of your own, "
        "or -COLUMN where less is better.",
    ),
]
Sample = Annotated[
    int | None,
    typer.Option(min=2, help="Different networks to score now, instead of shipped scores."),
]
Labels = Annotated[
    list[int] | None,
    typer.Option(
        min=1,
        help="Learn from this many architectures as well, and rank the others; several give a "
        "curve.",
    ),
]
Ndcg = Annotated[int, typer.Option(min=1, help="P of nDCG@P.")]
Bootstrap = Annotated[int, typer.Option(min=0, help="Resamples for 95 % intervals; 0 for none.")]
Against = Annotated[
    str | None,
    typer.Option(
        help="Score that the others are compared with: the difference of Kendall's τ, whose "
        "interval of --bootstrap is paired."
    ),
]
Cost = Annotated[
    str | None,
    typer.Option(
        help="Cost, as `hwnas search` takes it: rate the front that each score has with it, "
        "without an evaluation."
    ),
]
Seed = Annotated[int, typer.Option(min=0, help="Seed of everything random.")]
SecondSeed = Annotated[
    int | None,
    typer.Option(min=0, help="Score the sample with this seed too, to compare the ranks."),
]
Batch = Annotated[int, typer.Option(min=2, help="Images of the proxies' input.")]
DataFolder = Annotated[
    Path | None, typer.Option(help="Folder of published data. [default: HWNAS_DATA]")
]
Plot = Annotated[
    Path | None, typer.Option(help="Write a self-contained page with the metrics as bars: .html.")
]
Markdown = Annotated[bool, typer.Option(help="Print tables in Markdown.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")]


def rank(
    space: Space = "nasbench201",
    in_shape: Input = None,
    classes: Classes = None,
    dataset: Dataset = None,
    split: Split = None,
    truth: TruthFile = None,
    scores: Scores = None,
    population: Population = None,
    proxy: Proxies = None,
    sample: Sample = None,
    labels: Labels = None,
    transfer: Transfer = None,
    ndcg: Ndcg = 1000,
    bootstrap: Bootstrap = 0,
    against: Against = None,
    cost: Cost = None,
    seed: Seed = 0,
    second_seed: SecondSeed = None,
    jobs: Jobs = 1,
    batch: Batch = 16,
    images: Images = "gaussian",
    reduced: Reduced = "",
    data: DataFolder = None,
    plot: Plot = None,
    markdown: Markdown = False,
    as_json: AsJson = False,
) -> None:
    """Compare proxies and ready-made scores with known accuracies.

    Without --sample or --scores it ranks the whole space by the scores that ship with hwnas, which
    takes seconds, and prints what papers report for the same population beside it. What --sample
    scores is kept, so that the same command goes on where an interrupted one stopped.

    Example: hwnas rank --dataset cifar10 --dataset ImageNet16-120 --bootstrap 100
    """
    _check(jobs, plot, markdown and as_json)
    from hwnas.functions.rank import rank as rank_scores

    for text in transfer or []:
        names_function(text, None)
    if names_function(space, None):
        first = dataset[0] if dataset else None
        space, task = chosen_networks(space, first, images, in_shape, classes)
        dataset = dataset or [task]

    plan = Planned(
        ("Space", f"{space}, accuracies of {', '.join(dataset or ['its usual data set'])}"),
        ("Scores", _origin(scores, sample, seed)),
        ("Ranked", f"{', '.join(proxy or ['all'])}; {bootstrap} resamples" if bootstrap else ""),
    )
    progress.stage("ranking")
    found = rank_scores(
        space,
        dataset or (),
        proxy or "all",
        split=split,
        truth=truth,
        scores=scores,
        population=population,
        sample=sample,
        labels=labels or (),
        transfer=transfer or (),
        ndcg=ndcg,
        bootstrap=bootstrap,
        against=against,
        cost=cost,
        seed=seed,
        second_seed=second_seed,
        images=images,
        batch_size=batch,
        reduced=reduced,
        jobs=jobs,
        data_folder=data,
        report=plan.count,
        note=note,
    )
    for ranked in found:
        if as_json:
            print_json_lines(ranked.rows)
        else:
            _print(ranked, markdown)
    _remark(found)
    if plot is not None:
        _plot(found, plot)


def _origin(scores: Path | None, sample: int | None, seed: int) -> str:
    """Say where scores come from."""
    if scores is not None:
        return f"those of {scores}"
    if sample is not None:
        return f"of {sample:,} networks, scored now with seed {seed}"
    return "those that ship with hwnas"


def _check(jobs: int, plot: Path | None, both: bool) -> None:
    """Refuse options that do not go together."""
    for wrong, message in (
        (jobs == 0, "`--jobs` must not be 0: use 1, or -1 for all cores."),
        (both, "`--markdown` must not be given with --json, but got both: choose one."),
        (
            plot is not None and plot.suffix != ".html",
            f"`--plot` must end in .html, but got {plot and plot.name!r}.",
        ),
    ):
        if wrong:
            raise InvalidValueError(message)


def _remark(found: Sequence[Ranked]) -> None:
    """Say how published figures compare, where some were printed."""
    for remark in dict.fromkeys(ranked.remark for ranked in found if ranked.remark):
        note(remark)


def _plot(found: Sequence[Ranked], plot: Path) -> None:
    from hwnas.reports.rank_plot import write_rank_plot

    progress.stage("writing the plot")
    rows = [row for ranked in found for row in _comparable(ranked)]
    points = {name: xy for ranked in found for name, xy in ranked.points().items()}
    write_rank_plot(rows, plot, points)
    note(f"Plot: {plot}")


def _comparable(ranked: Ranked) -> list[dict[str, Any]]:
    """Give the rows, without published figures where those are of another split."""
    if ranked.remark is None:
        return ranked.rows
    return [
        {name: value for name, value in row.items() if not name.startswith("published_")}
        for row in ranked.rows
    ]


def _print(ranked: Ranked, markdown: bool) -> None:
    rows = sorted(ranked.rows, key=_worst_last)
    shown = [name for name in _HEADERS if any(name in row for row in rows)]
    headers = [_HEADERS[name].format(p=rows[0]["ndcg_p"]) for name in shown]
    body = [[_cell(row, name) for name in shown] for row in rows]
    # A learned ranking, which may be the best, is about the others of the population alone.
    title = f"{_describe(ranked.rows[0])}; {ranked.population.origin}"
    if not markdown:
        print_table(headers, body, title)
        return
    lines = [
        one_line(title),
        "",
        *(_line(cells) for cells in (headers, ["---"] * len(headers), *body)),
    ]
    print_text("\n".join(lines) + "\n\n")


def _worst_last(row: dict[str, Any]) -> float:
    found = row["spearman"]
    return math.inf if found is None or math.isnan(found) else -found


def _describe(row: dict[str, Any]) -> str:
    """State the data set, how many architectures there are, and of which kind."""
    live = f", {row['live']:,} of them live" if "live" in row else ""
    return (
        f"{row['dataset']}, {row['split']} {row['column']}: {row['n']:,} architectures{live}, "
        f"{row['networks']:,} different networks"
    )


def _cell(row: dict[str, Any], name: str) -> Any:
    value = row.get(name)
    if value is None:
        return "–"
    if not isinstance(value, float):
        return value
    if name == "seed_stability":
        return stability_text(value)
    short = name.endswith(("top64_top5", "best_accuracy"))
    text = "–" if value != value else f"{value:.1f}" if short else f"{value:.3f}"
    interval: list[float] = row.get(f"{name}_95") or []
    # Of some resamples a score that is nearly constant has no coefficient.
    known = interval and not any(math.isnan(end) for end in interval)
    return f"{text} [{interval[0]:.3f}, {interval[1]:.3f}]" if known else text


def _line(cells: Sequence[Any]) -> str:
    return "| " + " | ".join(str(cell) for cell in cells) + " |"
