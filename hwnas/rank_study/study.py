"""One run of `hwnas rank`: which architectures, which scores of them, which accuracies."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Unpack

import numpy as np

from hwnas.data.own_images import check_images
from hwnas.errors import InvalidValueError, UnknownNameError, unknown_name
from hwnas.evaluation.evaluator import EvaluatorOptions
from hwnas.measure.endless import forget
from hwnas.rank_study.comparison import candidates
from hwnas.rank_study.costs import costs_of
from hwnas.rank_study.model_recipes import MODEL_RECIPES
from hwnas.rank_study.population import Scored, scored_sample, shipped_population
from hwnas.rank_study.rows import KnownAccuracies, Row, learned_rows, score_rows
from hwnas.ranking.ranks import average_ranks
from hwnas.ranking.recipes import RECIPES
from hwnas.spaces.facets import Equivalence, Listing, RankFigures, Truth, facet, quantity_of
from hwnas.spaces.space_text import named_space
from hwnas.study.configuration import EvaluationSetup, bounded, named_task
from hwnas.study.labels import Elsewhere
from hwnas.tables.accuracy_file import LOSS, AccuracyFile
from hwnas.tables.score_table import OTHER_COLUMNS, columns_of, read_scores
from hwnas.tables.shipped import shipped_scores
from hwnas.tables.table import Table
from hwnas.tasks.catalogue import get_task, name_of
from hwnas.tasks.reduced import Reduced
from hwnas.typing import Arch, FloatArray, SearchSpace

POPULATIONS = ("live", "all", "networks")


@dataclass(frozen=True)
class RankSettings:
    """What is ranked, and by what.

    Attributes:
        space: search space, as `named_space` reads it.
        datasets: data sets by name, none for the space's usual one; a file's are for one.
        split: which accuracies; the first that the data set has if None.
        truth: table of accuracies, instead of those that the space knows.
        scores: table of scores, instead of the shipped ones.
        population: of the shipped scores: ``live``, ``all`` or ``networks``; None for live ones
            where the space tells them, else all.
        proxies: proxies and ready-made scores; ``all`` for every one. Of a table of scores also
            columns that are no proxies, after a minus where less is better.
        sample: different networks to score, instead of the shipped scores.
        labels: numbers of architectures that rankings are learned from.
        transfer: networks trained for other data sets or of other spaces that help, as texts.
        ndcg: P of nDCG@P.
        resamples: bootstrap resamples; 0 for none.
        against: name of a score that the others' tau is compared with; None for none.
        cost: cost whose front with each score is rated, e.g. ``hw-nas-bench:edgegpu:latency``;
            None for none.
        seed: seed of everything random.
        second_seed: seed of scores that the sample's are compared with.
        batch: images of the proxies' input.
        images: which: ``gaussian`` or ``cifar10-sample``.
        data: data folder; None for the default one.
        reduced: smaller setting that a sample is scored in, see `Reduced`; empty for none.
    """

    space: str = "nasbench201"
    datasets: tuple[str, ...] = ()
    split: str | None = None
    truth: Path | None = None
    scores: Path | None = None
    population: str | None = None
    proxies: tuple[str, ...] = ("all",)
    sample: int | None = None
    labels: tuple[int, ...] = ()
    transfer: tuple[str, ...] = ()
    ndcg: int = 1000
    resamples: int = 0
    against: str | None = None
    cost: str | None = None
    seed: int = 0
    second_seed: int | None = None
    batch: int = 16
    images: str = "gaussian"
    data: Path | None = None
    reduced: str = ""


@dataclass(frozen=True)
class Ranked:
    """The rows of one data set.

    Attributes:
        population: what was ranked.
        rows: see `score_rows` and `learned_rows`.
        remark: how published figures among the rows compare, if that needs a word.
        accuracies: (n,) accuracies of the population, or negative losses; None where they were not
            kept.
    """

    population: Table[Any]
    rows: list[Row]
    remark: str | None = None
    accuracies: FloatArray | None = None

    def points(self, most: int = 400) -> dict[tuple[str, str], list[tuple[float, float]]]:
        """Give ranks and accuracies for a plot.

        Args:
            most: architectures; the first of the population, whose order has no meaning.

        Returns:
            By data set and score: rank among all, 0 for the worst and 1 for the best, and accuracy
            in percent, or loss. Architectures without a score are left out.
        """
        if self.accuracies is None or not self.rows:
            return {}
        dataset, truth = str(self.rows[0]["dataset"]), self.accuracies[:most]
        truth = -truth if self.rows[0].get("column") == LOSS else truth
        found = {}
        for candidate in candidates(self.population.columns):
            known = np.isfinite(candidate.scores)
            ranks = average_ranks(np.where(known, candidate.scores, -np.inf)) / len(known)
            pairs = zip(ranks[:most], truth, known[:most], strict=True)
            found[dataset, candidate.name] = [
                (round(float(x), 4), round(float(y), 3)) for x, y, there in pairs if there
            ]
        return found


@dataclass(frozen=True)
class RankStudy:
    """A run that is ready: everything that is named has been found.

    Attributes:
        settings: what is ranked.
        space: the search space.
        truths: what it is ranked by, by data set.
        proxies: proxies that are needed; None for all there are.
        elsewhere: what `transfer` names.
        own: columns of the table of scores that are no proxies, after a minus where less is better.
    """

    settings: RankSettings
    space: SearchSpace[Any]
    truths: Mapping[str, KnownAccuracies[Any]]
    proxies: list[str] | None
    elsewhere: tuple[Elsewhere, ...] = ()
    own: tuple[str, ...] = ()

    @classmethod
    def prepare(cls, settings: RankSettings, space: SearchSpace[Arch] | None = None) -> RankStudy:
        """Find space, data sets, proxies and accuracies.

        Args:
            settings: what is ranked.
            space: the search space; made of its text if None.

        Raises:
            HwnasError: one of them is not there, or what is asked for does not go together.
        """
        _check(settings)
        forget()
        space = named_space(settings.space) if space is None else space
        bounded(space)
        if settings.population not in (None, *POPULATIONS):
            raise unknown_name("population", str(settings.population), POPULATIONS)
        check_images(settings.images)
        named = settings.datasets or (name_of(space.default_task),)
        datasets = [get_task(name).name for name in dict.fromkeys(named)]
        own, proxies = _own_and_proxies(settings)
        truth = _truth(settings, space)
        if settings.split not in (None, *truth.splits):
            raise unknown_name("split", str(settings.split), truth.splits)
        known = {d: _known(truth, d, settings) for d in datasets}
        truths = {
            d: KnownAccuracies(space, d, split, found, quantity_of(truth, d))
            for d, (split, found) in known.items()
        }
        elsewhere = tuple(Elsewhere.read(text, settings.data) for text in settings.transfer)
        return cls(settings, space, truths, proxies, elsewhere, own)

    def run(
        self,
        note: Callable[[str], None],
        **options: Unpack[EvaluatorOptions],
    ) -> list[Ranked]:
        """Rank by the accuracies of each data set.

        Args:
            note: is told what was left out.
            options: how a sample is scored, and costs are predicted; where no limits are given
                they are those of the space.
        """
        settings, found = self.settings, []
        options.setdefault("limits", bounded(self.space))
        given = None if settings.sample is not None else self._given(note)
        for truth in self.truths.values():
            members, stability = given or self._sample(truth, **options)
            members = _with_accuracy(members, truth, note)
            rows = score_rows(
                members,
                truth,
                p=settings.ndcg,
                resamples=settings.resamples,
                seed=settings.seed,
                stability=stability,
                against=settings.against,
                costs=self._costs(truth.dataset, members.archs, note, **options),
                report=options.get("report"),
            )
            learnt = members.select([name for name in members.columns if name not in self.own])
            setup, columns = self._setup(truth.dataset), list(learnt.columns)
            known = [each.labelled(setup, columns, **options) for each in self.elsewhere]
            for labels in dict.fromkeys(settings.labels):
                rows += learned_rows(
                    learnt,
                    truth,
                    labels,
                    p=settings.ndcg,
                    seed=settings.seed,
                    stability=stability,
                    elsewhere=known,
                )
            found.append(Ranked(members, rows, _remark(truth, rows), truth.of(members)))
        return found

    def _setup(self, dataset: str) -> EvaluationSetup[Any]:
        s = self.settings
        # Own images say what is built, the data set whose accuracies are compared.
        task = replace(named_task(dataset, s.images), name=dataset)
        small = Reduced.parse(s.reduced)
        return EvaluationSetup(self.space, task, s.batch, s.seed, s.data, s.images, reduced=small)

    def _costs(
        self,
        dataset: str,
        archs: Sequence[Any],
        note: Callable[[str], None],
        **options: Unpack[EvaluatorOptions],
    ) -> FloatArray | None:
        """Predict the costs, if one is named; see `costs_of`."""
        if (spec := self.settings.cost) is None:
            return None
        return costs_of(self.space, self._setup(dataset).cost(spec), archs, note, **options)

    def _given(self, note: Callable[[str], None]) -> Scored[Any]:
        """Take the scores of a file, or the shipped ones."""
        settings, columns = self.settings, _columns(self.proxies)
        if settings.scores is None:
            return self._shipped(columns)
        names = [name.removeprefix("-") for name in self.own]
        table = read_scores(settings.scores, self.space, columns, note, own=names)
        oriented = {n: -table.columns[n[1:]] for n in self.own if n not in table.columns}
        kept = {n: v for n, v in table.columns.items() if f"-{n}" not in oriented}
        return Table(table.archs, kept | oriented, origin=table.origin).shuffled(settings.seed), {}

    def _shipped(self, columns: list[str] | None) -> Scored[Any]:
        settings, members = self.settings, facet(self.space, Listing)
        scores = shipped_scores(self.space.name, self.space.default_task.name, settings.images)
        if scores is None or members is None:
            raise InvalidValueError(
                "`--sample` or `--scores` must be given, since no such scores are shipped: "
                "try --sample 256."
            )
        kind, equivalence = settings.population, facet(self.space, Equivalence)
        if kind == "live" and equivalence is None:
            raise InvalidValueError(
                f"`population` must be all or networks for {self.space.name}, which does not tell "
                f"live architectures, but got 'live'."
            )
        tests: dict[str, Callable[[Any], bool]] = {
            "all": lambda _: True,
            "networks": lambda arch: bool(self.space.representative(arch) == arch),
        }
        if equivalence is not None:
            tests["live"] = equivalence.is_live
        chosen = kind or ("all" if equivalence is None else "live")
        archs = [arch for arch in members if tests[chosen](arch)]
        return shipped_population(self.space, scores, archs, settings.seed, columns)

    def _sample(
        self, truth: KnownAccuracies[Any], **options: Unpack[EvaluatorOptions]
    ) -> Scored[Any]:
        assert self.settings.sample is not None
        return scored_sample(
            self._setup(truth.dataset),
            self.proxies or ["all"],
            self.settings.sample,
            truth.accuracies,
            second_seed=self.settings.second_seed,
            **options,
        )


def _check(settings: RankSettings) -> None:
    """Refuse settings that do not go together, or are out of range."""
    scores, sample = settings.scores, settings.sample
    for wrong, message in (
        (
            scores is not None and not (sample is None and settings.second_seed is None),
            "`--sample` and `--second-seed` must not be given with --scores, but got both: what "
            "is in the file is ranked.",
        ),
        (
            settings.population is not None and not (scores is None and sample is None),
            "`--population` must be given without --scores and --sample, but got both: it chooses "
            "among the shipped scores.",
        ),
        (
            settings.second_seed is not None and sample is None,
            "`--second-seed` must be given with --sample, but got it alone: it scores networks.",
        ),
        (
            scores is not None and settings.images != "gaussian",
            "`--images` must not be given with --scores, but got both: what is in the file is "
            "ranked.",
        ),
        (
            bool(settings.reduced) and sample is None,
            "`--reduced` must be given with --sample, but got it alone: it scores networks.",
        ),
        (sample is not None and sample < 2, f"`sample` must be at least 2, but got {sample}."),
        (settings.ndcg < 1, f"`ndcg` must be at least 1, but got {settings.ndcg}."),
        (
            settings.resamples < 0,
            f"`bootstrap` must be at least 0, but got {settings.resamples}.",
        ),
        (
            bool(settings.transfer) and not settings.labels,
            "`transfer` must be given with labels, which it helps, but got it alone: add "
            "--labels 20.",
        ),
        (settings.seed < 0, f"`seed` must be at least 0, but got {settings.seed}."),
        (
            any(labels < 1 for labels in settings.labels),
            f"`labels` must be at least 1, but got {settings.labels}.",
        ),
    ):
        if wrong:
            raise InvalidValueError(message)


def _own_and_proxies(settings: RankSettings) -> tuple[tuple[str, ...], list[str] | None]:
    """Tell the columns of the user's own from the proxies that are needed; see `RankStudy`.

    Raises:
        InvalidValueError: there is nothing to rank, or to learn from.
    """
    from hwnas.proxies import proxy_names

    if settings.scores is None:
        return (), needed_proxies(settings.proxies)
    there, taken = columns_of(settings.scores), {"all", *proxy_names(), *RECIPES, *MODEL_RECIPES}
    others = {*there} - OTHER_COLUMNS - taken
    own = tuple(dict.fromkeys(n for n in settings.proxies if n.removeprefix("-") in others))
    if len({name.removeprefix("-") for name in own}) < len(own):
        raise InvalidValueError(
            f"`proxy` must name a column once, with or without a minus, but got {', '.join(own)}."
        )
    rest = [name for name in settings.proxies if name not in own]
    if settings.labels and not rest:
        raise InvalidValueError(
            "`labels` must be learned from by proxies, but got columns of your own alone: add "
            "--proxy all, or leave --labels out."
        )
    proxies = needed_proxies(rest, others) if rest else []
    if proxies is None and not own and not {n.partition(".")[0] for n in there} & {*proxy_names()}:
        raise InvalidValueError(
            f"`{settings.scores}` must have a column of a proxy, or one of your own that `proxy` "
            f"names, but has {', '.join(there)}: name it, after a minus where less is better."
        )
    return own, proxies


def needed_proxies(names: Sequence[str], others: Collection[str] = ()) -> list[str] | None:
    """Replace ready-made scores by their proxies; None stands for all there are.

    Args:
        names: proxies and ready-made scores.
        others: what else could have been meant by a name that is none of these.

    Raises:
        UnknownNameError: there is no such proxy or score.
    """
    from hwnas.proxies import proxy_names

    parts = {name: recipe.needed for name, recipe in RECIPES.items()}
    parts |= {name: model.proxies for name, model in MODEL_RECIPES.items()}
    known = ["all", *proxy_names(), *parts]
    for name in names:
        if name.partition(":")[0] not in known:
            raise unknown_name("proxy", name, [*known, *others])
    if "all" in names:
        return None
    # A learned ranking of graphs alone needs no proxy: then all there are do no harm.
    return list(dict.fromkeys(p for n in names for p in parts.get(n, (n,)))) or None


def _columns(names: Sequence[str] | None) -> list[str] | None:
    from hwnas.proxies import make_proxies

    return None if names is None else [proxy.name for proxy in make_proxies(names)]


def _known(truth: Truth, dataset: str, settings: RankSettings) -> tuple[str, Mapping[str, float]]:
    """Give the accuracies of a data set and their split: the first that it has if none is named."""
    *others, last = truth.splits if settings.split is None else (settings.split,)
    for split in others:
        with suppress(UnknownNameError):
            return split, truth.accuracies(dataset, split, settings.data)
    return last, truth.accuracies(dataset, last, settings.data)


def _truth(settings: RankSettings, space: SearchSpace[Arch]) -> Truth:
    if settings.truth is not None:
        if settings.split is not None or len(set(settings.datasets)) > 1:
            raise InvalidValueError(
                "`--split` and a second `--dataset` must not be given with --truth, but got both: "
                "the file holds one kind of accuracy, of one data set."
            )
        return AccuracyFile.read(settings.truth, space, losses=True)
    known = facet(space, Truth)
    if known is None:
        raise InvalidValueError(
            f"`--space` must have known accuracies, but {space.name} has no facet Truth: give "
            "--truth FILE.csv with the columns architecture and accuracy or loss, or see "
            "hwnas.spaces.facets."
        )
    return known


def _remark(truth: KnownAccuracies[Any], rows: Sequence[Row]) -> str | None:
    figures = facet(truth.space, RankFigures)
    if figures is None or all(row.get("published_kendall") is None for row in rows):
        return None
    return figures.remark(truth.split)


def _with_accuracy(
    population: Table[Any], truth: KnownAccuracies[Any], note: Callable[[str], None]
) -> Table[Any]:
    """Leave out architectures of unknown accuracy.

    Raises:
        InvalidValueError: fewer than two are left.
    """
    rows = [i for i, arch in enumerate(population.archs) if str(arch) in truth.accuracies]
    absent = len(population.archs) - len(rows)
    if len(rows) < 2:
        raise InvalidValueError(
            f"`truth` must hold accuracies of at least two of the architectures that are ranked, "
            f"but holds {len(rows)} of {len(population.archs)}."
        )
    if not absent:
        return population
    note(f"{absent} architectures without a known accuracy were left out.")
    return population.take(rows)
