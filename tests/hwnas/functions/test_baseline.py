from __future__ import annotations

from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from torch import nn

import hwnas
from hwnas.evaluation.evaluator import Evaluator
from hwnas.evaluation.objectives import ValueObjective
from hwnas.evaluation.sources import CostValues
from hwnas.proxies import make_proxies
from hwnas.proxies.engine.scoring import score_network
from hwnas.ranking.recipes import RECIPES
from hwnas.seeding import derive_seed, seeded
from hwnas.spaces.nasbench201 import NasBench201
from hwnas.spaces.one_network import OneNetwork
from hwnas.study.baseline import PresentNetwork, evaluate_baseline
from hwnas.study.configuration import EvaluationSetup, make_objectives, score_objective
from hwnas.study.hosts import get_host
from hwnas.tasks.task import image_task
from hwnas.typing import DeviceKey, FloatArray

SPACE = NasBench201(channels=4, cells=1)
TASK = image_task(7, (3, 8, 8), "mine")


def network() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 7)
    )


class Published:
    """A table: it knows architectures alone."""

    metric, unit, direction, device = "energy", "mJ", "minimize", DeviceKey("board")

    def predict(self, archs: Any) -> FloatArray:
        return np.ones(len(archs))


def evaluator(scores: list[str], costs: list[str], *more: Any) -> Evaluator[Any]:
    setup = EvaluationSetup(SPACE, TASK, batch_size=4, seed=3)
    extra = [
        ValueObjective(source.name, cost.unit, cost.direction, source, source.columns)
        for cost in more
        for source in [CostValues(SPACE, cost)]
    ]
    return Evaluator(SPACE, [*make_objectives(setup, scores, costs), *extra])


def test_scores_and_counts_are_those_of_the_network_by_the_searchs_seed() -> None:
    found = evaluate_baseline(
        evaluator(["naswot"], ["count:params"]), PresentNetwork("mine", network), TASK
    )
    seed = derive_seed(3, str(OneNetwork(network, TASK).arch))
    with seeded(seed):
        made = network()
    slow = score_network(made, TASK, make_proxies(["naswot"]), batch_size=4, seed=seed)
    assert found == hwnas.Baseline("mine", (slow["naswot"].value, 4 * 28 + 5 * 7), {})


def test_a_ready_made_score_is_ranked_in_the_searchs_reference_sample() -> None:
    proxies = make_proxies(["jacob_cov", "params"])
    source = EvaluationSetup(SPACE, TASK, batch_size=4, seed=3).proxies(proxies)
    objective = score_objective(source, RECIPES["jacob_cov+params"], size=12)
    searched = Evaluator(SPACE, [objective])
    found = evaluate_baseline(searched, PresentNetwork("mine", network), TASK)
    seed = derive_seed(3, "{}")
    with seeded(seed):
        made = network()
    raw = score_network(made, TASK, proxies, batch_size=4, seed=seed)
    assert objective.combine is not None
    assert found.values == (objective.combine({n: r.value for n, r in raw.items()}),)


def test_a_table_of_architectures_has_no_value_and_says_so() -> None:
    searched = evaluator(["params"], ["onnxruntime:cpu:latency:max_seconds=0.02"], Published())
    found = evaluate_baseline(searched, PresentNetwork("mine", network), TASK)
    assert found.values[0] == 147
    assert found.values[1] is not None
    assert found.values[1] > 0
    assert found.values[2] is None
    assert found.reasons == {"board_energy_mj": "it is known of architectures alone"}


def test_two_networks_are_told_apart_in_what_is_counted() -> None:
    searched = evaluator(["layers"], ["count:params"])
    for width in (2, 5):

        def make(width: int = width) -> nn.Module:
            return nn.Sequential(nn.Flatten(), nn.Linear(192, width), nn.Linear(width, 7))

        found = evaluate_baseline(searched, PresentNetwork("mine", make), TASK)
        assert found.values == (2, 200 * width + 7)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: nn.Linear(5, 7), "must run on inputs of shape"),
        (
            lambda: nn.Sequential(nn.Flatten(), nn.Linear(192, 9)),
            r"must answer Logits\(classes=7\)",
        ),
    ],
)
def test_a_network_for_something_else_is_refused(make: Any, text: str) -> None:
    with pytest.raises(hwnas.InvalidValueError, match=f"mine has none: params: .*{text}"):
        evaluate_baseline(evaluator(["params"], []), PresentNetwork("mine", make), TASK)


CHEAP: dict[str, Any] = {
    "objectives": "layers",
    "costs": "count:macs",
    "batch_size": 16,
    "sampler": "random",
    "trials": 8,
}


def cifar_network() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 10)
    )


def test_a_search_compares_with_it_and_the_study_does_not_depend_on_it(tmp_path: Path) -> None:
    told: list[str] = []
    first = hwnas.search(out=tmp_path, note=told.append, **CHEAP)
    assert first.baseline is None
    made = cifar_network()
    weights = [p.clone() for p in made.parameters()]
    with_it = hwnas.search(out=tmp_path, note=told.append, baseline=made, **CHEAP)
    assert with_it.members == first.members
    assert with_it.baseline == hwnas.Baseline("Sequential", (2.0, 30 * 30 * 4 * 27 + 40.0), {})
    assert hwnas.ParetoSet.load(tmp_path / "front.json") == with_it
    assert "No member dominates Sequential." in told
    assert all(torch.equal(a, b) for a, b in zip(made.parameters(), weights, strict=True))
    later = hwnas.with_baseline(first, cifar_network)
    assert later.baseline == hwnas.Baseline("cifar_network", with_it.baseline.values, {})


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (7, "`baseline` must be a torch.nn.Module, but got 7"),
        (lambda: 7, "`baseline` must be a torch.nn.Module, but got 7"),
        ("no_such_module:net", "there is no module 'no_such_module'"),
        ("net", "must be MODULE:CALLABLE"),
        (nn.Linear(3, 4), "but Linear is not: `model` must run on inputs of shape"),
        (
            nn.Sequential(nn.Flatten(), nn.Linear(3072, 9)),
            r"but Sequential is not: `network` must answer Logits\(classes=10\) as the archit",
        ),
    ],
)
def test_what_is_no_network_is_said_before_anything_is_evaluated(
    given: Any, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = Mock(side_effect=AssertionError("an architecture is evaluated"))
    monkeypatch.setattr("hwnas.study.search.insist_on_evaluable", late)
    with pytest.raises(hwnas.HwnasError, match=text) as error:
        hwnas.search(out=tmp_path, baseline=given, **CHEAP)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "study.db").exists()


def test_a_front_that_does_not_say_its_objectives_is_not_compared_with() -> None:
    info = hwnas.ObjectiveInfo("macs")
    front = hwnas.ParetoSet.from_values(["a"], ["a"], [[1.0]], [info], space="nasbench201")
    with pytest.raises(hwnas.InvalidValueError, match="front of `hwnas search`"):
        hwnas.with_baseline(front, cifar_network())


@pytest.mark.parametrize(
    ("space", "score"), [("nasbench201", "jacob_cov+params"), ("transnasbench101-micro", "naswot")]
)
def test_shipped_scores_are_not_compared_with_those_of_another_setting(
    space: str, score: str
) -> None:
    front = hwnas.search(space, objectives=score, costs="count:macs", trials=0, note=print)
    with pytest.raises(hwnas.InvalidValueError, match=r"`trials` must be at least 1 .* has 0") as e:
        hwnas.with_baseline(front, cifar_network)
    assert "\n" not in str(e.value)


@pytest.fixture
def versions(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Give the versions of scores, which a test may change."""
    found = {"layers": 3}
    for module in ("search", "settings"):
        monkeypatch.setattr(f"hwnas.study.{module}.score_versions", lambda _: dict(found))
    return found


def test_scores_that_have_changed_since_are_not_compared(
    tmp_path: Path, versions: dict[str, int]
) -> None:
    hwnas.search(out=tmp_path, note=lambda _: None, **CHEAP)
    front = hwnas.ParetoSet.load(tmp_path / "front.json")
    assert front.provenance["score_versions"] == {"layers": 3}
    assert hwnas.with_baseline(front, cifar_network()).baseline is not None
    versions["layers"] = 4
    with pytest.raises(
        hwnas.InvalidValueError, match=r"`front` .* \{'layers': 3\} there .* search again"
    ):
        hwnas.with_baseline(front, cifar_network())


def test_a_study_in_a_storage_tells_the_scores_that_it_was_made_with(
    tmp_path: Path, versions: dict[str, int]
) -> None:
    storage = f"sqlite:///{tmp_path}/study.db"
    made = hwnas.search(storage=storage, study="mine", note=lambda _: None, **CHEAP)
    front = get_host("optuna").load(storage, "mine")
    assert [m.key for m in front.members] == [m.key for m in made.members]
    assert hwnas.with_baseline(front, cifar_network()).baseline is not None
    front.save(tmp_path / "front.json")
    saved = hwnas.ParetoSet.load(tmp_path / "front.json")
    assert hwnas.with_baseline(saved, cifar_network()).baseline is not None
    versions["layers"] = 4
    with pytest.raises(
        hwnas.InvalidValueError, match=r"`front` .* \{'layers': 3\} there .* search again"
    ):
        hwnas.with_baseline(front, cifar_network())


def test_the_limit_of_a_named_network_is_not_for_the_import_of_its_module(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "import time\ntime.sleep(6)\nfrom torch import nn\ndef net(): return nn.Linear(8, 2)\n"
    (tmp_path / "slow_baseline_for_test.py").write_text(text)
    monkeypatch.chdir(tmp_path)
    assert PresentNetwork.named("slow_baseline_for_test:net", 5.0).name.endswith(":net")
    with pytest.raises(hwnas.InvalidValueError, match=r"`model` must name a module .* 'no_such"):
        PresentNetwork.named("no_such_module_for_test:net", 30.0)
