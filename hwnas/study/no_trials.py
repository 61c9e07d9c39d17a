"""The front that shipped scores and known costs give of a whole space, without a trial."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from hwnas.data.own_images import OwnImages
from hwnas.errors import InvalidValueError, unknown_name
from hwnas.evaluation.evaluator import Evaluation, Evaluator
from hwnas.evaluation.objectives import cost_objective
from hwnas.evaluation.origin import origin
from hwnas.evaluation.sources import CostValues, Effort
from hwnas.pareto import ObjectiveInfo, ParetoSet
from hwnas.pareto.metrics import front_quality, is_non_dominated, to_losses
from hwnas.pareto.pareto_set import Status
from hwnas.pareto.provenance import describe_environment
from hwnas.proxies import make_proxies, proxy_names
from hwnas.ranking.metrics import seed_stability
from hwnas.ranking.recipes import RECIPES, Recipe
from hwnas.spaces.facets import Listing, facet
from hwnas.study.configuration import EvaluationSetup, make_constraints
from hwnas.study.labels import published_classes
from hwnas.study.settings import FRONT_SCORES, SearchSettings, score_versions
from hwnas.tables.shipped import ShippedScores, shipped_scores
from hwnas.typing import FloatArray

BY_DEFAULT = "hwnas-any"
"""Score of a search that names none: where all scores are known, the best costs no more."""
_NO_PART = ("batch", "sampler")
"""Settings that are nobody's here; `scores` in the provenance says which images each score saw."""


@dataclass(frozen=True, eq=False)
class KnownSpace:
    """Every network of a space, once, with scores that ship with hwnas and costs that are known.

    Attributes:
        setup: space, task and images.
        settings: scores, costs and constraints.
        scores: the shipped scores.
    """

    setup: EvaluationSetup[Any]
    settings: SearchSettings
    scores: ShippedScores

    @classmethod
    def of(cls, setup: EvaluationSetup[Any], settings: SearchSettings) -> KnownSpace:
        """Find the scores.

        Raises:
            InvalidValueError: there are none of the space, it cannot be listed, or they are for
                another data set.
        """
        space, task, usual = setup.space, setup.task, setup.space.default_task
        # Scores do not depend on the name of a task.
        name = usual.name if task.settings == usual.settings else task.name
        own = OwnImages.parse(setup.images) is not None
        found = None if own else shipped_scores(space.name, name, setup.images)
        others = None if own else shipped_scores(space.name, usual.name, setup.images)
        if found is None and others is not None:
            raise InvalidValueError(
                f"`dataset` must be {usual.name} for {space.name} where `trials` is 0, since no "
                f"scores for others ship with hwnas, but got {task.name!r}."
            )
        if facet(space, Listing) is None or found is None:
            raise InvalidValueError(
                f"`trials` must be at least 1 for {space.name}, since no scores of all of its "
                f"networks ship with hwnas for {setup.images} images, but got 0."
            )
        if not all(column.is_of(space) for column in found.about.values()):
            raise InvalidValueError(
                f"`trials` must be at least 1 for {space!r}, since the shipped scores are of "
                f"{space.name} with other settings, but got 0."
            )
        return cls(setup, settings, found)

    def front(self) -> ParetoSet:
        """Give the networks that no other one beats in scores and costs.

        Where accuracies of the space are published for the task, ``no_trials`` in the provenance
        has the tight hypervolume and the recall that the front's true accuracies have.

        Raises:
            InvalidValueError: a score is not shipped, or a cost would have to be measured.
        """
        space, s = self.setup.space, self.settings
        listed: Any = facet(space, Listing)
        archs = list(dict.fromkeys(space.representative(a) for a in listed if space.is_valid(a)))
        keys = [space.canonical_key(arch) for arch in archs]
        names = s.objectives or (BY_DEFAULT,)
        scores = [self._score(name, keys) for name in names]
        settings = asdict(replace(s, objectives=names))
        evaluator = self._costs()
        found = evaluator.evaluate(archs)
        costs = [[e.values.get(o.name, np.nan) for e in found] for o in evaluator.objectives]
        infos = [
            *(info for info, _ in scores),
            *(ObjectiveInfo(o.name, o.unit, o.direction) for o in evaluator.objectives),
        ]
        table = np.array([*(values for _, values in scores), *costs]).T
        statuses = [_status(e, row) for e, row in zip(found, table, strict=True)]
        facts = {
            **describe_environment(),
            **origin(evaluator),
            "settings": {name: v for name, v in settings.items() if name not in _NO_PART},
            "seed": s.seed,
            "dataset": self.setup.task.as_dict(),
            "scores": dict(self.scores.provenance),
            **({FRONT_SCORES: versions} if (versions := score_versions(names)) else {}),
            **self._rated(keys, table, statuses, infos),
        }
        return ParetoSet.from_values(
            archs,
            keys,
            table,
            infos,
            space=space,
            statuses=statuses,
            provenance=facts,
        )

    def _score(self, name: str, keys: Sequence[str]) -> tuple[ObjectiveInfo, FloatArray]:
        """Give a proxy's values, or join the ranks of a score's proxies within the whole space."""
        recipe = RECIPES.get(name)
        if recipe is None:
            if name.partition(":")[0] not in proxy_names():
                raise unknown_name("objective", name, [*proxy_names(), *RECIPES])
            proxy = make_proxies([name])[0]
            values = self._columns([proxy.name], keys)[:, 0]
            return ObjectiveInfo(proxy.name, "", proxy.direction), values
        recipe = recipe.restricted_to(self.scores.table.columns)
        recipe = recipe.weighed_by(self._agreement(recipe))
        values = recipe.in_population(self._columns(recipe.proxies, keys))
        return ObjectiveInfo(name, "", "maximize"), values

    def _columns(self, names: Sequence[str], keys: Sequence[str]) -> FloatArray:
        table = self.scores.table
        for name in names:
            if name not in table.columns:
                raise unknown_name("shipped score", name, table.columns)
        if not names:
            raise InvalidValueError("`objectives` must have shipped proxies, but have none.")
        return np.column_stack([table.values(name, keys) for name in names])

    def _agreement(self, recipe: Recipe) -> Mapping[str, float]:
        again = self.scores.again
        known = again.keys or ()
        return {
            name: seed_stability(self.scores.table.values(name, known), again.columns[name])
            for name in recipe.needed
        }

    def _costs(self) -> Evaluator[Any]:
        space = self.setup.space
        models = [self.setup.cost(spec) for spec in self.settings.costs]
        objectives = [cost_objective(space, model) for model in models]
        constraints = make_constraints(self.setup, self.settings.constraints, objectives)
        bounded = (constraint.objective for constraint in constraints)
        for objective in (*objectives, *bounded):
            source = getattr(objective, "source", None)
            if not isinstance(source, CostValues) or source.effort is Effort.MEASURE:
                raise InvalidValueError(
                    f"`costs` must be known without a trial where there is none, but "
                    f"{objective.name} is not: take a table, a count or a predictor, or --trials."
                )
        return Evaluator(space, objectives, constraints)

    def _rated(
        self,
        keys: Sequence[str],
        table: FloatArray,
        statuses: Sequence[Status],
        infos: Sequence[ObjectiveInfo],
    ) -> dict[str, Any]:
        """Rate the front by published accuracies in place of the scores, where there are any.

        What breaks a constraint belongs neither to the front nor to those that it is compared with.
        """
        setup = self.setup
        found = published_classes(setup.space, setup.task.name, setup.data_folder)
        if found is None:
            return {}
        known, split = found
        there = [i for i, s in enumerate(statuses) if s == "complete" and keys[i] in known.rows]
        if not there:
            return {}
        losses = to_losses(table[there], [info.direction for info in infos])
        accuracies = known.means[[known.rows[keys[i]] for i in there]]
        scores = len(self.settings.objectives) or 1
        truth = np.column_stack([-accuracies, losses[:, scores:]])
        quality = front_quality(truth[is_non_dominated(losses)], truth)
        told = {"tight_hypervolume": quality.tight_hypervolume, "recall": quality.recall}
        return {"no_trials": {**told, "published": f"{setup.task.name}, {split}"}}


def _status(evaluation: Evaluation[Any], row: FloatArray) -> Status:
    if any(value > 0 for value in evaluation.violations.values()):
        return "infeasible"
    return "complete" if np.isfinite(row).all() else "failed"


def quality_of(front: ParetoSet) -> list[str]:
    """Say how good a front without trials is by published accuracies; nothing if it is not known.

    Args:
        front: of `KnownSpace.front`, or any other.
    """
    told = front.provenance.get("no_trials")
    if not isinstance(told, Mapping):
        return []
    # Where the true front encloses nothing, e.g. of one network, there is no share of it.
    volume, recall = told["tight_hypervolume"], told["recall"]
    share = "" if volume is None else f"tight hypervolume {volume:.3f} of the true front's, "
    found = f"{share}{recall:.2f} of the true front's members."
    return [f"Without a trial, by the published accuracies ({told['published']}): {found}"]
