"""The networks of a search space for a task."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Generic

from hwnas.seeding import derive_seed, seeded
from hwnas.spaces.facets import Surrogates, require_facet
from hwnas.tasks.task import Task
from hwnas.typing import Arch, SearchSpace, Surrogate

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Networks(Generic[Arch]):
    """What a space's architectures look like as networks for a task.

    Attributes:
        space: search space.
        task: what the networks are built for.
    """

    space: SearchSpace[Arch]
    task: Task

    def seed(self, arch: Arch, seed: int) -> int:
        """Derive the seed of an architecture's class from the user's."""
        return derive_seed(seed, self.space.canonical_key(arch))

    def network(self, arch: Arch, seed: int, surrogate: Surrogate | None = None) -> nn.Module:
        """Build the network of the representative of an architecture's class.

        Args:
            arch: any member of the class.
            seed: seed of the weights, used as it is; torch's global state is left as it was.
            surrogate: the smaller network that is wanted instead; the space needs the facet
                `Surrogates`.

        Raises:
            InvalidValueError: the space builds no networks for this task.
        """
        arch = self.space.representative(arch)
        with seeded(seed):
            if surrogate is None:
                return self.space.build(arch, self.task)
            small = require_facet(self.space, Surrogates)
            return small.build_surrogate(arch, surrogate, self.surrogate_task(surrogate))

    def surrogate_task(self, surrogate: Surrogate | None) -> Task:
        """Give the task of a surrogate: some see images of another shape."""
        if surrogate is None or surrogate.in_shape is None:
            return self.task
        return replace(self.task, input=replace(self.task.input, shape=surrogate.in_shape))
