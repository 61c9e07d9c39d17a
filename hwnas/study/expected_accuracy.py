"""The accuracies that a front's members are expected to have, from labels of its space."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Unpack

from hwnas.errors import InvalidValueError
from hwnas.evaluation.evaluator import EvaluatorOptions
from hwnas.evaluation.objectives import ValueObjective
from hwnas.evaluation.sources import ProxyValues
from hwnas.pareto.pareto_set import ParetoSet
from hwnas.proxies import make_proxies
from hwnas.ranking.recipes import RECIPES, Recipe
from hwnas.study.configuration import REFERENCE_SIZE, EvaluationSetup, bounded
from hwnas.study.labels import Elsewhere, read_labels
from hwnas.study.learned_space import LEAST_LABELS, different_networks, learn_space
from hwnas.study.sample import BEGINNING, Labelled
from hwnas.study.settings import LEARNED, SearchSettings
from hwnas.study.stability import scores_of
from hwnas.tables.shipped.table import shipped_columns
from hwnas.typing import Arch, SearchSpace


def with_expected_accuracy(
    front: ParetoSet,
    space: SearchSpace[Arch],
    labels: Mapping[str, float],
    *,
    origin: Mapping[str, Any] | None = None,
    drawn: int | None = None,
    elsewhere: Sequence[Labelled[Any]] = (),
    setup: EvaluationSetup[Arch] | None = None,
    **options: Unpack[EvaluatorOptions],
) -> ParetoSet:
    """State what each member's accuracy is expected to be.

    The model of `hwnas.study.accuracy_learning` begins with the score that the front was found by,
    and sees the labelled networks and as many drawn from the space; where scores ship with hwnas,
    those of `hwnas-any` too.

    Args:
        front: of `hwnas.search` or ``hwnas search``.
        space: its space.
        labels: accuracy in percent by the text of the architecture, members or not.
        origin: what the labels are, for the provenance.
        drawn: networks drawn from the space; `REFERENCE_SIZE` if None.
        elsewhere: networks trained for other data sets, or of other spaces.
        setup: the search's, with its data folder, device and limit; None for what the front says,
            with the defaults of these.
        options: how networks are scored; the limits are those of the setup.

    Raises:
        InvalidValueError: there are fewer than `LEAST_LABELS` labels of different networks, or the
            front does not say how it was found.
    """
    settings, score = _found_by(front)
    setup = EvaluationSetup.of(settings, space) if setup is None else setup
    options["limits"] = bounded(space, setup.limit_seconds)
    options["task"] = setup.task
    source = setup.proxies(make_proxies(_inputs(setup, score)))
    begin = score if set(BEGINNING.proxies) - set(source.columns) else BEGINNING
    drawn = REFERENCE_SIZE if drawn is None else drawn
    learned = learn_space(source, labels, drawn, score=begin, elsewhere=elsewhere, **options)
    members = [space.representative(space.parse(member.arch)) for member in front.members]
    columns = scores_of(source, members, **options)
    return learned.state(front, columns, origin or {})


def learned_objective(
    setup: EvaluationSetup[Arch],
    source: ProxyValues[Arch],
    **options: Unpack[EvaluatorOptions],
) -> ValueObjective[Arch]:
    """Make the accuracy that is expected by the labels of a setup an objective.

    Args:
        setup: space, task, seed, and the file of labels.
        source: its proxies; must hold those of `BEGINNING`.
        options: how networks are scored.

    Raises:
        InvalidValueError: there are no labels, or too few.
        HwnasError: the file, or what is to be transferred, is not there or damaged.
    """
    if not setup.labels:
        raise InvalidValueError(
            f"`labels` must be given with the objective {LEARNED}: a file with the columns "
            f"architecture and accuracy, of at least {LEAST_LABELS} trained networks."
        )
    learned = learn_space(
        source,
        read_labels(setup.labels, setup.space),
        REFERENCE_SIZE,
        names=BEGINNING.needed,
        elsewhere=labelled_elsewhere(setup, BEGINNING.needed, **options),
        **options,
    )
    return learned.objective(LEARNED)


def insist_on_labels(setup: EvaluationSetup[Any]) -> None:
    """Insist that what a search is to learn from is there, before it is begun.

    Raises:
        HwnasError: the file of labels, or what is to be transferred, is not there or damaged, or
            there are too few labels.
    """
    different_networks(setup.space, read_labels(setup.labels, setup.space))
    for text in setup.transfer:
        Elsewhere.read(text, setup.data_folder)


def labelled_elsewhere(
    setup: EvaluationSetup[Any], proxies: Sequence[str], **options: Unpack[EvaluatorOptions]
) -> list[Labelled[Any]]:
    """Give the networks that a setup transfers from, see `Elsewhere.labelled`."""
    known = [Elsewhere.read(text, setup.data_folder) for text in setup.transfer]
    return [networks.labelled(setup, proxies, **options) for networks in known]


def _found_by(front: ParetoSet) -> tuple[SearchSettings, Recipe]:
    """Find what a front was searched for, and by which score."""
    settings = front.provenance.get("settings")
    if not isinstance(settings, Mapping) or not settings.get("objectives"):
        raise InvalidValueError(
            "`front` must be one of `hwnas search`, which says its objectives, but this one does "
            "not: learn with `hwnas rank --truth FILE --labels N` instead."
        )
    s = SearchSettings.from_identity({k: v for k, v in settings.items() if k != "trials"})
    name = s.objectives[0]
    score = BEGINNING if name == LEARNED else RECIPES.get(name)
    score = score or Recipe(name, tuple(p.name for p in make_proxies([name])), "")
    return s, score


def _inputs(setup: EvaluationSetup[Any], score: Recipe) -> Sequence[str]:
    """Name the proxies that are learned from: the score's, and what needs no passes."""
    free = BEGINNING.proxies
    source = setup.proxies(make_proxies(free))
    shipped = shipped_columns(setup.space.name)
    known = [n for n in free if shipped.get(source.cache_prefix(n)) is not None]
    return tuple(dict.fromkeys((*score.needed, *known, "params")))
