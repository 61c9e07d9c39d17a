"""Contract of the facets of a search space: each that it has keeps what its users rely on."""

from __future__ import annotations

import warnings
from xml.etree import ElementTree

import numpy as np
import pytest

from hwnas.errors import HwnasError
from hwnas.graphs.arch_graph import INPUT, OUTPUT
from hwnas.spaces.facets import (
    Counted,
    Drawing,
    Equivalence,
    ExactGraphs,
    F,
    Features,
    GraphLabels,
    Graphs,
    Sequences,
    Surrogates,
    Truth,
    facet,
)
from hwnas.typing import Arch, SearchSpace, Surrogate


def _facet(space: SearchSpace[Arch], kind: type[F]) -> F:
    found = facet(space, kind)
    if found is None:
        pytest.skip(f"the space has no facet {kind.__name__}")
    return found


class FacetsContract:
    """What every facet that a space has keeps; supply the fixture `space`.

    Attributes:
        samples: architectures that each property is tried on.
        datasets: data sets that the space's accuracies, if it has some, are known for.
    """

    samples: int = 8
    datasets: tuple[str, ...] = ("cifar10",)

    @pytest.fixture
    def archs(self, space: SearchSpace[Arch]) -> list[Arch]:
        rng = np.random.default_rng(0)
        return [space.sample(rng) for _ in range(self.samples)]

    def test_equal_architectures_have_equal_graphs(
        self, space: SearchSpace[Arch], archs: list[Arch]
    ) -> None:
        graphs = _facet(space, Graphs)
        for arch in archs:
            same = graphs.to_graph(space.representative(arch))
            assert graphs.to_graph(arch).digest() == same.digest()

    def test_every_part_of_a_label_is_listed(
        self, space: SearchSpace[Arch], archs: list[Arch]
    ) -> None:
        known = {INPUT, OUTPUT, *_facet(space, GraphLabels).graph_labels}
        graphs, exact = facet(space, Graphs), facet(space, ExactGraphs)
        found = [] if graphs is None else [graphs.to_graph(arch) for arch in archs]
        found += [] if exact is None else [exact.exact_graph(arch) for arch in archs]
        assert {part for g in found for label in g.operations for part in label.split(":")} <= known

    def test_exact_graphs_have_as_many_nodes_each(
        self, space: SearchSpace[Arch], archs: list[Arch]
    ) -> None:
        exact = _facet(space, ExactGraphs)
        assert exact.zero_label in _facet(space, GraphLabels).graph_labels
        assert len({len(exact.exact_graph(arch)) for arch in archs}) == 1

    def test_features_are_a_row_each(self, space: SearchSpace[Arch], archs: list[Arch]) -> None:
        features = _facet(space, Features)
        table = features.features(archs)
        assert table.shape == (len(archs), table.shape[1])
        assert np.isfinite(table).all()
        again = np.concatenate([features.features([arch]) for arch in archs])
        np.testing.assert_allclose(again, table)

    def test_sequences_are_a_row_each(self, space: SearchSpace[Arch], archs: list[Arch]) -> None:
        batch = _facet(space, Sequences).sequences(archs)
        assert len(batch) == len(batch.features) == len(batch.context) == len(archs)
        assert not batch.features[~batch.mask].any()

    def test_drawings_are_svg(self, space: SearchSpace[Arch], archs: list[Arch]) -> None:
        drawing = _facet(space, Drawing)
        for arch in archs:
            assert ElementTree.fromstring(drawing.draw(arch)).tag.endswith("svg")

    def test_counts_are_those_of_the_network(
        self, space: SearchSpace[Arch], archs: list[Arch]
    ) -> None:
        closed, task = _facet(space, Counted), space.default_task
        import torch

        from hwnas.costs.counters import count

        for arch in map(space.representative, archs[:2]):
            with torch.device("meta"):
                network = space.build(arch, task)
            found = count(network, task.input)
            wanted = {"params": found.params, "macs": found.macs, "layers": found.layers}
            assert dict(closed.counts(arch, task)) == wanted

    def test_surrogates_are_networks_for_the_task(
        self, space: SearchSpace[Arch], archs: list[Arch]
    ) -> None:
        import torch

        small, task = _facet(space, Surrogates), space.default_task
        network = small.build_surrogate(archs[0], Surrogate(4, 1), task)
        with torch.no_grad():
            assert len(network.eval()(torch.zeros(2, *task.input.shape))) == 2

    def test_live_or_not(self, space: SearchSpace[Arch], archs: list[Arch]) -> None:
        known = _facet(space, Equivalence)
        for arch in archs:
            assert isinstance(known.is_live(arch), bool)

    def test_accuracies_are_of_architectures(self, space: SearchSpace[Arch]) -> None:
        truth = _facet(space, Truth)
        assert truth.splits
        for dataset in self.datasets:
            try:
                with warnings.catch_warnings():
                    # Some say where they are from.
                    warnings.simplefilter("ignore", UserWarning)
                    known = truth.accuracies(dataset, truth.splits[0])
            except FileNotFoundError:
                pytest.skip("the published data is not here")
            assert np.isfinite(list(known.values())).all()
            for text in list(known)[: self.samples]:
                assert str(space.parse(text)) == text
        with pytest.raises(HwnasError):
            truth.accuracies("no data set of this name", truth.splits[0])
