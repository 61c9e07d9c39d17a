"""Evaluators of NNI that train nothing."""

from __future__ import annotations

import logging
import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any, SupportsFloat, cast

import nni
from nni.nas.evaluator import Evaluator
from torch import nn

from hwnas.errors import InvalidArchitectureError, InvalidValueError
from hwnas.evaluation.cache import ResultCache
from hwnas.evaluation.origin import origin
from hwnas.proxies import make_proxies
from hwnas.proxies.engine.scoring import score_network
from hwnas.seeding import derive_seed
from hwnas.spaces.functions import FunctionSpace
from hwnas.study.search import make_evaluator
from hwnas.study.settings import SearchSettings
from hwnas.tasks.catalogue import name_of
from hwnas.typing import Arch, Direction, InShape, SearchSpace
from hwnas_nni.codec import known_codec
from hwnas_nni.metrics import DEFAULT, INFEASIBLE, with_default

_logger = logging.getLogger(__name__)


def report_metrics(
    metrics: Mapping[str, SupportsFloat], default: str | None = None
) -> dict[str, float]:
    """Report several metrics as a trial's final result, e.g. at the end of a training function.

    Args:
        metrics: numbers by name; what is not finite is left out, and an objective that is missing
            makes the trial a failed one.
        default: the metric that NNI's own page shows and its own algorithms maximise; the first
            one if None.

    Returns:
        What was reported: the metrics with the key `default`, which NNI insists on.

    Raises:
        InvalidValueError: a value is no number, there is no finite one, or `default` names none.

    In the function of a `nni.nas.evaluator.FunctionalEvaluator`::

        def evaluate(model):
            report_metrics({"accuracy": train(model), "latency_ms": measure(model)})
    """
    reported = with_default(metrics, default)
    nni.report_final_result(reported)
    return reported


@nni.trace
class ProxyEvaluator(Evaluator):
    """Score a frozen model of any space with zero-cost proxies.

    Args:
        proxies: proxies by name, at least one; the first is NNI's `default`.
        in_shape: (C, H, W) of an image.
        batch_size: images B of the synthetic batch.
        seed: user seed; a model's seed derives from it and its sample.
    """

    def __init__(
        self,
        proxies: Sequence[str] = ("naswot",),
        in_shape: InShape = (3, 32, 32),
        batch_size: int = 64,
        seed: int = 0,
    ) -> None:
        self.proxies = list(proxies)
        self.in_shape = tuple(in_shape)
        self.batch_size = batch_size
        self.seed = seed
        make_proxies(self.proxies)

    @property
    def objectives(self) -> dict[str, Direction]:
        """Directions of the proxies, for a `ParetoStrategy`."""
        return {proxy.name: proxy.direction for proxy in make_proxies(self.proxies)}

    def origin(self, space: SearchSpace[Arch]) -> dict[str, Any]:
        """Say what values of a space depend on, see `hwnas.evaluation.origin`."""
        del space
        seen = {"in_shape": list(self.in_shape), "batch": self.batch_size, "images": "gaussian"}
        return {"seed": self.seed, "settings": {"constraints": [], **seen}}

    def evaluate(self, model: nn.Module) -> dict[str, float]:
        """Score a network and report every proxy that is defined for it.

        Returns:
            What was reported.
        """
        sample = getattr(nni.get_current_parameter(), "sample", None)
        scores = score_network(
            model,
            (self.in_shape[0], self.in_shape[1], self.in_shape[2]),
            make_proxies(self.proxies),
            batch_size=self.batch_size,
            seed=derive_seed(self.seed, sorted((sample or {}).items(), key=str)),
        )
        found = {name: s.value for name, s in scores.items() if math.isfinite(s.value)}
        for name in scores.keys() - found.keys():
            _logger.warning("%s has no value: %s", name, scores[name].error or "it is not finite")
        if not found:
            raise InvalidValueError(f"no proxy is defined: {[s.error for s in scores.values()]}")
        return report_metrics(found)


@nni.trace
class ObjectivesEvaluator(Evaluator):
    """Evaluate objectives of hwnas by name: published tables, proxies, counters, measurements.

    For the spaces that hwnas knows: NasBench201 of NNI's hub, of which no network is built, and
    `FunctionModelSpace`, which says what its networks are for.

    Args:
        objectives: proxies and ready-made scores by name.
        costs: ``SOURCE:DEVICE:METRIC``.
        constraints: ``NAME<=NUMBER`` or ``NAME>=NUMBER``.
        dataset: classes, image size and published tables; not read where a function says them.
        batch: images that the proxies see.
        images: which: ``gaussian`` or ``cifar10-sample``.
        seed: user seed.
        data_folder: folder of published data; None for the default one.
    """

    def __init__(
        self,
        objectives: Sequence[str] = (),
        costs: Sequence[str] = (),
        constraints: Sequence[str] = (),
        dataset: str = "cifar10",
        batch: int = 16,
        images: str = "gaussian",
        seed: int = 0,
        data_folder: str | None = None,
    ) -> None:
        self.settings = SearchSettings(
            objectives=tuple(objectives),
            costs=tuple(costs),
            constraints=tuple(constraints),
            dataset=dataset,
            batch=batch,
            images=images,
            seed=seed,
        )
        self.data_folder = data_folder

    @property
    def objectives(self) -> dict[str, Direction]:
        """Directions of the objectives, for a `ParetoStrategy`."""
        made = _evaluator(self.settings, self.data_folder).objectives
        return {objective.name: objective.direction for objective in made}

    def evaluate(self, model: Any) -> dict[str, float]:
        """Refuse a bare network: objectives belong to architectures."""
        raise InvalidValueError(
            f"`model` must be run by NNI, which knows its sample, but got a {type(model).__name__}."
        )

    def origin(self, space: SearchSpace[Arch]) -> dict[str, Any]:
        """Say what values of a space depend on, see `hwnas.evaluation.origin`."""
        return origin(_evaluator(self._settings_of(space), self.data_folder, cast(Hashable, space)))

    def _settings_of(self, space: SearchSpace[Arch]) -> SearchSettings:
        if not isinstance(space, FunctionSpace):
            return self.settings
        return replace(self.settings, space=repr(space), dataset=name_of(space.default_task))

    def _execute(self, model: Any) -> dict[str, float]:
        codec = known_codec(model, model.sample)
        if codec is None:
            raise InvalidValueError(
                "`model_space` must be NasBench201 of nni.nas.hub.pytorch or a FunctionModelSpace: "
                "use ProxyEvaluator for any other."
            )
        space = cast(Hashable, codec.space)
        evaluate = _evaluator(self._settings_of(codec.space), self.data_folder, space)
        try:
            evaluation = evaluate(codec.from_sample(model.sample))
        except InvalidArchitectureError:  # A function refuses what NNI's own strategies draw.
            return report_metrics({DEFAULT: 0.0, INFEASIBLE: 1.0})
        if not evaluation.feasible:
            return report_metrics({DEFAULT: 0.0, INFEASIBLE: 1.0})
        values = {name: evaluation.values.get(name, math.nan) for name in self.objectives}
        found = {name: value for name, value in values.items() if math.isfinite(value)}
        return report_metrics(found or {DEFAULT: 0.0})


@lru_cache(maxsize=8)
def _evaluator(
    settings: SearchSettings, data_folder: str | None, space: Hashable | None = None
) -> Any:
    folder = None if data_folder is None else Path(data_folder)
    cache = ResultCache.default()
    made = cast("SearchSpace[Any] | None", space)
    return make_evaluator(settings, space=made, data_folder=folder, cache=cache)
