"""Architectures as vectors, graphs and sequences."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest

from hwnas.costs.counters import count
from hwnas.errors import DataNotFoundError, InvalidValueError, UnknownNameError
from hwnas.graphs.arch_graph import ArchGraph
from hwnas.spaces.facets import Sequences, require_facet
from hwnas.spaces.fbnet import FBNet
from hwnas.spaces.mobilenetv3 import MobileNetV3
from hwnas.spaces.nasbench201 import EDGES, NasBench201, operation_graph, parse_cell
from hwnas.tasks.catalogue import get_task
from hwnas.testing import draw
from hwnas_predictors.encodings import (
    counter_columns,
    join_columns,
    one_hot,
    one_hot_names,
    score_columns,
)
from hwnas_predictors.graph_batches import graph_batch, labels_in, live_flags

SPACES: list[Any] = [NasBench201(), FBNet(), MobileNetV3()]
MIXED = parse_cell(
    "|nor_conv_3x3~0|+|none~0|avg_pool_3x3~1|+|nor_conv_1x1~0|skip_connect~1|nor_conv_3x3~2|"
)
MOBILE = MobileNetV3().parse(
    "r176|k3e3,k7e6|k5e4,k3e3,k5e6|k3e3,k3e3|k3e3,k3e3|k3e4,k3e6,k7e3,k5e3"
)
any_space = pytest.mark.parametrize("space", SPACES, ids=lambda space: space.name)


@any_space
def test_one_hot_flags_are_the_parameters(space: Any) -> None:
    archs = draw(space, 20)
    flags, names = one_hot(space, archs), one_hot_names(space)
    assert flags.shape == (20, len(names)) == (20, sum(map(len, space.parameters.values())))
    for arch, row in zip(archs, flags, strict=True):
        expected = {f"{name}={choice}" for name, choice in space.encode(arch).items()}
        assert {names[i] for i in np.flatnonzero(row)} == expected
    assert one_hot(space, []).shape == (0, len(names))


@any_space
def test_different_architectures_differ(space: Any) -> None:
    archs = list(dict.fromkeys(draw(space, 200)))
    assert len(np.unique(one_hot(space, archs), axis=0)) == len(archs)


@any_space
def test_graphs_can_be_read_back(space: Any) -> None:
    archs = draw(space, 20)
    batch = graph_batch(space, archs)
    names = ("input", "output", *space.graph_labels)
    assert batch.features.shape == (*batch.mask.shape, len(names))
    for i, arch in enumerate(archs):
        graph, size = space.to_graph(arch), int(batch.mask[i].sum())
        assert batch.mask[i, :size].all()
        np.testing.assert_array_equal(batch.adjacency[i, :size, :size], graph.adjacency)
        assert batch.adjacency[i].sum() == graph.adjacency.sum()
        assert not batch.features[i, size:].any()
        parts = [{names[f] for f in np.flatnonzero(row)} for row in batch.features[i, :size]]
        assert parts == [set(label.split(":")) for label in graph.operations]


def test_equal_graphs_are_equal_rows() -> None:
    space = FBNet()
    archs = draw(space, 30)
    both = graph_batch(space, archs + [space.representative(a) for a in archs])
    np.testing.assert_array_equal(both.adjacency[:30], both.adjacency[30:])
    np.testing.assert_array_equal(both.features[:30], both.features[30:])


def test_exact_cells_keep_dead_operations() -> None:
    batch = graph_batch(NasBench201(), [MIXED], to_graph=operation_graph)
    assert batch.mask.all()
    expected = np.zeros((8, 8))
    # Node 0 is the input, nodes 1 to 6 are the edges in their order, node 7 is the output.
    for i, (source, target) in enumerate(EDGES, start=1):
        if source == 0:
            expected[0, i] = 1
        if target == 3:
            expected[i, 7] = 1
        for j, (later, _) in enumerate(EDGES, start=1):
            if later == target:
                expected[i, j] = 1
    np.testing.assert_array_equal(batch.adjacency[0], expected)
    assert operation_graph(MIXED).operations[1:-1] == MIXED.operations


def test_number_of_nodes_can_be_fixed() -> None:
    space = NasBench201()
    small, large = graph_batch(space, [MIXED]), graph_batch(space, [MIXED], nodes=8)
    v = small.mask.shape[1]
    assert large.adjacency.shape == (1, 8, 8)
    np.testing.assert_array_equal(large.features[:, :v], small.features)
    with pytest.raises(InvalidValueError, match=f"`nodes` must be at least {v}, but got 2"):
        graph_batch(space, [MIXED], nodes=2)


def test_label_without_a_feature_is_refused() -> None:
    space = FBNet()
    archs = draw(space, 3)
    with pytest.raises(InvalidValueError, match=r"of 'k.*is missing"):
        graph_batch(space, archs, labels=["k3_e1"])
    found = labels_in(map(space.to_graph, archs))
    assert graph_batch(space, archs, labels=found).features.shape[2] == 2 + len(found)


def test_space_without_labels_needs_them() -> None:
    class Other:
        name = "other"

        def to_graph(self, arch: str) -> ArchGraph:
            return ArchGraph(("input", arch, "output"), np.eye(3, k=1, dtype=np.int64))

    space: Any = Other()
    with pytest.raises(
        InvalidValueError, match=r"must have the facet GraphLabels, but other has none"
    ):
        graph_batch(space, ["a"])
    assert graph_batch(space, ["a"], labels=["a"]).features[0].tolist() == [
        [1, 0, 0], [0, 0, 1], [0, 1, 0]
    ]  # fmt: skip


def test_fbnet_sequence_is_one_flag_a_layer() -> None:
    space = FBNet()
    archs = draw(space, 10)
    batch = require_facet(space, Sequences).sequences(archs)
    assert batch.features.shape == (10, 22, 9)
    assert batch.mask.all()
    np.testing.assert_array_equal(batch.flat(), one_hot(space, archs))


def test_mobilenetv3_sequence_pads_dead_layers() -> None:
    batch = require_facet(MobileNetV3(), Sequences).sequences([MOBILE])
    there = [1, 1, 0, 0, 1, 1, 1, 0, 1, 1, 0, 0, 1, 1, 0, 0, 1, 1, 1, 1]
    assert batch.mask[0].tolist() == [bool(t) for t in there]
    assert not batch.features[0, ~batch.mask[0]].any()
    # Flags of kernels 3, 5, 7 and of expansions 3, 4, 6.
    assert batch.features[0, 1].tolist() == [0, 0, 1, 0, 0, 1]
    assert batch.features[0, 4].tolist() == [0, 1, 0, 0, 1, 0]
    assert batch.features[0, 19].tolist() == [0, 1, 0, 1, 0, 0]
    assert batch.context.tolist() == [[0.5]]
    assert batch.flat().shape == (1, 20 * 6 + 1)


@pytest.mark.parametrize("space", [FBNet(), MobileNetV3()], ids=lambda space: space.name)
def test_no_architectures_no_rows(space: Any) -> None:
    batch = require_facet(space, Sequences).sequences([])
    assert len(batch) == 0
    assert batch.flat().shape[0] == 0
    assert len(graph_batch(space, [])) == 0


def test_cells_are_no_sequences() -> None:
    with pytest.raises(
        InvalidValueError,
        match=r"the facet Sequences, but nasbench201 has none: give its class `facets",
    ):
        require_facet(NasBench201(), Sequences)


def test_counter_columns_are_logarithms_of_counts() -> None:
    space, task = NasBench201(channels=4, cells=1), get_task("cifar10")
    archs = draw(space, 3)
    columns = counter_columns(space, archs, task, ("macs", "params"))
    for arch, row in zip(archs, columns, strict=True):
        counts = count(space.build(space.representative(arch)), task.input.shape)
        assert counts.macs is not None
        np.testing.assert_allclose(np.exp(row), [counts.macs, counts.params])
    assert counter_columns(space, [], task).shape == (0, 2)
    metrics: Any = ("latency",)
    with pytest.raises(UnknownNameError, match="metric"):
        counter_columns(space, archs, task, metrics)


def test_score_columns_are_looked_up_by_class() -> None:
    space = FBNet()
    archs = draw(space, 4)
    known = {space.canonical_key(arch): float(i) for i, arch in enumerate(archs)}
    same = [space.representative(arch) for arch in archs]
    twice = {"a": known, "b": {key: -value for key, value in known.items()}}
    expected = [[0, 0], [1, -1], [2, -2], [3, -3]]
    np.testing.assert_array_equal(score_columns(space, same, twice), expected)
    with pytest.raises(DataNotFoundError, match="`scores` must hold a of every architecture"):
        score_columns(space, draw(space, 1, seed=9), twice)


def test_parts_must_have_the_same_rows() -> None:
    joined = join_columns(np.zeros((2, 3)), np.ones((2, 1)))
    assert joined.tolist() == [[0, 0, 0, 1], [0, 0, 0, 1]]
    with pytest.raises(InvalidValueError, match=r"have \[2, 3\] rows"):
        join_columns(np.zeros((2, 3)), np.ones((3, 1)))


def test_live_nodes_depend_on_the_input_and_reach_the_output() -> None:
    space = NasBench201()
    cells = list(space)[::40]
    batch = graph_batch(space, cells, to_graph=operation_graph)
    zero = np.array([[op == "none" for op in operation_graph(c).operations] for c in cells])
    reached, needed = np.moveaxis(live_flags(batch, zero), 2, 0)
    live = (reached * needed)[:, 1:-1] > 0
    for cell, flags in zip(cells, live, strict=True):
        found = {edge for edge, flag in zip(EDGES, flags, strict=True) if flag}
        assert found == cell.live_edges()
    # A node that only the input reaches, and one that only reaches the output.
    cell = parse_cell("|none~0|+|nor_conv_1x1~0|nor_conv_3x3~1|+|none~0|none~1|skip_connect~2|")
    one = graph_batch(space, [cell], to_graph=operation_graph)
    flags = live_flags(one, np.array([[o == "none" for o in operation_graph(cell).operations]]))
    names = dict(zip(EDGES, flags[0, 1:-1].tolist(), strict=True))
    assert names[1, 2] == [0, 1]
    assert names[0, 2] == names[2, 3] == [1, 1]
    assert names[0, 1] == [0, 0]


def test_whole_nasbench201_is_encoded_in_seconds() -> None:
    space = NasBench201()
    cells = list(space)
    start = time.process_time()
    assert one_hot(space, cells).shape == (15_625, 30)
    vectors = time.process_time() - start
    assert graph_batch(space, cells).adjacency.shape == (15_625, 8, 8)
    graphs = time.process_time() - start - vectors
    # Measured: 0.1 s and 3 s.
    assert vectors < 0.8
    assert graphs < 12
