from __future__ import annotations

from collections.abc import Callable

import optuna
import pytest
from optuna.samplers import BaseSampler
from optuna.testing.pytest_samplers import BasicSamplerTestCase, MultiObjectiveSamplerTestCase

from hwnas.costs.counters import CounterCost
from hwnas.errors import InvalidValueError
from hwnas.evaluation.evaluator import Evaluator
from hwnas.evaluation.objectives import cost_objective
from hwnas.spaces.nasbench201 import NasBench201
from hwnas_optuna.sampler_names import make_sampler
from hwnas_optuna.samplers import FACTORIES, ReproducibleSampler


class _Named:
    @pytest.fixture(params=sorted(FACTORIES))
    def sampler(self, request: pytest.FixtureRequest) -> Callable[[], BaseSampler]:
        return lambda: ReproducibleSampler(FACTORIES[request.param], seed=0)


class TestBasic(_Named, BasicSamplerTestCase):
    """Optuna's own contract of a sampler."""


class TestMultiObjective(_Named, MultiObjectiveSamplerTestCase):
    """Optuna's own contract of a sampler in multi-objective studies."""


def test_a_proposal_depends_on_the_trials_number_alone() -> None:
    def values(studies: int) -> list[float]:
        """Draw six trials over as many processes' worth of samplers."""
        storage = optuna.storages.InMemoryStorage()
        found = []
        for i in range(studies):
            study = optuna.create_study(
                storage=storage,
                study_name="s",
                load_if_exists=True,
                sampler=ReproducibleSampler(FACTORIES["random"], seed=3),
            )
            for _ in range(6 // studies):
                trial = study.ask()
                found.append(trial.suggest_float("x", 0, 1))
                study.tell(trial, float(i))
        return found

    assert values(1) == values(2) == values(6)
    assert len(set(values(1))) == 6


def test_samplers_take_settings_of_their_own() -> None:
    space = NasBench201(channels=4, cells=1)
    evaluator = Evaluator(space, [cost_objective(space, CounterCost(space, "params"))])
    stock = make_sampler("nsga2:population_size=7", evaluator, 0)
    assert isinstance(stock, ReproducibleSampler)
    assert isinstance(stock._factory(0), optuna.samplers.NSGAIISampler)
    assert make_sampler("pareto-evolution:population=8", evaluator, 0)
    for text in ("nsga2:population=7", "pareto-evolution:warm=4", "hardware-aware:warm_up=4"):
        with pytest.raises(InvalidValueError, match=r"`(settings|sampler)`"):
            make_sampler(text, evaluator, 0)
    with pytest.raises(InvalidValueError, match="population_size"):
        make_sampler("nsga2:population_size=1", evaluator, 0)
