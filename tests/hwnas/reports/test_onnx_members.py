from __future__ import annotations

import csv
import hashlib
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from hwnas.errors import InvalidArchitectureError, InvalidValueError
from hwnas.onnx_export.export import export_onnx
from hwnas.pareto import ObjectiveInfo, ParetoSet
from hwnas.reports.onnx_members import export_onnx_members
from hwnas.spaces.nasbench201 import NasBench201, parse_cell
from hwnas.tasks.task import image_task

TASK = image_task(10, (3, 8, 8))
SPACE = NasBench201(channels=4, cells=1)
# The second has a dead convolution on edge 0>1; the third doubles its signal in every cell.
CELLS = tuple(
    map(
        parse_cell,
        (
            "|nor_conv_3x3~0|+|avg_pool_3x3~0|nor_conv_1x1~1|+|skip_connect~0|none~1|nor_conv_3x3~2|",
            "|nor_conv_3x3~0|+|none~0|none~1|+|nor_conv_1x1~0|none~1|none~2|",
            "|skip_connect~0|+|skip_connect~0|skip_connect~1|+|skip_connect~0|skip_connect~1|skip_connect~2|",
        ),
    )
)


def pareto_set(cells: tuple[object, ...] = CELLS) -> ParetoSet:
    keys = [f"key/{i}" for i in range(len(cells))]
    values = [[i, -i] for i in range(len(cells))]
    infos = [ObjectiveInfo("a"), ObjectiveInfo("b")]
    return ParetoSet.from_values(cells, keys, values, infos, space=SPACE)


def logits(file: Path, images: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {session.get_inputs()[0].name: images})[0])


def test_files_hold_working_networks_of_the_members(tmp_path: Path) -> None:
    rows = export_onnx_members(pareto_set(), SPACE, image_task(7, (3, 8, 8)), tmp_path, seed=5)
    assert [row.arch for row in rows] == [str(cell) for cell in CELLS]
    assert [row.file.name for row in rows] == [f"{i + 1:03d}-key-{i}.onnx" for i in range(3)]
    for row in rows:
        onnx.checker.check_model(str(row.file), full_check=True)
        assert row.sha256 == hashlib.sha256(row.file.read_bytes()).hexdigest()
        assert 0 <= row.max_abs_diff <= 1e-4
        result = logits(row.file, np.ones((1, 3, 8, 8), np.float32))
        assert result.shape == (1, 7)
        assert np.isfinite(result).all()


def test_a_file_holds_the_kernels_of_its_own_cell(tmp_path: Path) -> None:
    rows = export_onnx_members(pareto_set(CELLS[:1]), SPACE, image_task(3, (3, 8, 8)), tmp_path)
    weights = [
        onnx.numpy_helper.to_array(t)
        for t in onnx.load(rows[0].file).graph.initializer
        if len(t.dims) == 4
    ]
    # Stem; a cell of two 3×3 and one 1×1 at 4, 8 and 16 channels; two reductions with shortcut.
    expected = [(4, 3, 3, 3)]
    for c in (4, 8, 16):
        expected += [(c, c, 3, 3), (c, c, 3, 3), (c, c, 1, 1)]
    for c in (8, 16):
        expected += [(c, c // 2, 3, 3), (c, c, 3, 3), (c, c // 2, 1, 1)]
    assert sorted(w.shape for w in weights) == sorted(expected)


def test_a_wrong_graph_is_never_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    foreign = export_onnx(SPACE.build(CELLS[1], TASK).eval(), (3, 8, 8))
    monkeypatch.setattr("hwnas.reports.onnx_members.export_onnx", lambda *_, **__: foreign)
    with pytest.raises(InvalidValueError, match="must agree with the network"):
        export_onnx_members(pareto_set(CELLS[:1]), SPACE, TASK, tmp_path)
    assert not list(tmp_path.iterdir())


def test_one_that_fails_leaves_the_old_files_as_they_are(tmp_path: Path) -> None:
    export_onnx_members(pareto_set(CELLS[:1]), SPACE, TASK, tmp_path / "onnx")
    before = {p.name: p.read_bytes() for p in (tmp_path / "onnx").iterdir()}
    with pytest.raises(InvalidArchitectureError):
        export_onnx_members(pareto_set((CELLS[0], "x")), SPACE, TASK, tmp_path / "onnx", seed=1)
    assert {p.name: p.read_bytes() for p in (tmp_path / "onnx").iterdir()} == before
    assert [p.name for p in tmp_path.iterdir()] == ["onnx"]
    export_onnx_members(pareto_set(CELLS[:1]), SPACE, TASK, tmp_path / "onnx", seed=1)
    assert {p.name: p.read_bytes() for p in (tmp_path / "onnx").iterdir()} != before


def test_metadata_say_what_it_is_and_that_it_is_untrained(tmp_path: Path) -> None:
    row = export_onnx_members(pareto_set(), SPACE, TASK, tmp_path, seed=5)[1]
    metadata = {p.key: p.value for p in onnx.load(row.file).metadata_props}
    assert metadata["hwnas_architecture"] == str(CELLS[1])
    assert metadata["hwnas_space"] == repr(SPACE)
    assert metadata["hwnas_weights"].startswith("untrained, drawn from seed 5")


def test_files_depend_on_the_seed_and_on_nothing_else(tmp_path: Path) -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    one = export_onnx_members(pareto_set(), SPACE, TASK, tmp_path / "1", seed=5)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    two = export_onnx_members(pareto_set(CELLS[:2]), SPACE, TASK, tmp_path / "2", seed=5)
    assert [r.sha256 for r in two] == [r.sha256 for r in one[:2]]
    other = export_onnx_members(pareto_set(), SPACE, TASK, tmp_path / "3", seed=6)
    assert other[0].sha256 != one[0].sha256


def test_weights_depend_on_the_canonical_key(tmp_path: Path) -> None:
    rows = export_onnx_members(pareto_set((CELLS[0], CELLS[0])), SPACE, TASK, tmp_path)
    images = np.ones((1, 3, 8, 8), np.float32)
    assert not np.allclose(logits(rows[0].file, images), logits(rows[1].file, images))


def test_sums_of_skips_do_not_blow_up(tmp_path: Path) -> None:
    # Each of 15 cells multiplies its input by four: 4¹⁵ is about 10⁹.
    deep = NasBench201(channels=4, cells=5)
    row = export_onnx_members(pareto_set(CELLS[2:]), deep, TASK, tmp_path)[0]
    images = np.random.default_rng(0).normal(size=(1, 3, 8, 8)).astype(np.float32)
    assert 1e-3 < np.abs(logits(row.file, images)).max() < 100


def test_the_index_lists_the_files(tmp_path: Path) -> None:
    rows = export_onnx_members(pareto_set(), SPACE, TASK, tmp_path)
    with (tmp_path / "index.csv").open(encoding="utf-8") as file:
        listed = list(csv.DictReader(file))
    assert [(r["file"], r["sha256"], r["architecture"]) for r in listed] == [
        (r.file.name, r.sha256, r.arch) for r in rows
    ]
    assert {p.name for p in tmp_path.iterdir()} == {"index.csv", *(r.file.name for r in rows)}


def test_an_empty_set_gives_an_empty_index(tmp_path: Path) -> None:
    assert export_onnx_members(pareto_set(()), SPACE, TASK, tmp_path) == []
    assert len((tmp_path / "index.csv").read_text().splitlines()) == 1


def test_a_foreign_architecture_or_image_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidArchitectureError):
        export_onnx_members(pareto_set(("x",)), SPACE, TASK, tmp_path)
    with pytest.raises(InvalidValueError, match="`in_shape` must be"):
        export_onnx_members(pareto_set(), SPACE, image_task(10, (3, 9, 8)), tmp_path)
