"""Optuna is asked for what exists, as integers, floats and categories; old studies go on."""

from __future__ import annotations

import gzip
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState

from hwnas.errors import InvalidArchitectureError
from hwnas.evaluation.evaluator import Evaluator
from hwnas.evaluation.objectives import ValueObjective
from hwnas.spaces.assignments import AssignmentSpace
from hwnas.spaces.choices import Choose, Options
from hwnas.spaces.fbnet import FBNet
from hwnas.spaces.mobilenetv3 import MobileNetV3
from hwnas.spaces.nasbench201 import NasBench201
from hwnas.tables.result import Result
from hwnas.typing import Choice
from hwnas_optuna import HardwareAwareObjective, HardwareAwareSampler, pareto_set_from_study
from hwnas_optuna.loop import run
from hwnas_optuna.objective import ERRORS
from hwnas_optuna.search import open_study
from hwnas_optuna.suggesting import distribution_of
from hwnas_optuna.trials import CLAIM
from tests.hwnas_optuna.toy import LookedUp

SAMPLERS = ["hardware-aware", "pareto-evolution", "predictor-guided", "random-search"]
STOCK = ["tpe", "random", "nsga2"]


@dataclass(frozen=True)
class Digits(LookedUp):
    """Two conflicting numbers of an architecture's text: the sum of its digits and its length."""

    def compute(self, arch: Any, columns: Sequence[str]) -> dict[str, Result]:
        values = {"gain": sum(map(int, re.findall(r"\d", str(arch)))), "cost": len(str(arch))}
        return {column: Result(float(values[column])) for column in columns}


def evaluator(space: Any) -> Evaluator[Any]:
    gain: ValueObjective[Any] = ValueObjective("gain", "", "maximize", Digits(), ("gain",))
    cost: ValueObjective[Any] = ValueObjective("cost_ms", "ms", "minimize", Digits(), ("cost",))
    return Evaluator(space, [gain, cost])


def study_of(space: Any, sampler: str, storage: str | None = None) -> optuna.Study:
    name = f"{space.name} {sampler}"
    made = evaluator(space)
    return open_study(
        made, storage=storage, name=name, sampler=sampler, seed=0, settings={"toy": 1}
    )


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (Options((2, 4, 6), ordered=True), IntDistribution(2, 6, step=2)),
        (Options(range(-1, 2), ordered=True), IntDistribution(-1, 1)),
        (Options((0.1, 0.2, 0.3), ordered=True), FloatDistribution(0.1, 0.3, step=0.1)),
        (Options((0, 0.5, 1), ordered=True), FloatDistribution(0, 1, step=0.5)),
        (Options((2, 4, 6)), CategoricalDistribution((2, 4, 6))),
        (Options((2, 4, 8), ordered=True), CategoricalDistribution((2, 4, 8))),
        (Options((0.0, 0.1, 0.3), ordered=True), CategoricalDistribution((0.0, 0.1, 0.3))),
        (Options((5,), ordered=True), CategoricalDistribution((5,))),
        (Options((True, False)), CategoricalDistribution((True, False))),
        (Options(("a", "b")), CategoricalDistribution(("a", "b"))),
    ],
)  # fmt: skip
def test_ordered_numbers_at_equal_steps_are_numbers(
    options: Options[Choice], expected: Any
) -> None:
    assert distribution_of(options) == expected


@pytest.mark.parametrize("space", [NasBench201(), FBNet(), MobileNetV3()])
def test_the_published_spaces_keep_their_categories_of_text(space: Any) -> None:
    """Optuna refuses to go on with a study whose distributions changed."""
    distributions = HardwareAwareObjective(evaluator(space)).distributions
    expected = {n: CategoricalDistribution(c) for n, c in space.parameters.items()}
    assert distributions == expected


@pytest.mark.parametrize("sampler", [*SAMPLERS, *STOCK])
def test_a_conditional_space_is_searched(conditional_space: Any, sampler: str) -> None:
    study = study_of(conditional_space, sampler)
    run(study, evaluator(conditional_space), 30, batch=5)
    assert [t.state for t in study.trials] == [TrialState.COMPLETE] * 30
    archs = [conditional_space.decode(trial.params) for trial in study.trials]
    for arch, trial in zip(archs, study.trials, strict=True):
        # Nothing but what exists, in its own type.
        assert list(trial.params.items()) == list(conditional_space.encode(arch).items())
        assert all(isinstance(d, IntDistribution) for n, d in trial.distributions.items()
                   if n.startswith(("depth", "width")))  # fmt: skip
        assert isinstance(trial.distributions["dropout"], FloatDistribution)
        assert trial.user_attrs["hwnas:arch"] == str(arch)
    if sampler in SAMPLERS:
        assert len(set(archs)) == 30
    assert len({t.params["depth"] for t in study.trials}) > 1
    assert pareto_set_from_study(study).provenance["evaluated"] == 30


@pytest.mark.parametrize("sampler", ["pareto-evolution", "predictor-guided"])
def test_a_search_of_a_conditional_space_beats_chance(conditional_space: Any, sampler: str) -> None:
    def best(name: str) -> float:
        study = study_of(conditional_space, name)
        run(study, evaluator(conditional_space), 60)
        return float(max(trial.values[0] for trial in study.trials))

    assert best(sampler) > best("random-search")


@pytest.mark.parametrize(
    "fixed", [{"depth": 3, "kernel_2": 5}, {"kind_0": "pool"}, {"dropout": 0.2}]
)
def test_queued_parts_of_a_conditional_architecture_are_completed(
    conditional_space: Any, fixed: dict[str, Any]
) -> None:
    sampler = HardwareAwareSampler[Any](conditional_space, seed=1)
    study = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)
    study.enqueue_trial(fixed)
    study.optimize(HardwareAwareObjective(evaluator(conditional_space)), n_trials=2)
    assert fixed.items() <= study.trials[0].params.items()
    assert [t.state for t in study.trials] == [TrialState.COMPLETE] * 2


@dataclass(frozen=True)
class Rare(AssignmentSpace):
    """Its last parameter exists for one of 2^20 combinations."""

    name: str = field(default="rare", init=False, repr=False)

    def ask(self, choose: Choose) -> list[int]:
        bits = [choose(f"bit_{i}", Options((0, 1))) for i in range(20)]
        return [*bits, choose("treasure", Options((8, 9)))] if all(bits) else bits


def test_a_parameter_that_was_not_found_before_is_still_asked_for() -> None:
    space: Any = Rare()
    ones = {f"bit_{i}": 1 for i in range(20)}
    assert "treasure" not in space.options
    sampler = HardwareAwareSampler[Any](space, candidates=[space.decode({**ones, "treasure": 9})])
    study = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)
    study.optimize(HardwareAwareObjective(evaluator(space)), n_trials=1)
    assert study.trials[0].params == {**ones, "treasure": 9}
    assert study.trials[0].system_attrs[CLAIM] is not None
    study.optimize(HardwareAwareObjective(evaluator(space)), n_trials=5)
    assert len([t for t in study.trials if t.state is TrialState.COMPLETE]) == 1


@dataclass(frozen=True)
class Refusing(AssignmentSpace):
    """Has no architecture of two large numbers."""

    name: str = field(default="refusing", init=False, repr=False)

    def ask(self, choose: Choose) -> list[int]:
        a, b = (choose(name, Options((2, 4, 8))) for name in ("a", "b"))
        if a * b > 32:
            raise ValueError(f"{a} times {b} is too much")
        return [a, b]


@pytest.mark.parametrize("queued", [{"a": 8, "b": 8}, {"a": 8, "b": 8, "c": 1}])
def test_queued_choices_that_a_space_refuses_are_pruned_with_its_reason(
    queued: dict[str, int],
) -> None:
    space: Any = Refusing()
    study = optuna.create_study(
        directions=["maximize", "minimize"], sampler=HardwareAwareSampler[Any](space)
    )
    study.enqueue_trial(queued)
    study.enqueue_trial({"a": 8})
    study.optimize(HardwareAwareObjective(evaluator(space)), n_trials=2)
    refused, completed = study.trials
    assert refused.state is TrialState.PRUNED
    assert refused.params == {"a": 8, "b": 8}
    assert "ValueError: 8 times 8 is too much" in refused.user_attrs[ERRORS]["architecture"]
    assert completed.state is TrialState.COMPLETE
    assert completed.params["a"] == 8


@dataclass(frozen=True)
class Raising(AssignmentSpace):
    """Raises somewhere for half of its architectures."""

    place: str
    name: str = field(default="raising", init=False, repr=False)

    def _raise(self, place: str, odd: bool) -> None:
        if place == self.place and odd:
            raise KeyError("no such block")

    def ask(self, choose: Choose) -> int:
        width = choose("width", Options(range(64), ordered=True))
        self._raise("make", width % 2 == 1)
        return width

    def representative(self, arch: Any) -> Any:
        self._raise("representative", dict(arch.chosen)["width"] % 2 == 1)
        return arch

    def canonical_key(self, arch: Any) -> str:
        self._raise("key", dict(arch.chosen)["width"] % 2 == 1)
        return str(arch)


@pytest.mark.parametrize("sampler", STOCK)
@pytest.mark.parametrize("place", ["make", "representative", "key"])
def test_what_a_space_raises_makes_a_trial_without_architecture(place: str, sampler: str) -> None:
    space: Any = Raising(place)
    study = study_of(space, sampler)
    run(study, evaluator(space), 20, batch=5)
    study.optimize(HardwareAwareObjective(evaluator(space)), n_trials=10)
    refused = [t for t in study.trials if t.params["width"] % 2]
    assert refused
    for trial in study.trials:
        if trial in refused:
            assert trial.state is TrialState.PRUNED
            assert "KeyError: 'no such block'" in trial.user_attrs["hwnas:errors"]["architecture"]
        else:
            assert trial.state is TrialState.COMPLETE
    assert len(pareto_set_from_study(study).members) >= 1


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_our_samplers_propose_nothing_that_the_space_refuses(sampler: str) -> None:
    space: Any = Raising("make")
    study = study_of(space, sampler)
    run(study, evaluator(space), 40, batch=5)
    done = [t for t in study.trials if t.state is TrialState.COMPLETE]
    assert sorted(t.params["width"] for t in done) == list(range(0, 64, 2))


def test_a_decode_that_raises_is_a_trial_without_architecture() -> None:
    class Third:
        def __init__(self) -> None:
            self.name, self.parameters = "third", {"a": ("x", "y")}

        def decode(self, parameters: Mapping[str, Any]) -> str:
            return {"x": "fine"}[parameters["a"]]

        def representative(self, arch: str) -> str:
            return arch

        canonical_key = representative

        def is_valid(self, arch: str) -> bool:
            return bool(arch)

    space: Any = Third()
    study = study_of(space, "random")
    run(study, evaluator(space), 10)
    states = {(t.params["a"], t.state) for t in study.trials}
    assert states == {("x", TrialState.COMPLETE), ("y", TrialState.PRUNED)}
    with pytest.raises(InvalidArchitectureError, match="raised KeyError: 'y'"):
        HardwareAwareObjective(evaluator(space)).arch(optuna.trial.FixedTrial({"a": "y"}))  # type: ignore[arg-type]


@pytest.mark.parametrize("sampler", ["hardware-aware", "tpe"])
@pytest.mark.parametrize("space", [MobileNetV3(), FBNet()])
def test_a_study_of_the_first_build_goes_on(space: Any, sampler: str, tmp_path: Path) -> None:
    """It was killed with three trials done and three running, all with all parameters."""
    stored = Path(__file__).with_name("studies_of_0_1_0.log.gz")
    log = tmp_path / "study.log"
    log.write_bytes(gzip.decompress(stored.read_bytes()))
    before = study_of(space, sampler, f"journal:{log}").trials
    complete, running = [TrialState.COMPLETE] * 3, [TrialState.RUNNING] * 3
    assert [t.state for t in before] == complete + running
    study = study_of(space, sampler, f"journal:{log}")
    run(study, evaluator(space), 6, batch=3)
    trials = study.trials
    assert [t.state for t in trials] == [TrialState.COMPLETE] * 6
    assert [t.params for t in trials] == [t.params for t in before]
    assert [t.user_attrs["hwnas:arch"] for t in trials] == [
        str(space.representative(space.decode(t.params))) for t in before
    ]
    run(study, evaluator(space), 6, batch=3)
    assert len(study.trials) == 6
    run(study, evaluator(space), 9, batch=3)
    new = study.trials[6:]
    assert [t.state for t in new] == [TrialState.COMPLETE] * 3
    for trial in new:
        assert trial.params == space.encode(space.decode(trial.params))
    assert pareto_set_from_study(study).provenance["evaluated"] == 9
