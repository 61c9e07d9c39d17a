"""The training script on signals, tokens, maps and real targets."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import nn

from hwnas.torch_source import train
from hwnas.torch_source.network_code import network_code
from hwnas.torch_source.network_file import plain_file
from hwnas.torch_source.train_data import Data
from tests.hwnas.torch_source.test_train import SETTINGS, exported, run

Array = npt.NDArray[Any]
RNG = np.random.default_rng(0)
SIGNALS = RNG.normal(size=(300, 2, 12)).astype(np.float32)
IMAGES = RNG.normal(size=(60, 1, 6, 6)).astype(np.float32)
TOKENS = RNG.integers(0, 5, (300, 4))


class Next(nn.Module):
    """Gives (B, T, V) logits of the tokens that follow."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(5, 5)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.table(tokens)
        return found


KINDS: dict[str, tuple[nn.Module, Array, Array, dict[str, int]]] = {
    "signals": (
        nn.Sequential(nn.Flatten(), nn.Linear(24, 2)),
        SIGNALS,
        (SIGNALS[:, 0].sum(1) > 0).astype(np.int64),
        {"Logits": 2},
    ),
    "samples of 16 bits": (
        nn.Sequential(nn.Flatten(), nn.Linear(24, 2)),
        (900 * SIGNALS + 40).astype(np.int16),
        (SIGNALS[:, 0].sum(1) > 0).astype(np.int64),
        {"Logits": 2},
    ),
    "vectors": (
        nn.Linear(12, 2),
        SIGNALS[:, 1],
        (SIGNALS[:, 1].sum(1) > 0).astype(int),
        {"Logits": 2},
    ),
    "tokens": (
        nn.Sequential(nn.Embedding(5, 4), nn.Flatten(), nn.Linear(16, 5)),
        TOKENS,
        TOKENS[:, 0],
        {"Logits": 5},
    ),
    "next tokens": (Next(), TOKENS, (TOKENS + 1) % 5, {"NextToken": 5}),
    "maps": (nn.Conv2d(1, 2, 1), IMAGES, (IMAGES[:, 0] > 0).astype(np.uint8), {"Map": 2}),
    "targets": (
        nn.Sequential(nn.Flatten(), nn.Linear(24, 1)),
        SIGNALS,
        SIGNALS[:, 0].mean(1) * 4_000 + 500,
        {"Regression": 1},
    ),
    "maps of targets": (
        nn.Conv2d(1, 2, 1),
        IMAGES,
        np.concatenate([2 * IMAGES, -IMAGES], 1),
        {"RegressionMap": 2},
    ),
}


def made(folder: Path, kind: str) -> tuple[Path, Path]:
    """Export the network of a kind, and write its data."""
    network, inputs, labels, output = KINDS[kind]
    vocabulary = {"vocabulary": 5} if inputs.ndim == 2 else {}
    task = {"name": "x", "output": output, "input": {"shape": list(inputs.shape[1:]), **vocabulary}}
    exported(folder / "code", task)
    member = folder / "code/001-k1"
    (member / "network.py").write_text(plain_file(network_code(network), "", ""))
    torch.save(dict(network.state_dict()), member / "weights.pt")
    np.savez(folder / "data.npz", inputs=inputs, labels=labels)
    return folder / "code", folder / "data.npz"


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_data_is_learned(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, data = made(tmp_path, kind)
    more = ["--epochs", 60, "--batch", 12, "--optimizer", "adamw", "--lr", 0.05]
    assert run(monkeypatch, folder, "--data", data, *more, "--weight-decay", 0, "--fresh") == 0
    with (folder / "accuracy.csv").open(newline="", encoding="utf-8") as stream:
        (row,) = csv.DictReader(stream)
    assert float(row["accuracy"]) > 80
    assert ("miou" in row) == (kind == "maps")
    judged = f"test {'R^2' if 'targets' in kind else 'accuracy'} {float(row['accuracy']):.2f} %"
    assert judged in capsys.readouterr().out
    assert int(row["test_images"]) == pytest.approx(len(KINDS[kind][1]) / 5, abs=3)


@pytest.mark.parametrize("kind", ["maps", "targets"])
def test_moves_that_labels_do_not_follow_are_refused(
    kind: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder, data = made(tmp_path, kind)
    assert run(monkeypatch, folder, "--data", data, "--flip") == 2
    assert "--flip and --crop move images with labels of the whole image" in capsys.readouterr().err


def test_targets_that_are_no_numbers_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, data = made(tmp_path, "targets")
    np.savez(data, inputs=SIGNALS, labels=np.full(len(SIGNALS), np.nan))
    assert run(monkeypatch, folder, "--data", data) == 2
    assert "or finite numbers" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("shape", "ignored"), [((300,), np.nan), ((300, 2), np.nan), ((300, 2), 0.0)]
)
def test_targets_that_are_missing_are_neither_learned_nor_judged(
    shape: tuple[int, ...],
    ignored: float,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder, data = made(tmp_path, "targets")
    network = nn.Sequential(nn.Flatten(), nn.Linear(24, n := shape[1] if shape[1:] else 1))
    (folder / "001-k1/network.py").write_text(plain_file(network_code(network), "", ""))
    torch.save(dict(network.state_dict()), folder / "001-k1/weights.pt")
    choices = folder / "001-k1/choices.json"
    choices.write_text(choices.read_text().replace('"Regression": 1', f'"Regression": {n}'))
    labels = np.stack([SIGNALS[:, 0].mean(1), 3 + 9 * SIGNALS[:, 1, 0]], 1).astype(np.float32)
    labels = labels[:, :n].reshape(shape)
    labels[RNG.random(shape) < 0.6] = ignored
    np.savez(data, inputs=SIGNALS, labels=labels, ignore_index=ignored)
    more = ["--epochs", 60, "--batch", 12, "--optimizer", "adamw", "--lr", 0.05]
    assert run(monkeypatch, folder, "--data", data, *more, "--weight-decay", 0) == 0
    with (folder / "accuracy.csv").open(newline="", encoding="utf-8") as stream:
        (row,) = csv.DictReader(stream)
    assert float(row["accuracy"]) > 95
    if np.isnan(ignored):
        np.savez(data, inputs=SIGNALS, labels=labels)
        assert run(monkeypatch, folder, "--data", data) == 2
        assert "name `ignore_index` nan in the file to leave NaN" in capsys.readouterr().err


def test_a_target_without_any_number_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, data = made(tmp_path, "targets")
    labels = np.stack([SIGNALS[:, 0].mean(1), np.full(300, np.nan)], 1)
    np.savez(data, inputs=SIGNALS, labels=labels, ignore_index=np.nan)
    assert run(monkeypatch, folder, "--data", data) == 2
    assert "no label is for training, or none for the test" in capsys.readouterr().err


def data_of(inputs: Array, labels: Array) -> Data:
    part = torch.from_numpy(inputs), torch.from_numpy(labels)
    return Data(part, part, torch.zeros(()), torch.ones(()))


def judged(network: nn.Module, inputs: Array, labels: Array) -> dict[str, float]:
    return train.Run(network, SETTINGS, torch.device("cpu")).judge(data_of(inputs, labels))


def accuracy(network: nn.Module, inputs: Array, labels: Array) -> float:
    return judged(network, inputs, labels)["accuracy"]


class Scaled(nn.Module):
    """Answers the inputs, times a number that is not trained."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor
        self.unused = nn.Parameter(torch.zeros(1))

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.factor * inputs


def test_real_targets_are_judged_by_their_explained_variance() -> None:
    targets = RNG.normal(size=(300, 2, 3, 4)).astype(np.float32) + np.float32(7)
    noisy = targets + RNG.normal(size=targets.shape).astype(np.float32) / 2
    numbers, answers = (np.moveaxis(a.astype(float), 1, 0).reshape(2, -1) for a in (targets, noisy))
    residual = ((numbers - answers) ** 2).sum(1)
    spread = ((numbers - numbers.mean(1, keepdims=True)) ** 2).sum(1)
    found = accuracy(Scaled(1.0), noisy, targets)
    assert found == pytest.approx(100 * (1 - residual / spread).mean(), rel=1e-6)
    assert 70 < found < 80
    # No better than the mean: 0, and never less.
    assert accuracy(Scaled(-1.0), noisy, targets) == 0


def test_missing_targets_do_not_count_and_answers_that_are_no_numbers_do() -> None:
    targets = RNG.normal(size=(300, 2)).astype(np.float32)
    noisy = targets + RNG.normal(size=targets.shape).astype(np.float32) / 2
    found, left_out = [], RNG.random(targets.shape) < 0.5
    for column, gone in enumerate(left_out.T):
        target, answer = targets[~gone, column].astype(float), noisy[~gone, column].astype(float)
        found.append(1 - ((target - answer) ** 2).sum() / ((target - target.mean()) ** 2).sum())
    targets[left_out] = np.nan
    assert accuracy(Scaled(1.0), noisy, targets) == pytest.approx(100 * np.mean(found), rel=1e-6)
    assert np.isnan(accuracy(Scaled(np.nan), noisy, targets))


def test_the_mean_intersection_over_union_is_that_of_the_confusion_matrix() -> None:
    logits = RNG.normal(size=(7, 5, 4, 6)).astype(np.float32)
    logits[:, 3:] = -9  # nobody answers 3 or 4
    labels = RNG.integers(0, 4, (7, 4, 6))  # nor is 4 a label
    labels[RNG.random(labels.shape) < 0.3] = -100
    told, known = logits.argmax(1), labels != -100
    ratios = []
    for k in range(4):
        both = ((told == k) & (labels == k) & known).sum()
        ratios.append(both / (((told == k) | (labels == k)) & known).sum())
    found = judged(Scaled(1.0), logits, labels)
    assert found["miou"] == pytest.approx(100 * np.mean(ratios), rel=1e-5)
    assert found["accuracy"] == pytest.approx(100 * (told == labels)[known].mean())


def test_masks_of_0_and_255_are_told_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, data = made(tmp_path, "maps")
    np.savez(data, inputs=IMAGES, labels=KINDS["maps"][2] * 255)
    assert run(monkeypatch, folder, "--data", data) == 2
    assert "divide labels of 0 and 255 by 255, or name a label to leave out as `ignore_index`" in (
        capsys.readouterr().err
    )


@pytest.mark.parametrize(
    ("kind", "network", "shapes"),
    [
        ("maps", nn.Sequential(nn.Flatten(), nn.Linear(36, 2)), "(2,) for labels of (6, 6)"),
        ("signals", nn.Conv1d(2, 2, 1), "(2, 12) for labels of ()"),
        ("targets", nn.Sequential(nn.Flatten(), nn.Linear(24, 3)), "(3,) for labels of (1,)"),
    ],
)
def test_a_network_that_answers_otherwise_than_the_labels_is_told(
    kind: str,
    network: nn.Module,
    shapes: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder, data = made(tmp_path, kind)
    (folder / "001-k1/network.py").write_text(plain_file(network_code(network), "", ""))
    torch.save(dict(network.state_dict()), folder / "001-k1/weights.pt")
    assert run(monkeypatch, folder, "--data", data) == 2
    assert f"the network answers {shapes} an input, which do not fit" in capsys.readouterr().err


def test_a_file_of_other_columns_is_told_before_the_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, data = made(tmp_path, "maps")
    names = "architecture,accuracy,member,seed,epochs,test_images,seconds,settings"
    (folder / "accuracy.csv").write_text(f"{names}\n")
    assert run(monkeypatch, folder, "--data", data) == 2
    assert "must have the columns architecture,accuracy,miou,member" in capsys.readouterr().err
    assert not (folder / "runs").exists()


def test_positions_are_told_right_one_by_one() -> None:
    logits = np.zeros((4, 2, 3), dtype=np.float32)
    logits[:, 1, 0] = 1
    labels = np.zeros((4, 3), dtype=np.int64)
    assert accuracy(Scaled(1.0), logits, labels) == pytest.approx(100 * 2 / 3)


@pytest.mark.parametrize("ignored", [255, None])
def test_positions_without_a_class_are_neither_learned_nor_judged(
    ignored: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, data = made(tmp_path, "maps")
    inputs, labels = KINDS["maps"][1:3]
    # What is not left out would be wrong in three positions of four.
    left_out, labels = RNG.random(labels.shape) < 0.75, labels.astype(np.int16)
    more: dict[str, Any] = {} if ignored is None else {"ignore_index": ignored}
    labels[left_out] = -100 if ignored is None else ignored
    labels[0] = -100 if ignored is None else ignored  # an image without any label
    np.savez(data, inputs=inputs, labels=labels, **more)
    rest = ["--epochs", 60, "--batch", 1, "--optimizer", "adamw", "--lr", 0.05, "--fresh"]
    assert run(monkeypatch, folder, "--data", data, *rest, "--label-smoothing", 0.1) == 0
    with (folder / "accuracy.csv").open(newline="", encoding="utf-8") as stream:
        (row,) = csv.DictReader(stream)
    assert float(row["accuracy"]) > 90


@pytest.mark.parametrize(
    ("changed", "more", "told"),
    [
        (slice(None), {"ignore_index": 7}, "no label is for training"),
        (
            np.s_[:, 0],
            {},
            "256 classes of shape (6, 6); name a label to leave out as `ignore_index`",
        ),
    ],
)
def test_labels_that_are_left_out_or_likely_are_told(
    changed: Any,
    more: dict[str, Any],
    told: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder, data = made(tmp_path, "maps")
    labels = KINDS["maps"][2].copy()
    labels[changed] = 7 if more else 255
    np.savez(data, inputs=IMAGES, labels=labels, **more)
    assert run(monkeypatch, folder, "--data", data) == 2
    assert told in capsys.readouterr().err


def test_the_accuracy_counts_the_positions_that_have_a_label() -> None:
    logits = np.zeros((4, 2, 3), dtype=np.float32)
    logits[:, 1, 0] = 1
    labels = np.array([[0, 0, 0], [0, -100, -100], [1, 0, -100], [-100, -100, -100]])
    assert accuracy(Scaled(1.0), logits, labels) == pytest.approx(100 * 4 / 6)


@pytest.mark.parametrize("kind", ["maps", "maps of targets"])
def test_maps_at_half_the_size_of_the_labels_are_trained(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, data = made(tmp_path, kind)
    inputs = np.repeat(np.repeat(IMAGES, 2, 2), 2, 3)
    labels = np.repeat(np.repeat(KINDS[kind][2], 2, -1), 2, -2)
    np.savez(data, inputs=inputs, labels=labels)
    choices = folder / "001-k1/choices.json"
    choices.write_text(choices.read_text().replace("[1, 6, 6]", "[1, 12, 12]"))
    for kernel, code in ((2, 0), (3, 2)):  # the second one cuts positions off
        network = nn.Conv2d(1, 2, kernel, 2 if kernel == 2 else 1)
        (folder / "001-k1/network.py").write_text(plain_file(network_code(network), "", ""))
        torch.save(dict(network.state_dict()), folder / "001-k1/weights.pt")
        more = ["--epochs", 20, "--batch", 12, "--optimizer", "adamw", "--lr", 0.1, "--seed", code]
        assert run(monkeypatch, folder, "--data", data, *more) == code
    assert "maps of (10, 10) positions, no whole fraction of the labels' (12, 12)" in (
        capsys.readouterr().err
    )
    with (folder / "accuracy.csv").open(newline="", encoding="utf-8") as stream:
        (row,) = csv.DictReader(stream)
    assert float(row["accuracy"]) > 60
