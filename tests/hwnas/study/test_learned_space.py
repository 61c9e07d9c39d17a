"""The objective `hwnas-model` is what the model was fitted on, one network at a time."""

from __future__ import annotations

import numpy as np
import pytest
from torch import nn

from hwnas.errors import InvalidValueError
from hwnas.proxies import make_proxies
from hwnas.spaces.one_network import OneNetwork
from hwnas.strategies.features import describe_each
from hwnas.study.configuration import EvaluationSetup, reference_sample
from hwnas.study.learned_space import different_networks, learn_space
from hwnas.study.stability import scores_of
from tests.hwnas.strategies.depth_and_widths import made_space


def test_a_network_is_expected_to_be_as_accurate_alone_as_among_others() -> None:
    space = made_space()
    setup = EvaluationSetup(space, space.default_task, batch_size=2)
    source = setup.proxies(make_proxies(["params"]))
    labels = {str(arch): 55 + 3.0 * len(arch.chosen) for arch in reference_sample(space, 12, 1)}
    learned = learn_space(source, labels, 8)
    raw = scores_of(source, learned.reference)
    alone = [
        learned(arch, {name: values[row] for name, values in raw.items()})
        for row, arch in enumerate(learned.reference)
    ]
    np.testing.assert_allclose(alone, learned.told.expected(), atol=1e-9)


def test_a_network_of_no_choices_is_expected_to_have_what_its_scores_say() -> None:
    space = made_space()
    setup = EvaluationSetup(space, space.default_task, batch_size=2)
    source = setup.proxies(make_proxies(["params"]))
    archs = reference_sample(space, 24, 1)
    params = scores_of(source, archs)["params"]
    labels = {
        str(arch): 50 + 5 * np.log10(value) for arch, value in zip(archs, params, strict=True)
    }
    learned = learn_space(source, labels, 8)
    other = OneNetwork(lambda: nn.Linear(2, 2), space.default_task)
    by_score = learned.for_network(other, other.arch)
    told = [by_score(other.arch, {"params": value}) for value in np.quantile(params, [0, 0.5, 1])]
    assert told == sorted(told)
    assert told[0] < np.mean([*labels.values()]) < told[2]
    # The space's choices, and the model of its own networks, are what they were.
    arch = archs[0]
    assert learned(arch, {"params": params[0]}) == learn_space(source, labels, 8)(
        arch, {"params": params[0]}
    )


def test_one_network_has_no_features() -> None:
    other = OneNetwork(lambda: nn.Linear(2, 2), made_space().default_task)
    assert describe_each(other, [other.arch] * 3).shape == (3, 0)


def test_equal_accuracies_teach_nothing() -> None:
    space = made_space()
    labels = {str(arch): 70.0 for arch in reference_sample(space, 6, 1)}
    with pytest.raises(InvalidValueError, match=r"must differ .* but each is 70"):
        different_networks(space, labels)
