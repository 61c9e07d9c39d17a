from __future__ import annotations

import csv
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from hwnas.seeding import seeded
from hwnas.tasks.task import image_task
from hwnas.torch_source import train
from hwnas.torch_source.network_code import network_code
from hwnas.torch_source.network_file import plain_file
from hwnas.torch_source.scripts import scripts
from hwnas.torch_source.train_data import UserError, read_data

SETTINGS = train.Settings(
    epochs=10, batch=8, optimizer="sgd", lr=0.1, warmup=2.0, weight_decay=0.01,
    label_smoothing=0.0, flip=False, crop=0, fresh=False, precision="float32", test_share=0.2,
    seed=0,
)  # fmt: skip
TASK = {"name": "images", "num_classes": 3, "in_shape": [1, 8, 8]}


def exported(folder: Path, task: dict[str, Any] = TASK, architecture: str = "architecture") -> Path:
    """Make what an export makes: two networks and the script."""
    for number in (1, 2):
        with seeded(number):
            network = nn.Sequential(
                nn.Conv2d(1, 4 * number, 3, padding=1), nn.BatchNorm2d(4 * number), nn.ReLU(),
                nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Dropout(0.1), nn.Linear(16 * number, 3),
            )  # fmt: skip
        member = folder / f"{number:03d}-k{number}"
        member.mkdir(parents=True)
        (member / "network.py").write_text(plain_file(network_code(network), "", ""))
        torch.save(dict(network.state_dict()), member / "weights.pt")
        choices = {architecture: f"arch,{number}", "member": number, "task": task}
        (member / "choices.json").write_text(json.dumps(choices))
    for name, text in scripts(image_task(2, (1, 8, 8))).items():
        (folder / name).write_text(text)
    return folder


def images(n: int = 60) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Three classes that differ in where they are bright."""
    rng = np.random.default_rng(0)
    labels = np.arange(n) % 3
    found = rng.integers(0, 60, size=(n, 1, 8, 8))
    for i, label in enumerate(labels):
        found[i, 0, :, 2 * label : 2 * label + 3] += 150
    return found.astype(np.uint8), labels


@pytest.fixture
def data(tmp_path: Path) -> Path:
    found, labels = images()
    np.savez(tmp_path / "data.npz", images=found, labels=labels)
    return tmp_path / "data.npz"


def run(monkeypatch: pytest.MonkeyPatch, folder: Path, *arguments: object) -> int:
    monkeypatch.setattr(train, "HERE", folder)
    fixed = ("--device", "cpu", "--out", folder / "runs", "--csv", folder / "accuracy.csv")
    return train.main([str(a) for a in (*fixed, *arguments)])


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "accuracy.csv").open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_the_script_runs_alone_and_learns(tmp_path: Path, data: Path) -> None:
    folder = exported(tmp_path / "code")
    more = ["--member", "all", "--epochs", "6", "--batch", "16", "--warmup", "1"]
    more += ["--device", "cpu", "--label-smoothing", "0.1", "--flip", "--crop", "1"]
    (folder / "hwnas.py").write_text("raise ImportError('hwnas is not there')")
    command = [sys.executable, "-E", str(folder / "train.py"), "--data", str(data)]
    done = subprocess.run([*command, *more], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = rows(folder)
    assert [(r["architecture"], r["member"], r["test_images"]) for r in found] == [
        ("arch,1", "1", "12"),
        ("arch,2", "2", "12"),
    ]
    assert all(float(r["accuracy"]) > 60 for r in found)
    assert (folder / "runs/001-k1-seed0/checkpoint.pt").is_file()


def test_a_folder_of_an_earlier_version_is_trained(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = exported(tmp_path / "code", architecture="arch")
    names = "arch,accuracy,member,seed,epochs,test_images,seconds,settings"
    (folder / "accuracy.csv").write_text(f"{names}\nother,50,7,0,1,12,1,\n")
    assert run(monkeypatch, folder, "--data", data, "--epochs", 1) == 0
    assert [row["arch"] for row in rows(folder)] == ["other", "arch,1"]


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_a_resumed_run_equals_one_that_was_not_stopped(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch, optimizer: str
) -> None:
    whole, parts = exported(tmp_path / "whole"), exported(tmp_path / "parts")
    arguments = ["--data", data, "--epochs", 4, "--batch", 16, "--optimizer", optimizer]
    arguments += ["--crop", 1, "--flip", "--seed", 3]
    assert run(monkeypatch, whole, *arguments) == 0
    save = train.Run.save

    def dying(self: train.Run, file: Path) -> None:
        save(self, file)
        if self.epoch == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(train.Run, "save", dying)
    with pytest.raises(KeyboardInterrupt):
        run(monkeypatch, parts, *arguments)
    monkeypatch.setattr(train.Run, "save", save)
    torch.rand(7)  # whatever the process has drawn meanwhile
    assert run(monkeypatch, parts, *arguments, "--resume") == 0
    one, two = (
        torch.load(f / "runs/001-k1-seed3/checkpoint.pt", weights_only=True) for f in (whole, parts)
    )
    assert one["epoch"] == two["epoch"] == 4
    for name, tensor in one["network"].items():
        assert torch.equal(tensor, two["network"][name])
    assert rows(whole)[0]["accuracy"] == rows(parts)[0]["accuracy"]
    # What is finished is noted once, however often it is resumed.
    assert run(monkeypatch, parts, *arguments, "--resume") == 0
    assert len(rows(parts)) == 1


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_mixed_precision_trains_and_goes_on(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch, precision: str
) -> None:
    folder = exported(tmp_path / "code")
    arguments = ("--data", data, "--epochs", 2, "--batch", 16, "--precision", precision)
    assert run(monkeypatch, folder, *arguments) == 0
    assert run(monkeypatch, folder, *arguments, "--resume") == 0
    checkpoint = torch.load(folder / "runs/001-k1-seed0/checkpoint.pt", weights_only=True)
    assert all(t.dtype != getattr(torch, precision) for t in checkpoint["network"].values())
    assert bool(checkpoint["scaler"]) == (precision == "float16")
    assert json.loads(rows(folder)[0]["settings"])["precision"] == precision


def test_a_run_is_not_overwritten_nor_resumed_by_another(
    tmp_path: Path,
    data: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = exported(tmp_path / "code")
    assert run(monkeypatch, folder, "--data", data, "--epochs", 1) == 0
    assert run(monkeypatch, folder, "--data", data, "--epochs", 1) == 2
    assert "--resume" in capsys.readouterr().err
    assert run(monkeypatch, folder, "--data", data, "--epochs", 2, "--resume") == 2
    assert "was made with epochs 1, not 2" in capsys.readouterr().err
    assert run(monkeypatch, folder, "--data", data, "--epochs", 1, "--seed", 1, "--fresh") == 0
    assert [row["seed"] for row in rows(folder)] == ["0", "1"]


def test_a_checkpoint_that_does_not_name_its_data_is_gone_on_with(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = exported(tmp_path / "code")
    assert run(monkeypatch, folder, "--data", data, "--epochs", 1) == 0
    file = folder / "runs/001-k1-seed0/checkpoint.pt"
    state = torch.load(file, weights_only=True)
    del state["settings"]["data"]  # as earlier versions wrote it
    torch.save(state, file)
    (row,) = rows(folder)
    settings = json.loads(row["settings"])
    del settings["data"]
    with (folder / "accuracy.csv").open("w", newline="", encoding="utf-8") as stream:
        old = {**row, "settings": json.dumps(settings, sort_keys=True)}
        csv.writer(stream).writerows([old.keys(), old.values()])
    assert run(monkeypatch, folder, "--data", data, "--epochs", 1, "--resume") == 0
    assert rows(folder)[1]["settings"] == row["settings"]


def test_other_data_are_another_run(
    tmp_path: Path,
    data: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder, other = exported(tmp_path / "code"), tmp_path / "other.npz"
    found, labels = images()
    np.savez(other, images=255 - found, labels=labels)
    assert run(monkeypatch, folder, "--data", data, "--epochs", 1) == 0
    (tmp_path / "moved.npz").write_bytes(data.read_bytes())
    assert (
        run(monkeypatch, folder, "--data", tmp_path / "moved.npz", "--epochs", 1, "--resume") == 0
    )
    assert len(rows(folder)) == 1
    assert run(monkeypatch, folder, "--data", other, "--epochs", 1, "--resume") == 2
    assert "was made with data " in capsys.readouterr().err
    again = ("--data", other, "--epochs", 1, "--out", folder / "others")
    assert run(monkeypatch, folder, *again) == 0
    first, second = (json.loads(row["settings"]) for row in rows(folder))
    assert {name for name in first if first[name] != second[name]} == {"data"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--member", 3), "must be one of 1, 2, or all, but got 3"),
        (("--epochs", 0), "--epochs must be above 0"),
        (("--test-share", 1), "--test-share must be in 0 to 1"),
        (("--data", "absent.npz"), "absent.npz"),
        (("--lr", 1e30, "--epochs", 3), "the loss is no number"),
    ],
)
def test_what_is_wrong_is_one_line(
    tmp_path: Path,
    data: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[object, ...],
    message: str,
) -> None:
    folder = exported(tmp_path / "code")
    assert run(monkeypatch, folder, "--data", data, *arguments) == 2
    err = capsys.readouterr().err
    assert err.startswith("train.py: ")
    assert err.count("\n") == 1
    assert message in err


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ({**TASK, "num_classes": 2}, "2 classes, but the data have (1, 8, 8) and 3"),
        ({**TASK, "in_shape": [3, 8, 8]}, "shape (3, 8, 8)"),
        (
            {"name": "x", "output": {"Regression": 2}, "input": {"shape": [1, 8, 8]}},
            "(1, 8, 8) and numbers of shape (2,), but the data have (1, 8, 8) and 3 classes.",
        ),
    ],
)
def test_data_of_another_task_are_refused(
    tmp_path: Path,
    data: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    task: dict[str, Any],
    message: str,
) -> None:
    assert run(monkeypatch, exported(tmp_path / "code", task), "--data", data) == 2
    assert message in capsys.readouterr().err


def test_the_rate_rises_in_a_line_and_falls_in_half_a_cosine() -> None:
    found = [train.rate(p, SETTINGS) for p in (0, 1, 2, 6, 10)]
    np.testing.assert_allclose(found, [0, 0.05, 0.1, 0.05, 0], atol=1e-12)
    assert train.rate(1, replace(SETTINGS, warmup=0, epochs=2)) == pytest.approx(0.05)


def test_norms_and_biases_do_not_decay() -> None:
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4))
    decays = {
        id(p): group["weight_decay"]
        for group in train.make_optimizer(network, SETTINGS).param_groups
        for p in group["params"]
    }
    assert [decays[id(p)] for p in network.parameters()] == [0.01, 0, 0, 0]


def test_images_are_moved_by_at_most_the_pixels_and_keep_their_values() -> None:
    picture = torch.arange(1.0, 17).reshape(1, 1, 4, 4)
    torch.manual_seed(0)
    moved = train.moved(picture.expand(64, 1, 4, 4), replace(SETTINGS, crop=1))
    wide = torch.nn.functional.pad(picture, (1, 1, 1, 1))[0, 0]
    windows = [wide[i : i + 4, j : j + 4] for i in range(3) for j in range(3)]
    seen = {next(k for k, w in enumerate(windows) if torch.equal(w, m)) for m in moved[:, 0]}
    assert seen == set(range(9))
    mirrored = train.moved(picture.expand(64, 1, 4, 4), replace(SETTINGS, flip=True))
    assert {bool(torch.equal(m, picture[0])) for m in mirrored} == {True, False}
    assert all(torch.equal(m.sort().values, picture[0].sort().values) for m in mirrored)


def test_each_image_is_seen_once_an_epoch() -> None:
    steps = list(train.batches(10, 4, seed=0))
    assert [len(step) for step in steps] == [4, 4]
    assert len(set(torch.cat(steps).tolist())) == 8
    assert len(next(train.batches(3, 4, seed=0))) == 3


def test_a_split_of_the_data_is_kept(tmp_path: Path) -> None:
    found, labels = images(12)
    split = np.where(np.arange(12) < 9, "train", "test")
    np.savez(tmp_path / "data.npz", images=found, labels=labels, split=split)
    data = read_data(tmp_path / "data.npz", 0.5)
    assert torch.equal(data.test[0], torch.from_numpy(found[9:]))
    scaled = data.scaled(data.train[0], torch.device("cpu"))
    assert float(scaled.mean()) == pytest.approx(0, abs=1e-5)
    assert float(scaled.std(correction=0)) == pytest.approx(1, abs=1e-5)


def test_folders_of_pictures_are_read_with_and_without_a_split(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image", reason="the extra pictures is not installed")
    found, labels = images(12)
    for i, (picture, label) in enumerate(zip(found, labels, strict=True)):
        for place in (f"all/c{label}", f"parted/{'test' if i < 3 else 'train'}/c{label}"):
            (tmp_path / place).mkdir(parents=True, exist_ok=True)
            image.fromarray(picture[0]).save(tmp_path / place / f"{i:02d}.png")
    data = read_data(tmp_path / "all", 0.25)
    assert data.test[1].tolist() == [0, 1, 2]
    parted = read_data(tmp_path / "parted", 0.25)
    assert torch.equal(parted.test[0], torch.from_numpy(found[:3]))
    assert parted.train[0].shape == (9, 1, 8, 8)
    brought = read_data(tmp_path / "parted@4x16", 0.25)
    assert brought.train[0].shape == (9, 1, 4, 16)
    image.fromarray(found[0, 0, :4]).save(tmp_path / "all/c0/11.png")
    with pytest.raises(UserError, match="FOLDER@HxW"):
        read_data(tmp_path / "all", 0.25)


def test_the_script_says_what_it_does_meanwhile(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses = iter((30.0, 30.0))  # there is no terminal

    def pause(seconds: float) -> None:
        if seconds != next(pauses, None):
            raise InterruptedError

    monkeypatch.setattr("time.sleep", pause)
    monkeypatch.setattr(train, "NOW", ["epoch 3  step 2/9"])
    with pytest.raises(InterruptedError):
        train.tell()
    assert capsys.readouterr().err == 2 * "epoch 3  step 2/9\n"
