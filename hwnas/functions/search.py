"""`hwnas.search`: the Pareto set of training-free scores and hardware costs over a space."""

from __future__ import annotations

import operator
import os
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import SupportsIndex

from hwnas.errors import InvalidValueError
from hwnas.evaluation.evaluator import Report
from hwnas.functions.baseline import Present, present_network
from hwnas.functions.networks_of import Networks, networks_of, task_of
from hwnas.pareto import ParetoSet
from hwnas.spaces.space_text import written_space
from hwnas.study.hosts import Folder
from hwnas.study.search import Search
from hwnas.study.settings import DEFAULT_COST, SearchSettings


def search(
    space: Networks = "nasbench201",
    *,
    input: Sequence[int] | int | None = None,
    classes: int | str | None = None,
    vocabulary: int | None = None,
    dataset: str | None = None,
    objectives: str | Sequence[str] = (),
    costs: str | Sequence[str] = (DEFAULT_COST,),
    constraints: str | Sequence[str] = (),
    labels: str | os.PathLike[str] = "",
    transfer: str | Sequence[str] = (),
    measure: str = "",
    measure_budget: int = 0,
    trials: int = 64,
    sampler: str = "hardware-aware",
    images: str = "gaussian",
    batch_size: int = 32,
    reduced: str = "",
    seed: int = 0,
    jobs: int = 1,
    out: str | os.PathLike[str] | None = None,
    storage: str | None = None,
    study: str = "hwnas",
    baseline: Present | None = None,
    data_folder: Path | None = None,
    report: Report | None = None,
    limit_seconds: float | None = None,
    device: str = "cpu",
    note: Callable[[str], None] = warnings.warn,
) -> ParetoSet:
    """Search for the Pareto set of training-free scores and hardware costs.

    The same call goes on where an interrupted one stopped, if it has a folder or a storage.

    Args:
        space: a search space, or its text as ``hwnas search --space`` takes it; a function of a
            trial that builds a network, as an Optuna objective would; or a list of models.
        input: shape of what the networks get: (C, H, W) of an image, (C, T) of a signal, (F,) of a
            vector, (T,) of tokens.
        classes: what they tell apart; or another answer: ``map5`` (five classes at every position),
            ``numbers3`` or ``numbermap1`` (real numbers), ``next`` of tokens.
        vocabulary: number of different tokens; None for real numbers.
        dataset: `input`, `classes` and published tables by name, e.g. ``cifar10``. Without any of
            these, one's own images say what the networks are for, or else the space does.
        objectives: proxies and ready-made scores by name, see ``hwnas proxies``; none for
            ``jacob_cov+params``, or a pair that is more stable in the space.
        costs: ``SOURCE:DEVICE:METRIC``, e.g. ``onnxruntime:cpu:latency``, see ``hwnas costs``.
        constraints: bounds such as ``latency<=5`` or ``params<=1e6``, in the cost's unit.
        labels: file with the columns ``architecture`` and ``accuracy`` (percent) of five trained
            networks or more: the accuracy expected by them is the objective ``hwnas-model``, which
            is the default then, and every member of the front has it with its interval.
        transfer: trained networks of other data sets or spaces that help, each as
            ``SPACE:dataset=NAME,split=NAME,labels=N``, e.g. ``nasbench201:dataset=cifar10``, or
            ``SPACE:truth=FILE.csv``.
        measure: what measures, when the trials are done, the candidates that a predicted cost
            leaves open, as a cost; or ``bundle:FOLDER`` or ``csv:FOLDER``, where they are written
            to be measured elsewhere, and the same call goes on with what came back; empty for
            nothing.
        measure_budget: most candidates to measure.
        trials: trials that the study has in the end; 0 for the front that the shipped scores and
            known costs give of the whole space alone, with its tight hypervolume where accuracies
            are published.
        sampler: ``hardware-aware``, a strategy of hwnas, or one of Optuna's: ``nsga2``, ``tpe``,
            ``random``.
        images: what proxies see: ``gaussian``, ``cifar10-sample``, one's own ``FILE.npz`` (images,
            signals, vectors or tokens) or folder of pictures.
        batch_size: images that proxies see.
        reduced: score proxies on smaller images, and on fewer: pixels of the shorter side, e.g.
            ``64`` or ``64,8``. Costs and constraints stay those of the task. How well 16 networks
            are ranked as without it is measured, and kept as ``reduced_agreement``.
        seed: seed of everything random.
        jobs: worker processes for proxies; -1 for all cores.
        out: folder of the study and of `front.json`, `front.csv` and `report.html`; None keeps the
            study in memory and writes nothing.
        storage: Optuna storage where the study is kept: an SQLAlchemy URL, ``journal:FILE`` or
            ``grpc://HOST:PORT``; None for a file in `out`.
        study: name of the study in the storage.
        baseline: the present network, which the members are compared with: a module, what makes
            one, or ``module:callable``.
        data_folder: folder of published data; None for ``HWNAS_DATA``.
        report: called with (label, finished, total), e.g. by a progress bar.
        limit_seconds: longest time for one network before it counts as endless; None for 600 where
            it is measured, or its space is one's own.
        device: where proxies run their passes: ``cpu``, ``cuda``, ``cuda:1`` or ``mps``.
        note: is told, a line each, which objectives say the same, which members cannot be told
            apart, and what they are worth beside the baseline.

    Returns:
        The front, with task, devices and settings.

    Raises:
        HwnasError: a name, a value, the data or the folder is not usable; nothing is lost.

    Example:
        >>> import hwnas
        >>> front = hwnas.search(objectives="naswot", costs="count:macs", batch_size=8, trials=8)
        >>> [objective.name for objective in front.objectives]
        ['naswot', 'macs']

        Networks of one's own:

        >>> from torch import nn
        >>> def build(trial):
        ...     width = trial.suggest_int("width", 8, 64, step=8)
        ...     layers = [nn.Conv2d(1, width, 3), nn.ReLU(), nn.Flatten()]
        ...     return nn.Sequential(*layers, nn.Linear(36 * width, 7))
        >>> front = hwnas.search(
        ...     build, input=(1, 8, 8), classes=7, objectives="naswot", costs="count:macs", trials=8
        ... )
        >>> front.provenance["dataset"]["num_classes"]
        7
    """
    task = task_of(dataset, input, classes, vocabulary, images)
    made, name = networks_of(space, task)
    settings = SearchSettings(
        space=space if isinstance(space, str) else written_space(made),
        dataset=name,
        objectives=_texts("objectives", objectives),
        costs=_texts("costs", costs),
        constraints=_texts("constraints", constraints),
        sampler=sampler,
        trials=_at_least(0, "trials", trials),
        batch=_at_least(2, "batch_size", batch_size),
        images=images,
        seed=_at_least(0, "seed", seed),
        measure=measure,
        measure_budget=_at_least(0, "measure_budget", measure_budget),
        reduced=reduced,
        labels=os.fspath(labels),
        transfer=_texts("transfer", transfer),
    )
    folder = Folder(None if out is None else Path(out), storage, study)
    present = None if baseline is None else present_network(baseline, limit_seconds)
    job = Search(
        settings, folder, data_folder, jobs, report, made, limit_seconds, present, device=device
    )
    front = job.run()
    for line in job.notices:
        note(line)
    return front


def _texts(name: str, given: str | Sequence[str]) -> tuple[str, ...]:
    texts = (given,) if isinstance(given, str) else tuple(given)
    if wrong := [text for text in texts if not isinstance(text, str)]:
        raise InvalidValueError(
            f"`{name}` must be texts, which a study can be continued by, but got {wrong[0]!r}."
        )
    return texts


def _at_least(least: int, name: str, number: SupportsIndex) -> int:
    """Give the whole number that is meant, of Python or of NumPy."""
    whole = isinstance(number, SupportsIndex) and not isinstance(number, bool)
    found = operator.index(number) if whole else least - 1
    if found < least:
        raise InvalidValueError(f"`{name}` must be at least {least}, but got {number!r}.")
    return found
