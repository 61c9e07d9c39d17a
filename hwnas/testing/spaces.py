"""Contracts of search spaces: their architectures, their graphs, their networks."""

from __future__ import annotations

import copy

import numpy as np
import pytest

from hwnas.errors import InvalidArchitectureError, InvalidValueError
from hwnas.spaces.facets import Graphs, require_facet
from hwnas.tasks.batch import draw_inputs
from hwnas.tasks.task import Logits, Task, TensorSpec, image_task
from hwnas.testing.parameters import ParametersContract
from hwnas.testing.samples import ADDRESS, draw
from hwnas.typing import Arch, SearchSpace


class ArchitecturesContract(ParametersContract):
    """What the architectures of every space keep, also of one without networks.

    Supply the fixture `space`.

    Attributes:
        samples: architectures that each property is tried on.
    """

    samples: int = 20

    @pytest.fixture
    def archs(self, space: SearchSpace[Arch]) -> list[Arch]:
        return draw(space, self.samples)

    def test_repr_states_the_settings(self, space: SearchSpace[Arch]) -> None:
        assert not ADDRESS.search(repr(space))
        assert repr(space) == repr(copy.deepcopy(space))

    def test_text_and_parse_are_inverse(self, space: SearchSpace[Arch], archs: list[Arch]) -> None:
        for arch in archs:
            assert space.parse(str(arch)) == arch

    def test_architectures_are_hashable_values(
        self, space: SearchSpace[Arch], archs: list[Arch]
    ) -> None:
        for arch in archs:
            assert hash(space.parse(str(arch))) == hash(arch)

    @pytest.mark.parametrize("text", ["", "not an architecture", "|", "{}"])
    def test_foreign_text_is_refused(self, space: SearchSpace[Arch], text: str) -> None:
        with pytest.raises(InvalidArchitectureError):
            space.parse(text)

    def test_sampling_depends_on_the_generator_only(self, space: SearchSpace[Arch]) -> None:
        first, again = draw(space, self.samples, seed=1), draw(space, self.samples, seed=1)
        assert first == again
        assert len(set(first)) > 1

    def test_representative_is_in_the_same_class(
        self, space: SearchSpace[Arch], archs: list[Arch]
    ) -> None:
        for arch in archs:
            chosen = space.representative(arch)
            assert space.canonical_key(chosen) == space.canonical_key(arch)
            assert space.representative(chosen) == chosen
            assert space.is_valid(chosen) == space.is_valid(arch)

    def test_neighbours_differ_in_one_parameter(
        self, space: SearchSpace[Arch], archs: list[Arch]
    ) -> None:
        for arch in archs[:5]:
            neighbours = space.neighbours(arch)
            assert len(neighbours) == len(set(neighbours)) > 0
            assert arch not in neighbours
            for other in neighbours:
                mine, theirs = space.encode(arch), space.encode(other)
                # One edit may switch parameters that depend on it on or off.
                shared = set(mine) & set(theirs)
                changed = sum(mine[name] != theirs[name] for name in shared)
                assert changed == 1 or (changed == 0 and set(mine) != set(theirs))

    def test_being_neighbours_is_mutual(self, space: SearchSpace[Arch], archs: list[Arch]) -> None:
        for arch in archs[:3]:
            assert all(arch in space.neighbours(other) for other in space.neighbours(arch))


class GraphsContract:
    """What the graphs of a space with the facet `Graphs` keep; supply `space` and `archs`."""

    def test_key_and_canonical_graph_agree(
        self, space: SearchSpace[Arch], archs: list[Arch]
    ) -> None:
        graphs = require_facet(space, Graphs)
        digest_of = {space.canonical_key(a): graphs.to_graph(a).digest() for a in archs}
        for arch in archs:
            assert graphs.to_graph(arch).digest() == digest_of[space.canonical_key(arch)]
        assert len(set(digest_of.values())) == len(digest_of)

    def test_graph_is_canonical(self, space: SearchSpace[Arch], archs: list[Arch]) -> None:
        graphs = require_facet(space, Graphs)
        for arch in archs:
            graph = graphs.to_graph(arch)
            form = graph.canonical()
            assert form.operations == graph.operations
            assert np.array_equal(form.adjacency, graph.adjacency)


class NetworksContract:
    """What the networks of a space keep; supply `space` and `archs`.

    Attributes:
        task: what the networks are built for: classes of images, or what the space is for.
        foreign_task: what the space has no networks for; None if it has them for every task.
    """

    task: Task = image_task(7, (3, 8, 8))
    foreign_task: Task | None = Task("text", TensorSpec((9,), "tokens", 20), Logits(2))

    def test_network_maps_images_to_logits(
        self, space: SearchSpace[Arch], archs: list[Arch]
    ) -> None:
        import torch

        for arch in archs[:3]:
            model = space.build(arch, self.task)
            logits = model(torch.zeros(2, *self.task.input.shape))
            assert logits.shape == (2, self.task.settings["num_classes"])
            assert torch.isfinite(logits).all()

    def test_the_default_task_is_served(self, space: SearchSpace[Arch], archs: list[Arch]) -> None:
        import torch

        chosen, default = (space.build(archs[0], task) for task in (space.default_task, None))
        generator = torch.Generator().manual_seed(0)
        for network in (chosen, default):  # whose lazy modules have shapes once it has run
            network(draw_inputs(space.default_task.input, 2, generator))
        assert {n: p.shape for n, p in chosen.named_parameters()} == {
            n: p.shape for n, p in default.named_parameters()
        }

    def test_a_foreign_task_is_refused_in_one_line(
        self, space: SearchSpace[Arch], archs: list[Arch]
    ) -> None:
        if self.foreign_task is None:
            pytest.skip("the space has networks for every task")
        with pytest.raises(InvalidValueError, match=r"^`task` .*$"):
            space.build(archs[0], self.foreign_task)


class SearchSpaceContract(ArchitecturesContract, GraphsContract, NetworksContract):
    """What a search space with networks and graphs keeps; supply the fixture `space`.

    A space without graphs runs `ArchitecturesContract` and `NetworksContract`; one without
    networks, such as that of a plain experiment, `ArchitecturesContract` alone.
    """
