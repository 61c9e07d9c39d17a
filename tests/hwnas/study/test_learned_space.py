"""The objective `hwnas-model` is what the model was fitted on, one network at a time."""

from __future__ import annotations

import numpy as np

from hwnas.proxies import make_proxies
from hwnas.study.configuration import EvaluationSetup, reference_sample
from hwnas.study.learned_space import learn_space
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
        learned.value(arch, {name: values[row] for name, values in raw.items()})
        for row, arch in enumerate(learned.reference)
    ]
    np.testing.assert_allclose(alone, learned.told.expected(), atol=1e-9)
