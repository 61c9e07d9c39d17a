from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import optuna
import pytest
import torch
from torch import nn

import hwnas
from hwnas.proxies import make_proxies
from hwnas.proxies.engine.scoring import score_network
from hwnas.tasks.batch import Batch


def network() -> nn.Module:
    torch.manual_seed(3)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 7)
    )


def test_scores_are_those_of_the_engine() -> None:
    names = ["params", "naswot", "jacob_cov"]
    scores = hwnas.score(network(), (1, 6, 6), names, batch_size=8, seed=5)
    slow = score_network(network(), (1, 6, 6), make_proxies(names), batch_size=8, seed=5)
    assert dict(scores) == {name: result.value for name, result in slow.items()}
    assert scores["params"] == 4 * 10 + 7 * 5
    assert scores.errors == {}
    assert hwnas.score(network(), [1, 6, 6], "params", batch_size=8) == {"params": 75.0}


def test_a_missing_score_is_nan_with_its_reason() -> None:
    linear = nn.Sequential(nn.Flatten(), nn.Linear(36, 7))
    scores = hwnas.score(linear, (1, 6, 6), ["naswot", "params"], batch_size=8)
    assert math.isnan(scores["naswot"])
    assert list(scores.errors) == ["naswot"]
    assert repr(scores).splitlines() == [f"naswot  {scores.errors['naswot']}", "params  259"]
    with pytest.raises(KeyError):
        scores["synflow"]


def test_images_are_named_or_given(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).normal(size=(8, 1, 6, 6)).astype(np.float32)
    np.savez(tmp_path / "mine.npz", images=pixels)
    drawn = hwnas.score(network(), (1, 6, 6), "naswot", batch_size=8)
    read = hwnas.score(
        network(), (1, 6, 6), "naswot", batch_size=8, images=str(tmp_path / "mine.npz")
    )
    given = hwnas.score(network(), (1, 6, 6), "naswot", images=Batch(torch.from_numpy(pixels)))
    assert read == given != drawn


def test_tokens_and_a_task_are_inputs_too() -> None:
    class Text(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding, self.head = nn.Embedding(11, 4), nn.Linear(4, 3)

        def forward(self, tokens: torch.Tensor) -> torch.Tensor:
            out: torch.Tensor = self.head(torch.relu(self.embedding(tokens)).mean(1))
            return out

    spec = hwnas.TensorSpec((5,), "tokens", 11)
    assert hwnas.score(Text(), spec, "params", batch_size=4)["params"] == 44 + 15
    task = hwnas.Task("topics", spec, hwnas.Logits(3))
    assert hwnas.score(Text(), task, "grad_norm", batch_size=4)["grad_norm"] > 0


@pytest.mark.parametrize(
    ("model", "shape", "proxies", "text"),
    [
        (nn.ReLU, (1, 6, 6), "params", "got the class ReLU: call it"),
        ("net", (1, 6, 6), "params", "must be a torch.nn.Module, but got 'net'"),
        (nn.ReLU(), (0, 6, 6), "params", r"must be \(C, H, W\) with positive numbers"),
        (
            nn.ReLU(),
            (1, 3, 6, 6),
            "params",
            r"\(F,\) of a vector or .* \(1, 3, 6, 6\): leave the ba",
        ),
        (nn.ReLU(), 6, "params", r"`input` must be a shape such as \(C, H, W\), .*got 6"),
        (nn.ReLU(), "abc", "params", r"`input` must be a shape such as \(C, H, W\), .*got 'abc'"),
        (nn.ReLU(), (1, 6, 6), "parms", "Did you mean 'params'"),
        (nn.ReLU(), (1, 6, 6), "jacob_cov+params", "name its proxies, jacob_cov, params"),
    ],
)
def test_bad_arguments_are_one_line(
    model: nn.Module, shape: tuple[int, int, int], proxies: str, text: str
) -> None:
    with pytest.raises(hwnas.HwnasError, match=text) as error:
        hwnas.score(model, shape, proxies)
    assert "\n" not in str(error.value)


def test_a_score_and_a_latency_in_an_objective_of_ones_own() -> None:
    def objective(trial: optuna.Trial) -> tuple[float, float]:
        width = trial.suggest_int("width", 4, 16, step=4)
        net = nn.Sequential(
            nn.Conv2d(1, width, 3), nn.ReLU(), nn.Flatten(), nn.Linear(16 * width, 7)
        )
        score = hwnas.score(net, (1, 6, 6), "naswot", batch_size=8)["naswot"]
        return score, hwnas.profile(net, (1, 6, 6), max_seconds=0.02).latency_ms

    study = optuna.create_study(directions=["maximize", "minimize"])
    study.optimize(objective, n_trials=2)
    assert all(t.state is optuna.trial.TrialState.COMPLETE for t in study.trials)
