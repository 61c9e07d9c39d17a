"""`hwnas spaces`, `hwnas proxies` and `hwnas costs`: what there is, by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from hwnas import registry
from hwnas.cli.options import Dataset, Images, Jobs, Reduced, chosen_networks, users_space
from hwnas.cli.output import note, print_json_lines, print_table, stability_text
from hwnas.cli.progress import progress
from hwnas.errors import HwnasError, InvalidValueError, MissingDependencyError

if TYPE_CHECKING:
    from hwnas.costs.source import CostOption, CostSource
    from hwnas.study.settings import SearchSettings

V = TypeVar("V")
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")]


_JOINED = {"log": "log ranks", "sum": "ranks", "vote": "votes"}


def spaces(as_json: AsJson = False) -> None:
    """List the search spaces. Example: hwnas spaces."""
    from hwnas.spaces.facets import Listing, facet

    rows = []
    for name, space in _each(registry.names("spaces"), lambda n: (n, registry.make("spaces", n))):
        members = facet(space, Listing)
        try:
            size, parameters = None if members is None else len(members), len(space.parameters)
        except MissingDependencyError:  # what it holds is that package's
            size, parameters = None, None
        except HwnasError as error:  # it asks for what cannot be asked for
            note(f"{name}: {error}")
            continue
        rows.append(
            {"space": name, "architectures": size, "parameters": parameters}
            | {"description": _summary(space)}
        )
    _show(rows, as_json)


def proxies(
    space: Annotated[
        str | None,
        typer.Option(
            help="Search space, or MODULE:CLASS: adds how well two seeds agree there, by the "
            "scores of some networks, and the seconds of one."
        ),
    ] = None,
    proxy: Annotated[list[str] | None, typer.Option(help="Proxy to list. [default: all]")] = None,
    dataset: Dataset = None,
    images: Images = "gaussian",
    batch: Annotated[int, typer.Option(min=2, help="Images of the proxies' input.")] = 16,
    reduced: Reduced = "",
    sample: Annotated[int, typer.Option(min=3, help="Networks to score twice.")] = 24,
    seed: Annotated[int, typer.Option(min=0, help="First seed; the second is the next.")] = 0,
    jobs: Jobs = 1,
    as_json: AsJson = False,
) -> None:
    """List the proxies and ready-made scores.

    With --space it says for each proxy how well two seeds rank the same networks of that space
    alike (Spearman): what is below .9 there depends on the draw. With --reduced it says instead
    how well that smaller setting ranks them as the full one does. Scores are kept, so that the same
    command goes on where an interrupted one stopped.

    Example: hwnas proxies --space fbnet --proxy jacob_cov --proxy naswot
    """
    from hwnas.proxies import make_proxy, proxy_names
    from hwnas.ranking.recipes import RECIPES

    if space is not None:
        from hwnas.study.settings import SearchSettings

        chosen, task = chosen_networks(space, dataset, images)
        settings = SearchSettings(
            chosen, task, batch=batch, images=images, seed=seed, reduced=reduced
        )
        _show_agreement(settings, proxy or ["all"], sample, jobs, as_json)
        return
    if proxy is not None or dataset is not None or reduced:
        raise InvalidValueError(
            "`--proxy`, `--dataset` and `--reduced` must be given with --space, but got no space: "
            "add it."
        )
    rows = [
        {"name": p.name, "kind": "proxy", "direction": p.direction, "description": _summary(p)}
        for p in _each(proxy_names(), make_proxy)
    ]
    rows += [
        {
            "name": name,
            "kind": "score",
            "direction": "maximize",
            "description": f"{_JOINED[recipe.method]} of {', '.join(recipe.members)}",
        }
        for name, recipe in RECIPES.items()
    ]
    _show(rows, as_json)


def _show_agreement(
    settings: SearchSettings, names: Sequence[str], sample: int, jobs: int, as_json: bool
) -> None:
    """Print how well two seeds, or two settings, agree on each proxy in a space."""
    from hwnas.evaluation.cache import ResultCache
    from hwnas.evaluation.evaluator import EvaluatorOptions
    from hwnas.proxies import make_proxies
    from hwnas.spaces.space_text import named_space
    from hwnas.study.configuration import EvaluationSetup, bounded
    from hwnas.study.reduction import full_agreement
    from hwnas.study.stability import seed_agreement

    space = named_space(settings.space)
    setup = EvaluationSetup.of(settings, space)
    small = setup.reduced
    known = make_proxies(names)
    progress.stage("scoring networks twice")
    with ResultCache.default() as cache:
        how = EvaluatorOptions(cache=cache, jobs=jobs, limits=bounded(space), report=progress.count)
        found = (
            seed_agreement(setup.proxies(known), size=sample, **how)
            if small is None
            else full_agreement(setup, names, size=sample, **how)
        )
    kind = "seed_stability" if small is None else "reduced_agreement"
    rows: list[dict[str, Any]] = [
        {"name": p.name, "direction": p.direction, kind: found[p.name]} for p in known
    ]
    if as_json:
        print_json_lines(rows)
        return
    told = stability_text if small is None else "{:.3f}".format
    body = [[*list(row.values())[:2], told(row[kind])] for row in rows]
    title = f"{space.name}, {sample} networks, {settings.batch} {settings.images} images"
    if small is None:
        print_table(["name", "direction", "seeds' ρ"], body, title)
    else:
        title += f", and as reduced to {small}"
        print_table(["name", "direction", "reduced and full, ρ"], body, title)


def samplers(as_json: AsJson = False) -> None:
    """List what `hwnas search --sampler` takes. Example: hwnas samplers."""
    from hwnas.study.hosts import get_host

    _show(get_host("optuna").samplers(), as_json)


def costs(
    space: Annotated[
        str | None, typer.Option(help="Only what there is for this search space.")
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="Folder of published data. [default: HWNAS_DATA]")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the costs as SOURCE:DEVICE:METRIC. Example: hwnas costs --space fbnet."""
    from hwnas.costs.source import FileCostSource, get_source, source_names

    made = None if space is None else users_space(space)
    rows = []
    for name, source in _each(source_names(), lambda name: (name, get_source(name))):
        progress.stage(name)
        if isinstance(source, FileCostSource):
            row = {"cost": f"{name}:FILE", "unit": "as in the file", "direction": "minimize"}
            rows.append(row if made is None else row | {"data set": ""})
            continue
        try:
            options = source.options()
        except HwnasError as error:
            note(str(error))
            continue
        for option in options:
            row = {
                "cost": f"{name}:{option.device}:{option.metric}",
                "unit": option.unit,
                "direction": option.direction,
            }
            if made is None:
                rows.append(row)
            elif (dataset := _serves(source, option, made, data)) is not None:
                rows.append(row | {"data set": dataset})
    _show(rows, as_json)


def _serves(source: CostSource, option: CostOption, space: Any, data: Path | None) -> str | None:
    """Name a data set for which a cost is one of the space: its own if it can be; None if none.

    What only lacks its data or an extra is one.
    """
    from hwnas.costs.source import CostRequest
    from hwnas.errors import DataNotFoundError, HwnasError
    from hwnas.tasks.catalogue import TASKS

    for task in (space.default_task, *TASKS.values()):
        try:
            source.make(CostRequest(space, option.device, option.metric, task, data))
        except (DataNotFoundError, MissingDependencyError):
            return str(task.name)
        except HwnasError:
            continue
        return str(task.name)
    return None


def _each(names: Sequence[str], make: Callable[[str], V]) -> Iterator[V]:
    """Make what there is; what another package has spoilt is told, and is not listed."""
    for name in names:
        try:
            yield make(name)
        except HwnasError as error:
            note(str(error))


def _summary(value: Any) -> str:
    """Give the first line of what a class says of itself, without its marks of code."""
    return (type(value).__doc__ or "").strip().partition("\n")[0].replace("``", "")


def _show(rows: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        print_json_lines(rows)
    else:
        print_table(list(rows[0]), [list(row.values()) for row in rows])
