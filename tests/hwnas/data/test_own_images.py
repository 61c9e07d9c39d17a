"""Images of a user's own: arrays in a file, or a folder of pictures."""

from __future__ import annotations

import pickle
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from hwnas.data import own_images
from hwnas.data.own_images import OwnImages
from hwnas.data.real_images import real_images
from hwnas.errors import (
    DataFormatError,
    DataNotFoundError,
    InvalidValueError,
    MissingDependencyError,
)
from hwnas.functions.networks_of import task_of
from hwnas.spaces.nasbench201 import NasBench201
from hwnas.study.configuration import named_task
from hwnas.study.settings import SearchSettings
from hwnas.tasks.catalogue import get_task
from hwnas.tasks.task import (
    Logits,
    Map,
    NextToken,
    Output,
    Regression,
    RegressionMap,
    Task,
    TensorSpec,
    image_task,
)

LABELS = np.repeat(np.arange(4), 3)
TOKENS = np.arange(108).reshape(12, 9)


def arrays(path: Path, **content: Any) -> OwnImages:
    np.savez(path, **content)
    found = OwnImages.parse(str(path))
    assert found is not None
    return found


def pixels(seed: int = 0) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (12, 1, 6, 8)).astype(np.uint8)


def test_a_file_says_task_and_batch(tmp_path: Path) -> None:
    own = arrays(tmp_path / "mine.npz", images=pixels(), labels=LABELS)
    assert own.task == own.known == image_task(4, (1, 6, 8), "mine.npz")
    batch = own.batch(6)
    assert batch.inputs.shape == (6, 1, 6, 8)
    assert batch.labels is not None
    assert batch.labels.tolist() == [0, 1, 2, 3, 0, 1]
    first = pixels()[[0, 3, 6, 9, 1, 4]].astype(np.float64)
    np.testing.assert_allclose(batch.inputs, (first - first.mean()) / first.std(), atol=1e-5)


@pytest.mark.parametrize(
    ("sizes", "told"),
    [
        ("1x6x8:4", ""),
        ("1x6x8:10", ""),
        ("1x6x8:outputs", ""),
        ("1x6x8:3", r"labels of .*mine.npz, 4, or more of them, or outputs, but got 3"),
        ("1x6x8:map4", "but got map4"),
        ("1x6x8:numbers4", "but got numbers4"),
        ("1x8x8:4", r"built for, image \(1, 8, 8\), but those of .* are image \(1, 6, 8\)"),
        ("cifar10", r"built for, image \(3, 32, 32\)"),
    ],
)
def test_more_may_be_said_than_labels_do(sizes: str, told: str, tmp_path: Path) -> None:
    """A sample may lack some of the classes, and what networks return may not be classes."""
    own = arrays(tmp_path / "mine.npz", images=pixels(), labels=LABELS)
    given = get_task(sizes)
    if told:
        with pytest.raises(InvalidValueError, match=told):
            own.insist_on(given)
        return
    own.insist_on(given)
    same = given.output == own.task.output
    assert own.task_for(sizes) == named_task(sizes, str(own.path)) == (own.task if same else given)
    assert own.task_for("cifar10") == own.task
    settings = SearchSettings(images=str(own.path), dataset=sizes, batch=4)
    assert settings.pinned(NasBench201()).dataset == ("mine.npz" if same else sizes)
    batch = real_images(str(own.path), 4, own.task_for(sizes))
    assert batch is not None
    assert (batch.labels is None) == (sizes == "1x6x8:outputs")
    assert task_of(None, None, sizes.rpartition(":")[2], None, str(own.path)) == given


def test_labels_may_be_missing(tmp_path: Path) -> None:
    bare = arrays(tmp_path / "bare.npz", images=pixels())
    assert bare.known == TensorSpec((1, 6, 8))
    assert bare.batch(3).labels is None
    with pytest.raises(InvalidValueError, match=r"bare.npz` must hold `labels`, or `classes`"):
        _ = bare.task
    counted = arrays(tmp_path / "counted.npz", images=pixels(), classes=9)
    assert counted.task.output == Logits(9)


@pytest.mark.parametrize(
    ("content", "spec", "output"),
    [
        (
            {"images": np.zeros((12, 2, 9)), "labels": LABELS},
            TensorSpec((2, 9), "signal"),
            Logits(4),
        ),
        ({"inputs": np.zeros((12, 1, 3)), "classes": 5}, TensorSpec((1, 3), "signal"), Logits(5)),
        ({"inputs": TOKENS / 2, "labels": LABELS}, TensorSpec((9,), "vector"), Logits(4)),
        ({"inputs": TOKENS, "labels": LABELS}, TensorSpec((9,), "tokens", 108), Logits(4)),
        (
            {"inputs": TOKENS, "labels": LABELS, "vocabulary": 500},
            TensorSpec((9,), "tokens", 500),
            Logits(4),
        ),
        (
            {"inputs": TOKENS, "labels": TOKENS[::-1]},
            TensorSpec((9,), "tokens", 108),
            NextToken(108),
        ),
        ({"images": pixels(), "labels": pixels()[:, 0] % 7}, TensorSpec((1, 6, 8)), Map(7)),
        ({"images": pixels(), "labels": np.ones((12, 2))}, TensorSpec((1, 6, 8)), Regression(2)),
        (
            {"images": pixels(), "labels": np.ones((12, 3, 6, 8))},
            TensorSpec((1, 6, 8)),
            RegressionMap(3),
        ),
    ],
)
def test_signals_tokens_and_other_labels_say_their_task(
    tmp_path: Path, content: dict[str, Any], spec: TensorSpec, output: Output
) -> None:
    own = arrays(tmp_path / "mine.npz", **content)
    # What the whole file says: one example alone has fewer classes and tokens.
    assert own.task == Task("mine.npz", spec, output)
    batch = own.batch(8)
    batch.check(spec)
    if batch.labels is not None:
        assert batch.labels.shape[1:] == own.task.label_shape


def test_tokens_without_labels_say_their_vocabulary(tmp_path: Path) -> None:
    assert arrays(tmp_path / "bare.npz", inputs=TOKENS).known == TensorSpec((9,), "tokens", 108)


def test_images_are_found_again_by_place_and_checksum(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "mine.npz"
    text = arrays(file, images=pixels(), labels=LABELS).pinned(4)
    monkeypatch.chdir(tmp_path)
    relative = OwnImages.parse("mine.npz")
    again = OwnImages.parse(text)
    assert relative is not None
    assert again is not None
    assert text == relative.pinned(4) == again.pinned(4)
    assert text.startswith(f"{file}#")
    # The same bytes in another place are the same images, for caches.
    other = arrays(tmp_path / "other.npz", images=pixels(), labels=LABELS)
    assert other.pinned(4).partition("#")[2] == text.partition("#")[2]
    assert other.pinned(5).partition("#")[2] != text.partition("#")[2]
    arrays(file, images=pixels(1), labels=LABELS)
    with pytest.raises(InvalidValueError, match="`images` must be those that were named"):
        again.batch(4)


def test_there_must_be_as_many_images_as_the_batch_has(tmp_path: Path) -> None:
    own = arrays(tmp_path / "mine.npz", images=pixels(), labels=LABELS)
    with pytest.raises(
        InvalidValueError, match=r"the 13 that are .*mine.npz holds 12: .*--batch 6\."
    ):
        own.batch(13)


@pytest.mark.parametrize("text", ["gaussian", "cifar10-sample", "nothing", "mine.npy", ""])
def test_names_are_no_files(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "gaussian").mkdir()
    assert OwnImages.parse(text) is None


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    own = OwnImages(tmp_path / "none.npz")
    with pytest.raises(DataNotFoundError, match="there is no"):
        own.batch(2)


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"pictures": pixels()},
        {"images": pixels()[0, 0, 0]},
        {"images": np.full((12, 9), np.nan)},
        {"images": pixels().astype(np.int32)},
        {"images": np.full((12, 1, 6, 8), np.inf)},
        {"images": np.array([{"a": 1}] * 12, dtype=object)},
        {"images": pixels(), "labels": LABELS[:5]},
        {"images": pixels(), "labels": LABELS - 1},
        {"images": pixels(), "labels": LABELS, "classes": 3},
        {"images": pixels(), "classes": "ten"},
        {"images": pixels(), "classes": [1, 2]},
        {"images": np.full((4, 9), 7), "labels": LABELS[:4], "vocabulary": 7},
        {"images": pixels(), "labels": np.full((12, 2), np.nan)},
    ],
)
def test_other_content_is_refused_in_one_line(tmp_path: Path, content: dict[str, Any]) -> None:
    own = arrays(tmp_path / "mine.npz", **content)
    with pytest.raises(DataFormatError, match=r"mine.npz` must hold `images`") as caught:
        own.batch(2)
    assert "\n" not in str(caught.value)


class Harmful:
    def __reduce__(self) -> Any:
        return pytest.fail, ("a pickle was executed",)


@pytest.mark.parametrize(
    "content", [b"", b"PK\x03\x04", b"something else", pickle.dumps(Harmful())]
)
def test_foreign_files_are_refused_and_never_executed(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "mine.npz"
    file.write_bytes(content)
    with pytest.raises(DataFormatError, match=r"mine.npz` must hold `images`"):
        OwnImages(file).batch(2)


def test_a_cut_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "mine.npz"
    np.savez_compressed(file, images=pixels(), labels=LABELS)
    whole = file.read_bytes()
    for size in (len(whole) // 2, len(whole) - 30):
        file.write_bytes(whole[:size])
        with pytest.raises(DataFormatError):
            OwnImages(file).batch(2)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two classes of three files each, whose bytes are their pixels."""

    def read(file: Path, resized: None) -> npt.NDArray[np.uint8]:
        assert resized is None
        side, *values = file.read_bytes()
        return np.array(values, dtype=np.uint8).reshape(side, side, -1)

    monkeypatch.setattr(own_images, "_read_picture", read)
    for number, name in enumerate(("cat", "dog")):
        (tmp_path / "pets" / name).mkdir(parents=True)
        for i in range(3):
            content = bytes([2, *range(10 * number + i, 10 * number + i + 4)])
            (tmp_path / "pets" / name / f"{i}.PNG").write_bytes(content)
    (tmp_path / "pets" / "cat" / "notes.txt").write_text("no picture")
    return tmp_path / "pets"


def test_folders_are_classes(folder: Path) -> None:
    own = OwnImages.parse(str(folder))
    assert own is not None
    assert own.task == image_task(2, (1, 2, 2), "pets/")
    batch = own.batch(3)
    assert batch.labels is not None
    assert batch.labels.tolist() == [0, 1, 0]
    raw = np.array([[0, 1, 2, 3], [10, 11, 12, 13], [1, 2, 3, 4]], dtype=np.float64)
    expected = ((raw - raw.mean()) / raw.std()).reshape(3, 1, 2, 2)
    np.testing.assert_allclose(batch.inputs, expected, atol=1e-6)


def test_a_coloured_picture_makes_all_of_them_coloured(folder: Path) -> None:
    (folder / "dog" / "0.PNG").write_bytes(bytes([2, *range(12)]))
    own = OwnImages(folder)
    inputs = own.batch(2).inputs
    assert inputs.shape == (2, 3, 2, 2)
    raw = np.array([[0, 1, 2, 3], [0, 3, 6, 9]], dtype=np.float64)
    np.testing.assert_allclose(inputs[:, 0].flatten(1), (raw - raw.mean()) / raw.std(), atol=1e-6)


def test_pictures_of_two_sizes_are_refused(folder: Path) -> None:
    (folder / "dog" / "0.PNG").write_bytes(bytes([3, *range(9)]))
    with pytest.raises(DataFormatError, match=r"is 2x2 and .*0.PNG is 3x3: .*FOLDER@2x2"):
        OwnImages(folder).batch(2)


def test_classes_are_those_of_the_part_to_train_on(folder: Path, tmp_path: Path) -> None:
    parts = tmp_path / "parted"
    (parts / "test").mkdir(parents=True)
    folder.rename(parts / "train")
    assert OwnImages(parts).task == replace(OwnImages(parts / "train").task, name="parted/")


def test_pictures_without_folders_have_no_classes(folder: Path, tmp_path: Path) -> None:
    flat = tmp_path / "flat"
    flat.mkdir()
    for number, file in enumerate(sorted(folder.rglob("*.PNG"))):
        file.rename(flat / f"{number}.PNG")
    own = OwnImages(flat)
    assert own.known == TensorSpec((1, 2, 2))
    assert not own.says_task
    batch = own.batch(4)
    assert batch.labels is None
    assert len(batch) == 4
    with pytest.raises(InvalidValueError, match="or --classes outputs"):
        _ = own.task
    with pytest.raises(InvalidValueError, match=r"at least the 7 .* holds 6"):
        own.batch(7)


def test_one_class_alone_is_refused(folder: Path) -> None:
    shutil.rmtree(folder / "dog")
    with pytest.raises(DataFormatError, match=r"holds 'cat' alone: .*cat with --classes"):
        OwnImages(folder).batch(2)
    assert OwnImages(folder / "cat").batch(2).labels is None


def test_a_class_without_pictures_is_refused(folder: Path) -> None:
    (folder / "bird").mkdir()
    with pytest.raises(DataFormatError, match="'bird' has no picture"):
        OwnImages(folder).batch(2)


def test_a_folder_without_classes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataFormatError, match="it has no folder"):
        OwnImages(tmp_path).batch(2)


def test_pictures_need_pillow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in "ab":
        (tmp_path / name).mkdir()
        (tmp_path / name / "0.png").write_bytes(b"")
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'hwnas\[pictures\]'"):
        OwnImages(tmp_path).batch(1)


def test_real_pictures(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    colours = np.random.default_rng(0).integers(0, 256, (4, 6, 3)).astype(np.uint8)
    for name, content in (("a", colours), ("b", colours[..., 0])):
        (tmp_path / name).mkdir()
        image.fromarray(content).save(tmp_path / name / "0.png")
    batch = OwnImages(tmp_path).batch(2)
    assert batch.inputs.shape == (2, 3, 4, 6)
    both = np.stack([colours[..., 1], colours[..., 0]]).astype(np.float64)
    np.testing.assert_allclose(batch.inputs[:, 1], (both - both.mean()) / both.std(), atol=1e-5)
    brought = OwnImages.parse(f"{tmp_path}@4x3")
    assert brought is not None
    assert brought.task.input == TensorSpec((3, 4, 3))
    again = OwnImages.parse(pinned := brought.pinned(2))
    assert again is not None
    assert pinned.startswith(f"{tmp_path}@4x3#")
    assert again.batch(2).inputs.equal(brought.batch(2).inputs)
    (tmp_path / "b" / "0.png").write_bytes(b"no picture")
    with pytest.raises(DataFormatError, match=r"0.png` must be a picture"):
        OwnImages(tmp_path).batch(2)


def test_a_label_that_is_left_out_is_named(tmp_path: Path) -> None:
    labels = np.arange(12 * 48).reshape(12, 6, 8).astype(np.uint8) % 5
    labels[:, 0], labels[0] = 255, 255
    own = arrays(tmp_path / "m.npz", images=pixels(), labels=labels, ignore_index=255)
    assert own.task.output == Map(5)
    batch = own.batch(3)
    assert batch.labels is not None
    kept = np.where(labels == 255, -100, labels.astype(int))[1:4]
    np.testing.assert_array_equal(batch.labels.numpy(), kept)
    with pytest.raises(InvalidValueError, match="holds 12, some of them without any label"):
        own.batch(12)
    unnamed = arrays(tmp_path / "u.npz", images=pixels(), labels=labels)
    with pytest.raises(DataFormatError, match="name `ignore_index` 255 if those positions have"):
        _ = unnamed.task


def test_missing_targets_are_named_by_nan(tmp_path: Path) -> None:
    targets = np.arange(24.0).reshape(12, 2)
    targets[0], targets[1, 0] = np.nan, np.nan
    own = arrays(tmp_path / "n.npz", images=pixels(), labels=targets, ignore_index=np.nan)
    assert own.task.output == Regression(2)
    labels = own.batch(2).labels
    assert labels is not None
    np.testing.assert_array_equal(labels.numpy(), targets[1:3])
    unnamed = arrays(tmp_path / "u.npz", images=pixels(), labels=targets)
    with pytest.raises(DataFormatError, match="name `ignore_index` nan if these are to be left"):
        _ = unnamed.task
