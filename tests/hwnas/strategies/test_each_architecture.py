from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import optuna
import pytest

from hwnas.spaces.nasbench201 import NasBench201
from hwnas.strategies import AskTell, Problem, make_proposer
from hwnas.strategies.each_architecture import each_architecture
from hwnas.strategies.features import describe
from hwnas.testing import ArchitecturesContract, NetworksContract
from hwnas_optuna import HardwareAwareSampler


@pytest.mark.parametrize("name", ["random-search", "pareto-evolution", "predictor-guided"])
def test_every_valid_architecture_is_proposed_once(name: str, words: Any, word_losses: Any) -> None:
    space = each_architecture(words)
    search = AskTell(make_proposer(name, Problem(space)), space)
    proposed: list[str] = []
    while asked := search.ask(40):
        search.tell(asked, word_losses(asked))
        proposed += map(str, asked)
    # Of the 256 words one is invalid.
    assert len(proposed) == len(set(proposed)) == 255


def test_a_space_that_is_not_listed_stays_so(unlisted_words: Any) -> None:
    space = each_architecture(unlisted_words)
    assert not hasattr(space, "__len__")
    search = AskTell(make_proposer("random-search", Problem(space)), space)
    texts = [str(arch) for arch in search.ask(100)]
    assert len(set(texts)) == 100
    # Anagrams are equal words: there are but 34 classes.
    assert len({"".join(sorted(text)) for text in texts}) < 35


def test_equal_networks_look_alike_to_a_model() -> None:
    plain = NasBench201()
    space = each_architecture(plain)
    cell = plain.parse("|nor_conv_1x1~0|+|none~0|skip_connect~1|+|none~0|none~1|nor_conv_3x3~2|")
    equal = plain.parse("|nor_conv_1x1~0|+|none~0|none~1|+|none~0|nor_conv_3x3~1|none~2|")
    assert plain.canonical_key(cell) == plain.canonical_key(equal)
    assert space.canonical_key(cell) != space.canonical_key(equal)
    assert space.representative(equal) == equal
    features = describe(space, [cell, equal])
    assert np.array_equal(features[0], features[1])
    assert np.array_equal(features, describe(plain, [cell, equal]))


def test_it_is_a_value_that_states_its_space(words: Any) -> None:
    space = each_architecture(words)
    assert pickle.loads(pickle.dumps(space)) == space
    assert repr(words) in repr(space)
    assert space.name == words.name
    with pytest.raises(AttributeError, match="nonsense"):
        _ = space.nonsense  # type: ignore[attr-defined]


def test_a_study_stops_when_every_architecture_was_proposed(words: Any) -> None:
    space = each_architecture(words)
    study = optuna.create_study(sampler=HardwareAwareSampler(space, strategy="random-search"))

    def objective(trial: optuna.Trial) -> float:
        for name, choices in space.parameters.items():
            trial.suggest_categorical(name, choices)
        return 0.0

    study.optimize(objective, n_trials=300)
    seen = {tuple(trial.params.values()) for trial in study.trials}
    assert len(study.trials) == len(seen) == 255


class TestContract(ArchitecturesContract, NetworksContract):
    """Equal graphs have different keys here, so that the contract of graphs is none of its."""

    @pytest.fixture
    def space(self) -> Any:
        return each_architecture(NasBench201(channels=4, cells=1))
