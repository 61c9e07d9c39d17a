"""`hwnas.with_baseline`: a front beside the network that a user has today."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Union

from hwnas.deferred import deferred
from hwnas.errors import InvalidValueError
from hwnas.evaluation.cache import ResultCache
from hwnas.functions.own_network import check_network
from hwnas.pareto import ParetoSet
from hwnas.spaces.space_text import read_space
from hwnas.study.baseline import PresentNetwork, evaluate_baseline
from hwnas.study.configuration import recorded_task
from hwnas.study.search import make_evaluator
from hwnas.study.settings import SearchSettings
from hwnas.tasks.task import Task
from hwnas.typing import Arch, SearchSpace

if TYPE_CHECKING:
    from torch import nn
else:
    nn = deferred("torch.nn")

Present = Union["nn.Module", Callable[[], "nn.Module"], str]
"""A network, what makes one, or ``module:callable``."""


def with_baseline(
    front: ParetoSet,
    network: Present,
    *,
    space: SearchSpace[Arch] | None = None,
    data_folder: Path | None = None,
) -> ParetoSet:
    """Evaluate a network by the objectives of a search, and give its front beside it.

    Scores are taken against the same reference sample, costs are counted and measured alike. A
    cost that is known of architectures alone, as a published table is, has no value for it.

    Args:
        front: of `hwnas.search` or ``hwnas search``.
        network: a network, what makes one when it is called, or ``module:callable``.
        space: the front's space; made of its text if None.
        data_folder: folder of published data; None for ``HWNAS_DATA``.

    Raises:
        InvalidValueError: the front does not say how it was made, its scores are shipped ones, a
            ready-made score was another one then, or the network has no value of any objective.

    Example:
        >>> import hwnas
        >>> from torch import nn
        >>> front = hwnas.search(objectives="params", costs="count:macs", batch_size=16, trials=8)
        >>> mine = nn.Sequential(nn.Flatten(), nn.Linear(3072, 10))
        >>> hwnas.with_baseline(front, mine).baseline.values
        (30730.0, 30720.0)
    """
    known, task = _search_of(front)
    present = present_network(network)
    with ResultCache.default() as cache:
        evaluator = make_evaluator(
            known,
            space=read_space(front.space) if space is None else space,
            data_folder=data_folder,
            cache=cache,
        )
        return replace(front, baseline=evaluate_baseline(evaluator, present, task))


def _search_of(front: ParetoSet) -> tuple[SearchSettings, Task]:
    """Tell what was searched for, and insist that another network is scored alike.

    Scores of a front without trials are shipped ones: ready-made ones rank within the whole space,
    the others were taken from as many images as their table was made with.
    """
    settings, task = front.provenance.get("settings"), recorded_task(front.provenance)
    if task is None or not isinstance(settings, Mapping) or "objectives" not in settings:
        raise InvalidValueError(
            "`baseline` must be given with a front of `hwnas search`, which says its objectives, "
            "but this one does not: evaluate the network beside your own study."
        )
    if settings.get("trials") == 0:
        raise InvalidValueError(
            "`trials` must be at least 1 for a front to compare `baseline` with, but this one has "
            "0, and its shipped scores know nothing of other networks: search again with trials."
        )
    known = SearchSettings.from_identity({k: v for k, v in settings.items() if k != "trials"})
    known.insist_on_scores_of_front(front.provenance)
    return known, task


def present_network(given: Present, limit_seconds: float | None = None) -> PresentNetwork:
    """Name a network of the user's, and say how it is made.

    Args:
        given: the network, what makes one, or ``module:callable``.
        limit_seconds: as of `PresentNetwork.named`; the others are made and run in this process.

    Raises:
        InvalidValueError: it is no network and makes none.
    """
    if isinstance(given, str):
        return PresentNetwork.named(given, limit_seconds)
    if isinstance(given, nn.Module):
        return PresentNetwork(type(given).__name__, lambda: given)
    if not callable(given):
        check_network(given, "baseline")
    name = getattr(given, "__name__", type(given).__name__)
    return PresentNetwork(name, lambda: check_network(given(), "baseline"))
