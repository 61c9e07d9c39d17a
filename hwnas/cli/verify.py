"""`hwnas pareto verify`: measure the members of a predicted front."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hwnas.cli.options import OwnSpace
from hwnas.cli.output import note, print_json_lines, print_table
from hwnas.cli.pareto import Source, Study, front_space, open_pareto_set, results_folder
from hwnas.cli.plan import Planned, processor_of
from hwnas.cli.trained import show_trained, take_accuracies
from hwnas.errors import InvalidValueError
from hwnas.files.csv_table import ARCHITECTURE
from hwnas.reports.folder import FRONT, REPORT, TABLE
from hwnas.tables.measurements import column_name, read_measurements

if TYPE_CHECKING:
    from hwnas.pareto import ParetoSet
    from hwnas.pareto.verification import Check, Verification
    from hwnas.tasks.task import Task
    from hwnas.typing import Arch, CostModel, DeviceKey, FloatArray, SearchSpace


def verify(
    source: Source,
    cost: Annotated[
        str | None, typer.Option(help="What measures, e.g. onnxruntime:cpu:latency.")
    ] = None,
    measurements: Annotated[
        Path | None,
        typer.Option(help="CSV of measurements made elsewhere: architecture and e.g. latency_ms."),
    ] = None,
    accuracy: Annotated[
        Path | None,
        typer.Option(
            help="CSV of trained accuracies: architecture and accuracy in percent, a row a run; or "
            "FILE.csv:COLUMN, e.g. accuracy.csv:miou."
        ),
    ] = None,
    device: Annotated[
        str | None,
        typer.Option(
            help="What the front calls the device that measures, where it has another name here, "
            "e.g. jetson on the Jetson itself."
        ),
    ] = None,
    objective: Annotated[
        str | None, typer.Option(help="Objective to verify. [default: the predicted one]")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder to write. [default: the results folder]")
    ] = None,
    study: Study = "hwnas",
    dataset: Annotated[
        str | None, typer.Option(help="Classes and image size; the search's if absent.")
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="Folder of published data. [default: HWNAS_DATA]")
    ] = None,
    own_space: OwnSpace = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object a member.")
    ] = False,
) -> None:
    """Replace predicted costs by measured ones, and keep what is still non-dominated.

    Writes front.json, front.csv and report.html. Several rows of one network count as their
    median. The same command goes on where an interrupted run stopped. With --accuracy all members
    stay, get their accuracy (mean of several rows), and the scores are compared with it.

    Example: hwnas pareto verify hwnas-results --cost onnxruntime:cpu:latency

    Example: hwnas pareto verify hwnas-results --accuracy hwnas-results/code/accuracy.csv
    """
    from hwnas.evaluation.objectives import cost_objective
    from hwnas.pareto.same_device import recorded_cost
    from hwnas.pareto.spread import measured_spread
    from hwnas.pareto.verification import objective_to_verify
    from hwnas.pareto.verification import verify as replace_predictions
    from hwnas.reports.folder import write_results

    given = {"--cost": cost, "--measurements": measurements, "--accuracy": accuracy}
    if len(named := [name for name, value in given.items() if value is not None]) != 1:
        raise InvalidValueError(
            f"One of `--cost`, `--measurements` and `--accuracy` must be given, but got "
            f"{' and '.join(named) or 'none'}."
        )
    front = open_pareto_set(source, study, own_space)
    folder = results_folder(source, out)
    space = front_space(front, own_space)
    if accuracy is not None:
        trained = take_accuracies(front, space, accuracy, _known_task(front, dataset))
        write_results(trained.front, folder, space)
        show_trained(trained, as_json)
        note(f"Results: {folder / REPORT}, {FRONT}, {TABLE}.")
        return
    front = _with_deviations(front, space, data)
    if measurements is not None:
        table = read_measurements(measurements, space)
        name = objective_to_verify(front, table.names, objective)
        if table.key is not None:
            _same_device(front, name, table.key, device)
        measured, origin = _from_file(front, space, table, name)
        spreads: list[dict[str, float]] = [{} for _ in front.members]
    else:
        assert cost is not None
        model = _measured_cost(cost, space, _task(front, dataset), data)
        column = column_name(model.metric, model.unit)
        name = objective_to_verify(front, [column], objective)
        if name != cost_objective(space, model).name or recorded_cost(front.provenance, name):
            _same_device(front, name, model.device, device, getattr(model, "fingerprint", ""))
        plan = Planned(
            ("Front", f"{len(front)} members of {front.space}, {source}"),
            ("Measured", f"{name} by {cost}"),
            ("Device", processor_of(cost)),
            ("Results", str(folder)),
        )
        measured, origin, facts = _measure(front, space, model, cost, plan)
        spreads = [measured_spread(name, known) for known in facts]
    found = replace_predictions(front, name, measured, origin, spreads)
    write_results(found.front, folder, space)
    _show(found, name, as_json)
    note(f"Results: {folder / REPORT}, {FRONT}, {TABLE}.")


def _with_deviations(front: ParetoSet, space: SearchSpace[Arch], data: Path | None) -> ParetoSet:
    """Give a front that comes from a storage the deviations that a results folder states."""
    from hwnas.costs.source import make_cost
    from hwnas.evaluation.objectives import cost_objective
    from hwnas.evaluation.origin import uncertain_costs
    from hwnas.pareto.uncertainty import predicted_objectives, with_uncertainty
    from hwnas.study.configuration import recorded_task

    settings = front.provenance.get("settings")
    if predicted_objectives(front) or not isinstance(settings, Mapping):
        return front
    specs = [spec for spec in settings.get("costs", ()) if spec.startswith("predictor:")]
    if not specs or (task := recorded_task(front.provenance)) is None:
        return front
    costs = [make_cost(s, space, task, data) for s in specs]
    return with_uncertainty(
        front, space, uncertain_costs(cost_objective(space, cost) for cost in costs)
    )


def _known_task(front: ParetoSet, name: str | None) -> Task | None:
    from hwnas.study.configuration import recorded_task
    from hwnas.tasks.catalogue import get_task

    return recorded_task(front.provenance) if name is None else get_task(name)


def _task(front: ParetoSet, name: str | None) -> Task:
    if (known := _known_task(front, name)) is None:
        raise InvalidValueError(
            "`--dataset` must be given: the Pareto set does not say what it was made for."
        )
    return known


def _measured_cost(
    spec: str, space: SearchSpace[Arch], task: Task, data: Path | None
) -> CostModel[Arch]:
    from hwnas.costs.source import make_cost

    model = make_cost(spec, space, task, data)
    if hasattr(model, "predict_std"):
        raise InvalidValueError(f"`--cost` must measure, but got the predictor {spec!r}.")
    return model


def _same_device(
    front: ParetoSet, name: str, key: DeviceKey, called: str | None, fingerprint: str = ""
) -> None:
    """Refuse another device, and say what could not be told."""
    from hwnas.pareto.same_device import check_front_device

    unit = next(o.unit for o in front.objectives if o.name == name)
    metric = name.removesuffix(f"_{unit.lower()}").rpartition("_")[2]
    got = key if called is None else replace(key, device=called)
    for line in check_front_device(front, name, column_name(metric, unit), got, fingerprint):
        note(line)


def _from_file(
    front: ParetoSet, space: SearchSpace[Arch], table: Any, name: str
) -> tuple[FloatArray, dict[str, Any]]:
    """Look the members up by canonical key; `InvalidValueError` if one has no measurement."""
    import numpy as np

    from hwnas.files.pinned import sha256
    from hwnas.pareto.verification import matches

    column = next(c for c in table.names if matches(name, c))
    rows: dict[str, list[float]] = {}
    for arch, value in zip(table.archs, table.costs(column), strict=True):
        if value == value:
            rows.setdefault(space.canonical_key(arch), []).append(value)
    absent = [m.arch for m in front.members if m.key not in rows]
    if absent:
        raise InvalidValueError(
            f"`measurements` must have a value of every member, but {len(absent)} of {len(front)} "
            f"have none in {column!r} of {str(table.path)!r}: measure {absent[0]} first."
        )
    measured = np.array([np.median(rows[m.key]) for m in front.members], dtype=np.float64)
    key = {} if table.key is None else {"device": str(table.key)}
    return measured, {"measurements": table.path.name, "sha256": sha256(table.path), **key}


def _measure(
    front: ParetoSet, space: SearchSpace[Arch], model: CostModel[Arch], spec: str, plan: Planned
) -> tuple[FloatArray, dict[str, Any], list[Mapping[str, Any]]]:
    """Measure the members anew, one after another, whatever the search has measured.

    What is finished is kept in the user's cache, for this front as it is. The last are the facts of
    each measurement.
    """
    import numpy as np

    from hwnas.evaluation.cache import ResultCache
    from hwnas.evaluation.evaluator import Evaluator
    from hwnas.evaluation.objectives import cost_objective

    wanted = cost_objective(space, model)
    archs = [space.parse(member.arch) for member in front.members]
    scope = f"verify|{hashlib.sha256(repr(front.members).encode()).hexdigest()}|"
    with ResultCache.default(scope) as cache:
        evaluator = Evaluator(space, [wanted], cache=cache, require_valid=False, report=plan.count)
        found = evaluator.evaluate(archs)
    for evaluation in found:
        for error in evaluation.errors.values():
            note(f"No measurement of {evaluation.arch}: {error}")
    measured = np.array([e.values.get(wanted.name, np.nan) for e in found], dtype=np.float64)
    origin = {"cost": spec, "device": str(model.device), "unit": model.unit}
    facts = [e.results[wanted.name].detail if wanted.name in e.results else {} for e in found]
    return measured, origin, facts


def _show(found: Verification, name: str, as_json: bool) -> None:
    """Print predicted beside measured, and what came out."""
    rows = [_row(check) for check in found.checks]
    known = [check.inside for check in found.checks if check.inside is not None]
    if as_json:
        print_json_lines(rows)
    else:
        # What was measured before has no interval.
        before = "predicted" if known else "before"
        columns = ["#", before, *_HEADERS, ARCHITECTURE]
        title = f"{name}: {before} and measured"
        body = [[row[key] for key in _FIELDS] for row in rows]
        lines = [[rank, *_readable(line)] for rank, line in enumerate(body, start=1)]
        print_table(columns, lines, title=title)
    deviations = [abs(c.deviation) for c in found.checks if c.deviation == c.deviation]
    typical = f"{100 * sorted(deviations)[len(deviations) // 2]:.1f} %" if deviations else "none"
    inside = f"{sum(known)} of {len(known)} measurements lie in the predicted 95 % interval; "
    note(
        f"{len(found.front)} of {len(found.checks)} members stay; {inside if known else ''}"
        f"median deviation {typical}."
    )


_HEADERS = ("std", "measured", "deviation", "in 95 %", "outcome")
_FIELDS = ("predicted", "std", "measured", "deviation", "inside_95", "outcome", ARCHITECTURE)


def _row(check: Check) -> dict[str, Any]:
    return {
        ARCHITECTURE: check.arch,
        "key": check.key,
        "predicted": check.predicted,
        "std": check.std,
        "measured": check.measured,
        "deviation": check.deviation,
        "inside_95": check.inside,
        "outcome": check.outcome,
    }


def _readable(line: list[Any]) -> list[Any]:
    """Show the deviation in percent and the flag as a word."""
    words = {True: "yes", False: "no", None: "–"}
    deviation = "–" if line[3] != line[3] else f"{100 * line[3]:+.1f} %"
    return [*line[:3], deviation, words[line[4]], *line[5:]]
