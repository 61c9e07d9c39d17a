"""The sampler that proposes architectures: each class once, over all workers of a study."""

from __future__ import annotations

import contextlib
import inspect
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Generic

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.exceptions import UpdateFinishedTrialError
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from hwnas.errors import HwnasError, InvalidArchitectureError
from hwnas.process_state import PROCESS_STATE
from hwnas.seeding import derive_seed
from hwnas.spaces.choices import Options, decide, members_of, options_of
from hwnas.spaces.choosers import drawing
from hwnas.spaces.functions import FunctionSpace
from hwnas.spaces.options import V
from hwnas.strategies import History, Knowledge, Problem, Proposer, make_proposer
from hwnas.strategies.candidates import Candidates
from hwnas.strategies.problem import LARGEST_LISTED, BoolArray, Measure
from hwnas.typing import Arch, SearchSpace
from hwnas_optuna.samplers import ReproducibleSampler, tpe
from hwnas_optuna.suggesting import as_asked, distribution_of, no_choice
from hwnas_optuna.trials import CLAIM, TrialReader, queued, suggested

_ATTEMPTS = 30
_DRAWS = 200
_FIRST_PAUSE_S = 0.001
_LONGEST_PAUSE_S = 1.0
_ASK = inspect.unwrap(Study.ask).__code__


class SpaceExhausted(optuna.TrialPruned, HwnasError):  # noqa: N818 - it prunes, as Optuna's own
    """Every architecture was proposed: the trial is pruned and `study.optimize` stops."""


class HardwareAwareSampler(BaseSampler, Generic[Arch]):
    """Propose architectures of a space in a single- or multi-objective study.

    Each class of equal networks is proposed once, over all workers of a shared storage. A worker
    writes the class it wants to its own trial and then reads all others: if another has it, both
    may step back, but never do both keep it. Failed and pruned trials are not proposed again,
    except by Optuna's own retries, which keep their class. When nothing is left, `study.optimize`
    stops, and `trial.suggest_categorical` raises `SpaceExhausted` to those who ask and tell;
    `study.ask(distributions)` raises it too, and its trial is pruned.

    A proposal depends on the seed, the trial's number and the other trials alone, so a study that
    was killed goes on as if nothing had happened. Parameters that are not the space's, such as a
    learning rate, are sampled one by one by a stock sampler.

    Args:
        space: search space; its parameters must be suggested under its own names and choices, as
            `hwnas_optuna.suggesting.suggesting` does for those that exist.
        strategy: algorithm by name, or what makes one of a problem, e.g.
            ``functools.partial(AgeingEvolution, warm_up=64)``. None takes predictor-guided search
            where the space can be listed or something is known, else Pareto evolution.
        knowledge: cheap knowledge that guides the search.
        feasible: bounds that are cheap to check, without measuring, since threads take turns;
            gives `(n,)` flags of `(n,)` architectures.
        candidates: architectures that may be proposed, if not all representatives.
        violation: by how much bounds are broken, see `Problem`.
        seed: user seed.
        independent_sampler: stock sampler of all other parameters; TPE by default.

    Raises:
        UnknownNameError: no such strategy.
    """

    def __init__(
        self,
        space: SearchSpace[Arch],
        *,
        strategy: str | Callable[[Problem[Arch]], Proposer[Arch]] | None = None,
        knowledge: Knowledge[Arch] | None = None,
        feasible: Callable[[Sequence[Arch]], BoolArray] | None = None,
        candidates: Sequence[Arch] | None = None,
        violation: Measure[Arch] | None = None,
        seed: int = 0,
        independent_sampler: BaseSampler | None = None,
    ) -> None:
        problem = Problem(space, feasible, knowledge, candidates, violation)
        self._space = space
        self._seed = seed
        self._candidates = Candidates(problem)
        is_known = knowledge is not None and not knowledge.is_empty
        guided = self._candidates.listed is not None or is_known
        default = "predictor-guided" if guided else "pareto-evolution"
        self._proposer = make_proposer(strategy or default, problem)
        self._trials = TrialReader(space)
        self._independent = independent_sampler or ReproducibleSampler(tpe, seed)
        self._options = options_of(space)
        self._distributions: dict[str, BaseDistribution] = {
            name: distribution_of(options) for name, options in self._options.items()
        }
        # A function that is given Optuna's trial itself asks it in its own way, as for logarithmic
        # numbers and for classes, and Optuna refuses what was foreseen otherwise.
        of_function = isinstance(getattr(space, "wrapped", space), FunctionSpace)
        self._foreseen = {} if of_function else self._distributions

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Give the space's parameters; see `optuna.samplers.BaseSampler`."""
        del study, trial
        return dict(self._foreseen)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Give the parameters of a new architecture; see `optuna.samplers.BaseSampler`.

        Raises:
            SpaceExhausted: every architecture was proposed.
        """
        fixed = {**queued(trial), **suggested(trial)}
        if self._trials.decode(fixed) is not None:
            return {}
        try:
            ours = {n: v for n, v in fixed.items() if n in self._distributions}
            arch = self._claim(study, trial, ours)
        except Exception as error:
            if _asks_for_parameters():
                # Nobody gets this trial to tell what became of it.
                pruned = isinstance(error, SpaceExhausted)
                state = TrialState.PRUNED if pruned else TrialState.FAIL
                with contextlib.suppress(UpdateFinishedTrialError):
                    study._storage.set_trial_state_values(trial._trial_id, state)
            raise
        return {n: v for n, v in self._space.encode(arch).items() if n in search_space}

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """See `optuna.samplers.BaseSampler`."""
        claim = trial.system_attrs.get(CLAIM)
        if claim is not None:
            # A parameter of a function, or one that exists for so few architectures that it
            # was not found before.
            value = self._space.encode(self._space.parse(claim)).get(param_name)
            if value is not None:
                return as_asked(param_name, param_distribution, value)
        return self._independent.sample_independent(study, trial, param_name, param_distribution)

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """See `optuna.samplers.BaseSampler`."""
        self._independent.before_trial(study, trial)

    def after_trial(
        self,
        study: Study,
        trial: FrozenTrial,
        state: TrialState,
        values: Sequence[float] | None,
    ) -> None:
        """Stop `study.optimize` once nothing is left; see `optuna.samplers.BaseSampler`."""
        self._independent.after_trial(study, trial, state, values)
        if self._candidates.listed is not None:
            taken = self._trials.taken(study, trial)
            # The trial still says that it runs.
            completed = state is TrialState.COMPLETE
            arch = self._trials.decode(suggested(trial)) if completed else self._trials.arch(trial)
            if arch is not None:
                taken.add(self._space.canonical_key(arch))
            with PROCESS_STATE:
                left = self._candidates.any_left(taken)
            if not left:
                _stop(study)

    def _claim(self, study: Study, trial: FrozenTrial, fixed: dict[str, Any]) -> Arch:
        """Take an architecture that no other trial has."""
        storage, trial_id = study._storage, trial._trial_id
        kept = trial.system_attrs.get(CLAIM)
        if kept is not None:
            arch = self._space.parse(kept)
            if not self._trials.is_taken(self._space.canonical_key(arch), study, trial):
                return arch
        for attempt in range(_ATTEMPTS):
            history = self._trials.history(study, trial, self._seed)
            arch_or_none = self._proposal(history, trial.number, attempt, fixed)
            if arch_or_none is None:
                storage.set_trial_system_attr(trial_id, CLAIM, None)
                _stop(study)
                break
            storage.set_trial_system_attr(trial_id, CLAIM, str(arch_or_none))
            key = self._space.canonical_key(arch_or_none)
            if fixed or not self._trials.is_taken(key, study, trial):
                return arch_or_none
            storage.set_trial_system_attr(trial_id, CLAIM, None)
            _pause(self._seed, trial.number, attempt)
        raise SpaceExhausted(
            f"`space` must have an architecture left, but every one of the "
            f"{len(self._trials.taken(study, trial))} that were proposed is taken: the search "
            f"is complete."
        )

    def _proposal(
        self, history: History[Arch], number: int, attempt: int, fixed: dict[str, Any]
    ) -> Arch | None:
        """Propose; after a collision one of the next best, lest two workers meet again."""
        parts = (self._seed, number, attempt) if attempt else (self._seed, number)
        rng = np.random.default_rng(derive_seed(*parts))
        # The proposer keeps what is costly to work out; threads of one study share it.
        with PROCESS_STATE:
            if fixed:
                return self._completion(history, fixed, rng)
            arch = self._proposer.propose(history, rng)
            for _ in range(int(rng.integers(2 ** min(attempt, 5)))):
                if arch is None:
                    break
                taken = {*history.taken, self._space.canonical_key(arch)}
                history = replace(history, pending=[*history.pending, arch], taken=taken)
                arch = self._proposer.propose(history, rng) or arch
            return arch

    def _completion(
        self, history: History[Arch], fixed: dict[str, Any], rng: np.random.Generator
    ) -> Arch:
        """Complete parameters that a user has fixed in part, by a new class if there is one.

        Raises:
            InvalidArchitectureError: a value is no choice of its parameter, or no architecture that
                may be proposed has these values.
        """
        for name, value in fixed.items():
            try:
                self._options[name].read(name, value)
            except InvalidArchitectureError:
                raise no_choice(name, self._options[name], value) from None
        matching = [arch for arch in self._matching(fixed, rng) if self._space.is_valid(arch)]
        # New ones first, and no more than needed: bounds may build networks.
        matching.sort(key=lambda arch: self._space.canonical_key(arch) in history.taken)
        arch = next((arch for arch in matching if self._candidates.is_feasible(arch)), None)
        if arch is None:
            raise InvalidArchitectureError(
                f"`enqueue_trial` must fix parameters of an architecture that may be proposed, but "
                f"none was found that is valid and feasible with {fixed}."
            )
        return arch

    def _matching(self, fixed: dict[str, Any], rng: np.random.Generator) -> list[Arch]:
        """Give architectures with these values in random order: all that there are, or a sample."""
        space, listed, options = self._space, self._candidates.listed, self._options
        members: Iterable[Arch] | None = None
        # No listed architecture has a number between two options.
        named = all(options[name].position(value) is not None for name, value in fixed.items())
        if listed is not None and named:
            members = [arch for _, arch in listed]
            if not self._candidates.restricted:
                members = members_of(space, LARGEST_LISTED)
        if members is None:
            members = _completed(space, fixed, rng)
        by_absent: dict[int, list[Arch]] = {}
        for arch in members:
            chosen = space.encode(arch)
            if all(chosen.get(name, value) == value for name, value in fixed.items()):
                by_absent.setdefault(len(fixed.keys() - chosen.keys()), []).append(arch)
        # Parameters that are fixed in vain, since they exist for no architecture with the others.
        found = by_absent[min(by_absent)] if by_absent else []
        return [found[i] for i in rng.permutation(len(found))]


def _completed(
    space: SearchSpace[Arch], fixed: Mapping[str, Any], rng: np.random.Generator
) -> Iterator[Arch]:
    """Draw what is not fixed."""
    draw = drawing(rng)

    def choose(name: str, options: Options[V]) -> V:
        return options.read(name, fixed[name]) if name in fixed else draw(name, options)

    for _ in range(_DRAWS):
        with contextlib.suppress(InvalidArchitectureError):
            yield decide(space, choose)


def _asks_for_parameters() -> bool:
    """Tell whether `study.ask` is given distributions: it raises what is raised here."""
    frame = inspect.currentframe()
    while frame is not None and frame.f_code is not _ASK:
        frame = frame.f_back
    return frame is not None


def _stop(study: Study) -> None:
    """Stop `study.optimize`; there is nothing to stop for those who ask and tell."""
    with contextlib.suppress(RuntimeError):
        study.stop()


def _pause(seed: int, number: int, attempt: int) -> None:
    """Wait a random time, longer after each collision."""
    share = np.random.default_rng(derive_seed(seed, number, attempt, "pause")).random()
    time.sleep(share * min(_FIRST_PAUSE_S * 2**attempt, _LONGEST_PAUSE_S))
