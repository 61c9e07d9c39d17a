"""From names to objectives: what a study is made of when it is described in words.

The command line and scripts share this: proxies, ready-made scores, costs and constraints by
name give the objectives of an evaluator.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Unpack

import numpy as np

from hwnas import registry
from hwnas.data.own_images import OwnImages, check_images
from hwnas.data.real_images import real_images
from hwnas.errors import HwnasError, InvalidValueError, unknown_name
from hwnas.evaluation.evaluator import Evaluation, Evaluator, EvaluatorOptions
from hwnas.evaluation.objectives import (
    ValueObjective,
    cost_objective,
    match_objective,
    proxy_objective,
)
from hwnas.evaluation.sources import ProxyValues
from hwnas.files.grammar import split_constraint
from hwnas.measure.conversation import InChild
from hwnas.measure.limits import Limits, within_memory
from hwnas.seeding import derive_seed
from hwnas.spaces.equivalence import TracedEquivalence
from hwnas.spaces.space_text import insist_on_space
from hwnas.study.settings import LEARNED
from hwnas.tasks.catalogue import get_task
from hwnas.tasks.reduced import Reduced
from hwnas.tasks.task import Task, image_task
from hwnas.typing import Arch, Constraint, CostModel, Proxy, SearchSpace

if TYPE_CHECKING:
    from hwnas.ranking.recipes import Recipe
    from hwnas.study.settings import SearchSettings
    from hwnas.tasks.batch import Batch

REFERENCE_SIZE = 256
"""Architectures that a calibrated score is ranked against."""
_ATTEMPTS = 100


@dataclass(frozen=True)
class EvaluationSetup(Generic[Arch]):
    """Which networks are evaluated, and on what they are scored.

    Attributes:
        space: search space.
        task: what the networks are built for; its name is that of published tables' data set.
        batch_size: images of the synthetic batch that proxies see.
        seed: user seed.
        data_folder: folder of published data, or None for the default one.
        images: what proxies see: ``gaussian``, ``cifar10-sample`` (1,000 published images), or
            the user's own, see `hwnas.data.own_images.OwnImages`.
        limit_seconds: longest time for a measurement whose text does not say it; None for the
            default.
        device: where proxies run their passes, see `hwnas.networks.device`.
        reduced: the smaller setting that proxies score in; None for the task's own.
        labels: file of accuracies that are learned from, see `hwnas.study.labels`; empty for none.
        transfer: networks trained elsewhere that help, as texts.

    Raises:
        InvalidValueError: the space is its name or its class, or the task is no task.
        UnknownNameError: there are no such images.
    """

    space: SearchSpace[Arch]
    task: Task
    batch_size: int = 64
    seed: int = 0
    data_folder: Path | None = None
    images: str = "gaussian"
    limit_seconds: float | None = None
    device: str = "cpu"
    reduced: Reduced | None = None
    labels: str = ""
    transfer: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        settings: SearchSettings,
        space: SearchSpace[Arch],
        *,
        data_folder: Path | None = None,
        limit_seconds: float | None = None,
        device: str = "cpu",
    ) -> EvaluationSetup[Arch]:
        """Give what a search with these settings evaluates on; the rest is the host's."""
        s = settings
        return cls(
            space,
            named_task(s.dataset, s.images),
            s.batch,
            s.seed,
            data_folder,
            s.images,
            limit_seconds,
            device,
            Reduced.parse(s.reduced),
            s.labels,
            s.transfer,
        )

    def cost(self, spec: str) -> CostModel[Arch]:
        """Make the cost model of a text, see `hwnas.costs.source.make_cost`."""
        from hwnas.costs.source import make_cost

        limits = None if self.limit_seconds is None else Limits(self.limit_seconds)
        return make_cost(spec, self.space, self.task, self.data_folder, limits)

    def __post_init__(self) -> None:
        """Refuse what only stands for a space or a task, and images and devices of no such name."""
        insist_on_space(self.space)
        given: object = self.task
        if not isinstance(given, Task):
            raise InvalidValueError(
                f"`task` must be a task, but got {given!r}: make it by "
                f"hwnas.tasks.catalogue.get_task(NAME), e.g. of 'cifar10' or '1x96x96:7'."
            )
        check_images(self.images)
        if self.device != "cpu":
            from hwnas.networks.device import read_device

            read_device(self.device)

    @property
    def batch(self) -> Batch | None:
        """The real images, or None for Gaussian ones; see `real_images`."""
        found = real_images(self.images, self.batch_size, self.task, self.data_folder)
        if found is None or self.reduced is None:
            return found
        return self.reduced.batch(found, self.task)

    def proxies(self, proxies: Sequence[Proxy]) -> ProxyValues[Arch]:
        """Make the source of these proxies' scores."""
        small, size = self.reduced, self.batch_size
        return ProxyValues(
            self.space,
            tuple(proxies),
            self.task if small is None else small.task(self.task),
            size if small is None else small.batch_size(size),
            self.seed,
            self.batch,
            device=self.device,
        )


def named_task(dataset: str, images: str = "gaussian") -> Task:
    """Find what networks are built for: by the user's own images, see `OwnImages.task_for`.

    Raises:
        UnknownNameError: there is no such data set.
        HwnasError: the user's images cannot be read, or do not say their classes.
    """
    own = OwnImages.parse(images)
    return get_task(dataset) if own is None else own.task_for(dataset)


def recorded_task(provenance: Mapping[str, Any]) -> Task | None:
    """Find what the networks of a front were built for; None if it does not say."""
    if {"num_classes", "in_shape"} <= provenance.keys():
        return image_task(provenance["num_classes"], provenance["in_shape"])
    if isinstance(task := provenance.get("dataset"), Mapping):
        return Task.from_dict(task)
    settings = provenance.get("settings")
    if isinstance(settings, Mapping) and "dataset" in settings:
        return named_task(settings["dataset"], settings.get("images", "gaussian"))
    return None


def limits_of(space: SearchSpace[Arch], seconds: float | None = None) -> Limits | None:
    """Give what one network of a space may take, or None: the networks of hwnas itself end.

    Args:
        space: search space.
        seconds: what the user allows; None for the default of a space that is the user's own.

    Raises:
        InvalidValueError: `seconds` is not above 0.
    """
    if seconds is not None:
        return Limits(seconds)
    kind = type(getattr(space, "wrapped", space))
    ours = f"{kind.__module__}:{kind.__qualname__}" in registry.BUILT_IN["spaces"].values()
    return None if ours else Limits()


def bounded(space: SearchSpace[Arch], seconds: float | None = None) -> Limits | None:
    """Let what a space of the user's own asks for and traces run in child processes, from now on.

    Args:
        space: search space.
        seconds: what the user allows for one network; None for the default.

    Returns:
        What one network may take: see `limits_of`, and the memory that there is.
    """
    limits = limits_of(space, seconds)
    limits = None if limits is None else within_memory(limits)
    inner = getattr(space, "wrapped", space)
    if limits is not None and isinstance(inner, TracedEquivalence):
        object.__setattr__(inner, "elsewhere", InChild(limits))  # it may be frozen
    return limits


def reference_sample(space: SearchSpace[Arch], n: int, seed: int) -> list[Arch]:
    """Draw the representatives of `n` different valid classes, or of all there are.

    Args:
        space: search space.
        n: number of architectures.
        seed: equal seeds give equal samples.

    Raises:
        InvalidValueError: the space raises something.
    """
    try:
        return _reference_sample(space, n, seed)
    except HwnasError:
        raise
    except Exception as error:
        raise InvalidValueError(
            f"`space` must sample architectures and describe them, but {space.name} raised "
            f"{type(error).__name__}: {error}"
        ) from error


def _reference_sample(space: SearchSpace[Arch], n: int, seed: int) -> list[Arch]:
    rng = np.random.default_rng(derive_seed(seed, repr(space), "reference"))
    found: dict[str, Arch] = {}
    for _ in range(n * _ATTEMPTS):
        if len(found) == n:
            break
        arch = space.sample(rng)
        if space.is_valid(arch):
            found.setdefault(space.canonical_key(arch), space.representative(arch))
    return list(found.values())


def score_objective(
    source: ProxyValues[Arch],
    recipe: Recipe,
    *,
    size: int = REFERENCE_SIZE,
    **options: Unpack[EvaluatorOptions],
) -> ValueObjective[Arch]:
    """Make a ready-made score an objective, calibrated against a reference sample.

    The ranks of an architecture's raw proxy values are taken within a fixed, seeded sample of the
    space, so that its score does not change while a study grows. The sample is scored once and
    kept in the cache. A proxy that has no value in the whole sample, e.g. one that counts
    rectifiers where there are none, is left out with a warning. A reliable score's weights depend
    on how well two seeds agree in the space, see `hwnas.study.stability`.

    Args:
        source: source of the proxies; must hold those of the recipe.
        recipe: the proxies that are joined.
        size: architectures in the sample.
        options: how the sample is scored.

    Raises:
        InvalidValueError: no proxy has a value in this space.
    """
    objectives = [proxy_objective(source, name) for name in recipe.needed]
    sample = reference_sample(source.space, size, source.seed)
    found = Evaluator(source.space, objectives, **options).evaluate(sample)
    recipe = _applicable(recipe, found)
    if recipe.reliable:
        from hwnas.study.stability import seed_agreement

        trusted = replace(
            source, proxies=tuple(p for p in source.proxies if p.name in recipe.needed)
        )
        agreement = seed_agreement(trusted, **options)
        recipe = recipe.weighed_by(agreement)
    columns = recipe.proxies
    known = np.array([[e.values[c] for c in columns] for e in found])
    ranking = recipe.against(known)
    return ValueObjective(
        recipe.name,
        "",
        "maximize",
        source,
        columns,
        lambda raw: float(ranking.score(np.array([[raw[c] for c in columns]]))[0]),
        tuple(ranking.score(known).tolist()),
    )


def _applicable(recipe: Recipe, found: Sequence[Evaluation[Any]]) -> Recipe:
    """Leave out what has no value anywhere; the first reason is named."""
    absent = {p for p in recipe.proxies if all(np.isnan(e.values[p]) for e in found)}
    if absent:
        reasons = "; ".join(f"{p}: {found[0].errors.get(p, 'NaN')}" for p in sorted(absent))
        if len(absent) == len(recipe.proxies):
            raise InvalidValueError(f"`{recipe.name}` has no value in this space: {reasons}")
        warnings.warn(
            f"{recipe.name} goes without {', '.join(sorted(absent))} in this space ({reasons})",
            stacklevel=3,
        )
    return recipe.restricted_to(set(recipe.needed) - absent)


def make_objectives(
    setup: EvaluationSetup[Arch],
    names: Sequence[str],
    costs: Sequence[str],
    **options: Unpack[EvaluatorOptions],
) -> list[ValueObjective[Arch]]:
    """Make objectives of proxy names, score names and cost specifications.

    Args:
        setup: space, task, seed.
        names: proxies, as `make_proxies` reads them (``naswot``), ready-made scores (``az-nas``),
            and ``hwnas-model``, the accuracy expected by the labels of the setup.
        costs: ``SOURCE:DEVICE:METRIC``, e.g. ``hw-nas-bench:edgegpu:energy``.
        options: how a score's reference sample is scored.

    Raises:
        UnknownNameError: a name is in no table.
        InvalidValueError: ``hwnas-model`` is asked for without labels.
    """
    from hwnas.proxies import make_proxies
    from hwnas.ranking.recipes import RECIPES
    from hwnas.study.expected_accuracy import learned_objective
    from hwnas.study.sample import BEGINNING

    _insist_on_objectives(names)
    parts = {LEARNED: BEGINNING.needed, **{name: r.needed for name, r in RECIPES.items()}}
    needed = [p for n in names for p in parts.get(n, (n,))]
    source = setup.proxies(make_proxies(list(dict.fromkeys(needed))))
    cost_models = [setup.cost(spec) for spec in costs]

    def score(name: str) -> ValueObjective[Arch]:
        if name == LEARNED:
            return learned_objective(setup, source, **options)
        if name in RECIPES:
            return score_objective(source, RECIPES[name], **options)
        return proxy_objective(source, make_proxies([name])[0].name)

    scores = [score(name) for name in names]
    return [*scores, *(cost_objective(setup.space, cost) for cost in cost_models)]


def names_of_scores(names: Sequence[str]) -> list[str]:
    """Give the names of the objectives that these proxies and ready-made scores are.

    Raises:
        UnknownNameError: a name is in no table.
    """
    from hwnas.proxies import make_proxies
    from hwnas.ranking.recipes import RECIPES

    _insist_on_objectives(names)
    joined = {*RECIPES, LEARNED}
    return [name if name in joined else make_proxies([name])[0].name for name in names]


def without_scores(texts: Sequence[str], scores: Sequence[str]) -> list[str]:
    """Choose the constraints that are on none of these objectives, see `names_of_scores`.

    One on a proxy that is a count stays: it is known before a network is scored.
    """
    waiting = {*scores} - {*_counters()}
    return [text for text in texts if split_constraint(text)[0] not in waiting]


def _insist_on_objectives(names: Sequence[str]) -> None:
    from hwnas.proxies import proxy_names
    from hwnas.ranking.recipes import RECIPES

    known = proxy_names()
    for name in names:
        if name.partition(":")[0] not in known and name not in (*RECIPES, LEARNED):
            raise unknown_name("objective", name, [*known, *RECIPES, LEARNED])


def make_constraints(
    setup: EvaluationSetup[Arch],
    texts: Sequence[str],
    objectives: Sequence[ValueObjective[Arch]],
    scores: Sequence[str] = (),
) -> list[Constraint[Arch]]:
    """Read constraints such as ``latency<=5``, ``params<=1e6`` or ``hw-nas-bench:raspi4<=20``.

    Args:
        setup: space and task.
        texts: ``NAME<=NUMBER`` or ``NAME>=NUMBER``; the name is an objective's, an objective's
            metric, a counter's, or a cost specification. The number is in the cost's unit.
        objectives: the study's objectives.
        scores: names of objectives that are made later, for who misspells one.

    Raises:
        InvalidValueError: a name is none of these.
    """
    constraints: list[Constraint[Arch]] = []
    for text in texts:
        name, relation, bound = split_constraint(text)
        objective = _bounded_objective(setup, name, objectives, scores)
        constraints.append(Constraint(objective, relation, bound))
    return constraints


def _bounded_objective(
    setup: EvaluationSetup[Arch],
    name: str,
    objectives: Sequence[ValueObjective[Arch]],
    scores: Sequence[str],
) -> ValueObjective[Arch]:
    objective = match_objective(name, objectives)
    if objective is None:
        known = [*(o.name for o in objectives), *scores]
        return cost_objective(setup.space, _named_cost(setup, name, known))
    if isinstance(objective.source, ProxyValues) and name in _counters():
        # The same number, but known before a network is scored, and of no reduced image.
        return cost_objective(setup.space, setup.cost(f"count:{name}"))
    return objective


def _counters() -> list[str]:
    return [metric for _, metric, _, _ in registry.load("costs", "count")().options()]


def _named_cost(setup: EvaluationSetup[Any], name: str, objectives: Sequence[str]) -> Any:
    counters = _counters()
    if name in counters:
        return setup.cost(f"count:{name}")
    if ":" not in name:
        error = unknown_name("constraint", name, [*objectives, *counters])
        raise InvalidValueError(f"{error} A cost is written SOURCE:DEVICE:METRIC.")
    return setup.cost(name)
