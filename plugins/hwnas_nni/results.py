"""From NNI experiments to Pareto sets: while they are at hand, and from their data base."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from hwnas.errors import DataFormatError, DataNotFoundError, InvalidValueError
from hwnas.pareto import ObjectiveInfo, ParetoSet
from hwnas.pareto.provenance import describe_environment
from hwnas.typing import Arch, Direction, SearchSpace
from hwnas_nni.checkpoint import Record
from hwnas_nni.hub import NASBENCH201, NasBench201Codec
from hwnas_nni.metrics import DEFAULT, check_directions, status_of, values_of

_Trials = Sequence[tuple[Any, Any]]
"""(parameters, final metrics or None) of each."""
DATABASE = Path("db/nni.sqlite")
"""The data base within an experiment's folder."""
JSON_SPACE = "parameters of an NNI experiment"
"""What stands for the space of an experiment whose parameters are all that is known."""
_FUNCTION = "hwnas_nni.functions.FunctionModelSpace"
_OURS = "hwnas_nni.evaluator.ObjectivesEvaluator"
_ENDED = ("SUCCEEDED", "FAILED", "USER_CANCELED", "SYS_CANCELED", "EARLY_STOPPED")


def pareto_set_of(
    records: Sequence[Record],
    objectives: Mapping[str, Direction],
    space: SearchSpace[Arch] | str,
    provenance: Mapping[str, Any] | None = None,
) -> ParetoSet:
    """Make the Pareto set of trials that have ended; without a space texts are their own keys."""
    archs = [record.arch for record in records]
    return ParetoSet.from_values(
        archs,
        [str(a) if isinstance(space, str) else space.canonical_key(a) for a in archs],
        [values_of(record.metrics, objectives) for record in records],
        [ObjectiveInfo(name, _unit(name), way) for name, way in objectives.items()],
        space=space,
        statuses=[status_of(record.metrics, objectives) for record in records],
        attributes=[_attributes(record.metrics, objectives) for record in records],
        provenance={**describe_environment(), **(provenance or {})},
    )


def _unit(name: str) -> str:
    """Give the unit that the name of a cost of hwnas ends in; metrics of others have none."""
    return {"ms": "ms", "mj": "mJ", "bytes": "bytes"}.get(name.rpartition("_")[2], "")


def pareto_set_from_experiment(
    experiment: Any, objectives: Mapping[str, Direction] | None = None
) -> ParetoSet:
    """Make the Pareto set of an NNI experiment, running or ended.

    Args:
        experiment: a `NasExperiment`, or an `nni.experiment.Experiment`.
        objectives: direction of each metric; known where a `ParetoStrategy` ran.

    Raises:
        InvalidValueError: the objectives are not known, or the trials are not kept.
    """
    strategy = getattr(experiment, "strategy", None)
    if objectives is None and strategy is not None and hasattr(strategy, "pareto_set"):
        found: ParetoSet = strategy.pareto_set()
        return found
    if objectives is None:
        raise InvalidValueError(
            "`objectives` must be given where no ParetoStrategy ran, e.g. "
            "{'accuracy': 'maximize', 'latency_ms': 'minimize'}."
        )
    return pareto_set_from_database(_folder(experiment), objectives)


def _folder(experiment: Any) -> Path:
    """Find the folder of an experiment, also of one that was connected to by its port."""
    needs_manager = getattr(experiment, "_nni_manager_required", None)
    if needs_manager is not None and not needs_manager():
        raise InvalidValueError(
            "`experiment` must run a ParetoStrategy, or on a training service: NNI keeps no "
            "database of the trials that its own strategies run in this process."
        )
    if experiment.config is None:
        return Path(experiment.get_experiment_profile()["logDir"])
    config = experiment.config.canonical_copy()
    return Path(config.experiment_working_directory) / str(experiment.id)


def pareto_set_from_database(folder: str | Path, objectives: Mapping[str, Direction]) -> ParetoSet:
    """Make the Pareto set of an experiment that has ended, from its data base.

    Args:
        folder: the experiment's folder, e.g. ``~/nni-experiments/ab12cd34``, or its data base.
        objectives: direction of each metric that is an objective.

    Returns:
        The set. Models of the hub's NasBench201 are cells, and those of a `FunctionModelSpace` are
        its choices: both can be exported, the latter where the function is named. Any other
        architecture is the JSON text of its parameters, or of the sample of its model. What an
        `ObjectivesEvaluator` was told, and the task of a function, are in the provenance.

    Raises:
        DataNotFoundError: there is no data base.
        DataFormatError: it is not one of NNI.
        InvalidValueError: trials reported metrics, and an objective is none of them.
    """
    path = Path(folder).expanduser()
    path = path / DATABASE if path.is_dir() else path
    if not path.is_file():
        raise DataNotFoundError(f"`folder` must be an experiment's, but there is no {path}.")
    directions = check_directions(objectives)
    trials = _read(path)
    codec = _codec([parameters for parameters, _ in trials])
    # What breaks a constraint needs report no more.
    told = [metrics for _, metrics in trials if status_of(metrics, directions) != "infeasible"]
    reported = {name for metrics in told for name in _names(metrics)}
    unknown = [name for name in directions if name not in reported]
    if reported and unknown:
        raise InvalidValueError(
            f"`objectives` must be metrics that the trials reported, "
            f"{', '.join(sorted(reported))}, but got {', '.join(unknown)}."
        )
    records = [Record(_arch(parameters, codec), metrics) for parameters, metrics in trials]
    known = {"experiment": path.parent.parent.name, **_told(trials), **_asked(trials)}
    if codec is not None:
        return pareto_set_of(records, directions, codec.space, known)
    return pareto_set_of(records, directions, _function(trials) or JSON_SPACE, known)


def _names(metrics: Any) -> list[str]:
    """Name what a trial reported; a number is the metric `default`."""
    if metrics is None:
        return []
    return [str(name) for name in metrics] if isinstance(metrics, Mapping) else [DEFAULT]


def _models(trials: _Trials) -> list[Mapping[str, Any]]:
    """Give the models of trials that all have one."""
    models = [p for p, _ in trials if isinstance(p, Mapping) and "model_symbol" in p]
    return models if len(models) == len(trials) else []


def _asked(trials: _Trials) -> dict[str, Any]:
    """Give the task of the one function that all models are of."""
    from hwnas.tasks.catalogue import sized_task

    if (given := _function_arguments(trials)) is None:
        return {}
    shape = (given["input"],) if isinstance(given["input"], int) else given["input"]
    return {"dataset": sized_task(shape, given["classes"], given.get("vocabulary")).as_dict()}


def _function(trials: _Trials) -> str | None:
    """Give the text of the function's space; its module is not imported for that."""
    from hwnas.spaces.functions import sizes_of
    from hwnas.tasks.task import Task

    if (given := _function_arguments(trials)) is None:
        return None
    sizes = sizes_of(Task.from_dict(_asked(trials)["dataset"]))
    return f"{given['function']}:{','.join(f'{name}={size}' for name, size in sizes.items())}"


def _function_arguments(trials: _Trials) -> dict[str, Any] | None:
    """Give the arguments of the one `FunctionModelSpace` that all models are of."""
    names = ("function", "input", "classes", "vocabulary")
    given = [
        {**dict(zip(names, model["model_args"], strict=False)), **model["model_kwargs"]}
        for model in _models(trials)
        if _path(model["model_symbol"], "__nni_type__") == _FUNCTION
    ]
    one = bool(given) and len(given) == len(trials) and all(g == given[0] for g in given)
    return given[0] if one and isinstance(given[0].get("function"), str) else None


def _told(trials: _Trials) -> dict[str, Any]:
    """Give the settings of the one `ObjectivesEvaluator` that all models have."""
    from hwnas.study.settings import SearchSettings

    told = [m.get("evaluator") for m in _models(trials)]
    ours = [e["__kwargs__"] for e in told if e and _path(e, "__symbol__") == _OURS]
    if not ours or len(ours) < len(trials) or any(kwargs != ours[0] for kwargs in ours):
        return {}
    kwargs: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in ours[0].items()
    }
    kwargs.pop("data_folder", None)
    given: dict[str, Any] = {"batch": 16, "objectives": (), "costs": (), **kwargs}
    settings = SearchSettings(**given).identity()
    settings = {k: v for k, v in settings.items() if k not in ("space", "sampler")}
    if (asked := _asked(trials)) and "images" not in kwargs:
        settings["dataset"] = asked["dataset"]["name"]
    return {"settings": settings, "seed": settings["seed"]}


def _path(of: Any, name: str) -> str:
    """Give the path of a class as NNI writes it; empty if there is none."""
    text = of.get(name, "") if isinstance(of, Mapping) else ""
    return str(text).removeprefix("path:")


def _codec(parameters: Sequence[Any]) -> NasBench201Codec | None:
    """Find the one space of the hub that all models come from; None for any other."""
    found = set()
    for model in parameters:
        if not isinstance(model, Mapping):
            return None
        if _path(model.get("model_symbol"), "__nni_type__") != NASBENCH201:
            return None
        found.add(NasBench201Codec.of(model["model_args"], model["model_kwargs"], model["sample"]))
    return found.pop() if len(found) == 1 else None


def _arch(parameters: Any, codec: NasBench201Codec | None) -> Any:
    sample = parameters.get("sample", parameters) if isinstance(parameters, Mapping) else parameters
    return json.dumps(sample, sort_keys=True) if codec is None else codec.from_sample(sample)


def _read(path: Path) -> list[tuple[Any, Any]]:
    """Give (parameters, final metrics or None) of every trial that ran, in their order."""
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
            trials = connection.execute(
                "SELECT MIN(timestamp), MAX(data) FROM TrialJobEvent GROUP BY trialJobId "
                "HAVING MAX(event IN (SELECT value FROM json_each(?))) AND MAX(data) IS NOT NULL "
                "ORDER BY MIN(timestamp), MIN(sequenceId)",
                (json.dumps(_ENDED),),
            ).fetchall()
            finals = connection.execute(
                "SELECT timestamp, parameterId, data FROM MetricData WHERE type = 'FINAL' "
                "ORDER BY timestamp"
            ).fetchall()
    except sqlite3.DatabaseError as error:
        raise DataFormatError(
            f"`folder` must hold a data base of NNI, but reading {path} failed: {error}."
        ) from error
    # Not by trial: of two trials that start together, each may run the other's parameters. A
    # resumed manager may count parameters anew: the latest that began before counts.
    read = [(began, json.loads(data)) for began, data in trials]
    metrics: dict[int, Any] = {}
    for time, parameter, data in finals:
        began_before = (
            i
            for i, (began, p) in enumerate(read)
            if str(p["parameter_id"]) == str(parameter) and began <= time
        )
        metrics[max(began_before, default=-1)] = _decoded(data)
    return [(p["parameters"], metrics.get(i)) for i, (_, p) in enumerate(read)]


def _decoded(data: Any) -> Any:
    """Undo NNI's encoding: numbers and dicts are packed into JSON texts, once or twice."""
    while isinstance(data, str):
        try:
            data = json.loads(data)
        except ValueError:
            return None
    return data


def _attributes(metrics: Any, objectives: Mapping[str, Direction]) -> dict[str, Any]:
    if not isinstance(metrics, Mapping):
        return {}
    return {k: v for k, v in metrics.items() if k not in objectives and k != DEFAULT}


class NniHost:
    """NNI as a host of results, for `hwnas.pareto.ParetoSet.from_nni`."""

    def from_experiment(
        self, experiment: Any, objectives: Mapping[str, Direction] | None = None
    ) -> ParetoSet:
        """Make the Pareto set of an experiment or of an experiment's folder."""
        if isinstance(experiment, (str, Path)):
            if objectives is None:
                raise InvalidValueError("`objectives` must be given where a folder is read.")
            return pareto_set_from_database(experiment, objectives)
        return pareto_set_from_experiment(experiment, objectives)
