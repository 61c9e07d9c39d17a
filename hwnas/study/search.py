"""A search described in words: it is prepared, run by its host, and its results are written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Unpack

from filelock import Timeout

from hwnas.errors import InvalidValueError
from hwnas.evaluation.cache import ResultCache
from hwnas.evaluation.evaluator import Evaluator, EvaluatorOptions, Report
from hwnas.evaluation.objectives import ValueObjective
from hwnas.evaluation.origin import origin, uncertain_costs
from hwnas.files.grammar import split_constraint
from hwnas.measure.endless import forget
from hwnas.pareto import ParetoSet
from hwnas.pareto.baseline import findings
from hwnas.pareto.expected import with_known_accuracies
from hwnas.pareto.standing import with_standing
from hwnas.pareto.uncertainty import notices, with_uncertainty
from hwnas.spaces.facets import Truth, facet
from hwnas.spaces.functions import FunctionSpace
from hwnas.spaces.space_text import named_space, read_space
from hwnas.study.baseline import PresentNetwork, evaluate_baseline
from hwnas.study.configuration import (
    EvaluationSetup,
    bounded,
    make_constraints,
    make_objectives,
    names_of_scores,
    without_scores,
)
from hwnas.study.hosts import Folder, Watch, get_host
from hwnas.study.labels import published_classes, read_labels
from hwnas.study.measured_front import make_measuring
from hwnas.study.no_trials import KnownSpace, quality_of
from hwnas.study.no_trials_input import insist_on_no_trials
from hwnas.study.probe import insist_on_evaluable, insist_on_feasible, insist_on_networks
from hwnas.study.reduction import full_agreement, insist_on_smaller
from hwnas.study.remarks import (
    agreements,
    failures,
    left_out,
    reductions,
    redundancies,
    refusals,
    shortage,
)
from hwnas.study.sample import BEGINNING
from hwnas.study.settings import FRONT_SCORES, LEARNED, SearchSettings, score_versions
from hwnas.study.stability import DEFAULT_SCORES, default_score
from hwnas.typing import Arch, SearchSpace


@dataclass(frozen=True)
class _Prepared:
    """What a search works with.

    Attributes:
        settings: what is searched for, with a score, and files by their checksums.
        setup: space, task, and what networks are scored on.
        options: how they are scored.
        agreement: of two seeds on a score that was chosen here, by proxy; empty without one.
    """

    settings: SearchSettings
    setup: EvaluationSetup[Any]
    options: EvaluatorOptions
    agreement: Mapping[str, float] = field(default_factory=dict)


@dataclass
class Search:
    """A search that is ready to run.

    Attributes:
        settings: what is searched for.
        folder: where study and results are kept.
        data_folder: folder of published data; None for the default one.
        jobs: worker processes for proxies; -1 for all cores.
        report: called with (label, finished, total), e.g. by a progress bar.
        space: the search space; made of its text if None.
        limit_seconds: longest time for one network; None for the defaults.
        baseline: the user's present network, which the members are compared with; None without.
        watch: is told how far the search is.
        timeout: seconds after which no more trials are begun; None for as long as it takes.
        notices: lines for the user, filled by `run`.
        device: where proxies run their passes, e.g. ``cuda``; worker processes share it.
    """

    settings: SearchSettings
    folder: Folder
    data_folder: Path | None = None
    jobs: int = 1
    report: Report | None = None
    space: SearchSpace[Any] | None = None
    limit_seconds: float | None = None
    baseline: PresentNetwork | None = None
    watch: Watch | None = None
    timeout: float | None = None
    notices: list[str] = field(default_factory=list)
    device: str = "cpu"

    def run(self) -> ParetoSet:
        """Run the search, or go on with what an interrupted run of it left.

        Returns:
            The Pareto set, which is also written to the folder, where there is one: `front.json`,
            `front.csv` and `report.html`.

        Raises:
            HwnasError: a name, a value, the data or the folder is not usable.
        """
        forget()
        try:
            with self.folder.lock(), ResultCache.default() as cache:
                return self._run(cache)
        except Timeout:
            raise InvalidValueError(
                f"`out` must not be in use by another search, but {str(self.folder.path)!r} is: "
                f"wait for it, or name another folder."
            ) from None

    def _run(self, cache: ResultCache) -> ParetoSet:
        if self.settings.trials == 0:
            insist_on_no_trials(self.settings, self.folder, self.baseline is not None)
        host = get_host("optuna")
        host.insist_on(self.settings, self.folder)
        job = self._prepared(cache)
        setup, space = job.setup, job.setup.space
        if job.settings.trials == 0:
            known = KnownSpace.of(setup, job.settings).front()
            return self._finished(self._published(known, setup), space)
        if self.baseline is not None:
            self.baseline.insist_on(setup.task)
        looked = self._looked_beforehand(job, cache)
        job = self._with_score(job)
        evaluator, s = self._evaluator(job, cache, looked), job.settings
        measuring = make_measuring(s, setup, evaluator)
        # Before the study, which is not begun where the network is of no use.
        mine = self.baseline
        present = None if mine is None else evaluate_baseline(evaluator, mine, setup.task)
        provenance = {
            "seed": s.seed,
            "settings": asdict(s),
            "dataset": setup.task.as_dict(),
            "costs": origin(evaluator)["costs"],
            **({FRONT_SCORES: versions} if (versions := score_versions(s.objectives)) else {}),
            **({"seed_agreement": job.agreement} if job.agreement else {}),
            **self._reduction(job),
        }
        front = host.search(evaluator, s, self.folder, provenance, self.watch, self.timeout)
        self._stage("writing the results")
        front = with_uncertainty(front, space, uncertain_costs(evaluator.objectives))
        if measuring is not None:
            self._stage("measuring what the predictions leave open")
            front, lines = measuring.apply(front, evaluator, cache, self.report)
            self.notices += lines
        front = self._expected(front, job)
        self.notices += agreements(front, evaluator)
        references = {o.name: o.reference for o in evaluator.objectives if o.reference}
        return self._finished(replace(with_standing(front, references), baseline=present), space)

    def _prepared(self, cache: ResultCache) -> _Prepared:
        """Find what the settings name."""
        self._stage("preparing the search space")
        # A module of the user's is imported for a search, not for a file.
        space = named_space(self.settings.space) if self.space is None else self.space
        s = self.settings.pinned(space)
        limits = bounded(space, self.limit_seconds)
        options = EvaluatorOptions(cache=cache, jobs=self.jobs, limits=limits, report=self.report)
        if s.labels and not s.objectives:
            s = replace(s, objectives=(LEARNED,))
        setup = EvaluationSetup.of(
            s,
            space,
            data_folder=self.data_folder,
            limit_seconds=self.limit_seconds,
            device=self.device,
        )
        options["task"] = setup.task
        if isinstance(space, FunctionSpace):
            insist_on_networks(space, setup.task, s.seed)
        insist_on_smaller(setup, limits)  # before hundreds of networks are scored for nothing
        if s.transfer and not s.labels:
            raise InvalidValueError(
                "`transfer` must be given with labels of this space, but got it alone: name the "
                "file of a few trained networks with --labels."
            )
        if s.labels and LEARNED not in s.objectives:  # which are looked at in the end alone
            from hwnas.study.expected_accuracy import insist_on_labels

            insist_on_labels(setup)
        return _Prepared(s, setup, options)

    def _with_score(self, job: _Prepared) -> _Prepared:
        """Choose a score where the settings name none."""
        if job.settings.objectives:
            return job
        self._stage("choosing the score")
        name, agreement = default_score(job.setup, **job.options)
        return replace(job, settings=replace(job.settings, objectives=(name,)), agreement=agreement)

    def _looked_beforehand(self, job: _Prepared, cache: ResultCache) -> bool:
        """Insist that costs have values and bounds can be met; tell whether there are any."""
        self._stage("trying the objectives")
        beforehand = _beforehand(job.settings, job.setup, **job.options)
        if beforehand is None:
            return False
        insist_on_evaluable(beforehand, cache, job.settings.seed)
        self._insist_on_feasible(beforehand)
        return True

    def _insist_on_feasible(self, evaluator: Evaluator[Any]) -> None:
        if evaluator.constraints:
            self._stage("looking for architectures that keep the constraints")
        insist_on_feasible(evaluator, self.settings.seed)

    def _evaluator(self, job: _Prepared, cache: ResultCache, looked: bool) -> Evaluator[Any]:
        """Make the evaluator, and insist that it has values and leaves something to propose."""
        s = job.settings
        self._stage("trying the objectives")
        evaluator = evaluator_of(s, job.setup, **job.options)
        insist_on_evaluable(evaluator, cache, s.seed)
        if not looked:
            self._insist_on_feasible(evaluator)
        return evaluator

    def _expected(self, front: ParetoSet, job: _Prepared) -> ParetoSet:
        """State the members' expected accuracies, where there are labels or published ones."""
        s, setup = job.settings, job.setup
        if not s.labels:
            return self._published(front, setup)
        from hwnas.study.expected_accuracy import labelled_elsewhere, with_expected_accuracy

        self._stage("stating expected accuracies")
        return with_expected_accuracy(
            front,
            setup.space,
            read_labels(s.labels, setup.space),
            origin={"labels_of": s.labels, "transfer": list(s.transfer)},
            elsewhere=labelled_elsewhere(setup, BEGINNING.needed, **job.options),
            setup=setup,
            **job.options,
        )

    def _published(self, front: ParetoSet, setup: EvaluationSetup[Arch]) -> ParetoSet:
        """Add published accuracies, which the search has not seen; none of them is an error."""
        if facet(setup.space, Truth) is None:
            return front
        self._stage("looking published accuracies up")
        name, members = setup.task.name, [member.arch for member in front.members]
        found = published_classes(setup.space, name, self.data_folder, members)
        if found is None:
            return front
        known, split = found
        return with_known_accuracies(front, known, {"published": f"{name}, {split}"})

    def _finished(self, front: ParetoSet, space: SearchSpace[Arch]) -> ParetoSet:
        """Note what there is to say, and write the results."""
        from hwnas.reports.folder import write_results

        remarks = (
            quality_of,
            reductions,
            refusals,
            failures,
            shortage,
            redundancies,
            notices,
            findings,
        )
        self.notices += [line for of in remarks for line in of(front)]
        if not front.provenance.get("refused"):  # else trials say it
            self.notices += left_out(space)
        if self.folder.path is not None:
            write_results(front, self.folder.path, space)
        return front

    def _reduction(self, job: _Prepared) -> dict[str, Any]:
        """Say how well the scores of a reduced setting rank as those of the full one do."""
        if not job.settings.reduced:
            return {}
        self._stage("comparing the reduced setting with the full one")
        found = full_agreement(job.setup, job.settings.objectives, **job.options)
        return {"reduced_agreement": found}

    def _stage(self, what: str) -> None:
        if self.watch is not None:
            self.watch.stage(what)


def make_evaluator(
    settings: SearchSettings,
    *,
    space: SearchSpace[Any] | None = None,
    data_folder: Path | None = None,
    limit_seconds: float | None = None,
    device: str = "cpu",
    **options: Unpack[EvaluatorOptions],
) -> Evaluator[Any]:
    """Make the evaluator that a search's settings describe.

    Args:
        settings: what is searched for.
        space: the search space; made of its text if None.
        data_folder: folder of published data; None for the default one.
        limit_seconds: longest time for the values of one network, and for each measurement whose
            text does not say `limit_seconds` itself; None for the defaults, see `limits_of` and
            `hwnas.measure.limits.Limits`.
        device: where proxies run their passes.
        options: how it works; the limits are those of `limit_seconds`.

    Raises:
        HwnasError: a name, a value or the data is not usable.
    """
    space = read_space(settings.space) if space is None else space
    options["limits"] = bounded(space, limit_seconds)
    setup = EvaluationSetup.of(
        settings, space, data_folder=data_folder, limit_seconds=limit_seconds, device=device
    )
    options["task"] = setup.task
    return evaluator_of(settings, setup, **options)


def _beforehand(
    settings: SearchSettings, setup: EvaluationSetup[Arch], **options: Unpack[EvaluatorOptions]
) -> Evaluator[Arch] | None:
    """Make the evaluator of the costs, and of the constraints that are on no score.

    Whether they can be met is told before a score is chosen, or a ready-made one has hundreds of
    networks scored. None where there are neither.
    """
    scores = names_of_scores(settings.objectives or DEFAULT_SCORES)
    costs = make_objectives(setup, (), settings.costs, **options)
    texts = without_scores(settings.constraints, scores)
    constraints = make_constraints(setup, texts, costs, scores)
    others = [c.objective for c in constraints if isinstance(c.objective, ValueObjective)]
    objectives = {o.name: o for o in (*costs, *others)}
    if not objectives:
        return None
    return Evaluator(setup.space, list(objectives.values()), constraints, **options)


def evaluator_of(
    settings: SearchSettings, setup: EvaluationSetup[Arch], **options: Unpack[EvaluatorOptions]
) -> Evaluator[Arch]:
    """Make the evaluator of the objectives and constraints that settings name.

    Args:
        settings: what is searched for.
        setup: space, task, and what networks are scored on.
        options: how it works.

    Raises:
        HwnasError: a name, a value or the data is not usable.
    """
    for text in settings.constraints:
        split_constraint(text)  # a slip of the pen is told before anything is scored
    objectives = make_objectives(setup, settings.objectives, settings.costs, **options)
    constraints = make_constraints(setup, settings.constraints, objectives)
    return Evaluator(setup.space, objectives, constraints, **options)
