"""Equal networks of a space that knows nothing of them itself, found by tracing."""

from __future__ import annotations

from abc import abstractmethod
from functools import cached_property
from typing import TYPE_CHECKING, Any

from hwnas.errors import InvalidValueError
from hwnas.seeding import seeded
from hwnas.spaces.choices import Declared
from hwnas.spaces.elsewhere import HERE, Elsewhere
from hwnas.typing import Arch

if TYPE_CHECKING:
    from torch import nn

    from hwnas.networks.traced import NetworkKey
    from hwnas.tasks.task import Task


class TracedEquivalence(Declared[Arch]):
    """A declared space whose architectures are equal where their networks are.

    Two are equal if their networks for the default task compute the same for equal weights *and* do
    it by the same operators and parameters, see `hwnas.networks.traced`: one that computes the same
    by more work has other costs, and stays an architecture of its own. So a choice that changes
    nothing and one that only renames or reorders branches make no new class.

    An architecture stands for itself: which of a class is scored is the one that is met first. All
    have equal scores and costs, up to what depends on the order of modules: which of the random
    weights, of one seed for all, each layer gets, and peak memory and latency of branches that run
    in another order.

    Where a network cannot be traced, since it branches on what it computes, or cannot be built, the
    text of the architecture is its key: it equals no other. `network_key_of` says which it is.

    It stands before the class that says the rest: ``class Mine(TracedEquivalence[Assignment],
    AssignmentSpace)``.

    Attributes:
        elsewhere: where networks are built to be traced; a builder that ends or hangs its process
            makes a network that cannot be built.
    """

    elsewhere: Elsewhere = HERE

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what is remembered."""
        return {name: value for name, value in vars(self).items() if name != "_network_keys"}

    @property
    @abstractmethod
    def name(self) -> str:
        """How the space is called."""

    @property
    @abstractmethod
    def default_task(self) -> Task:
        """What networks are traced for."""

    @abstractmethod
    def build(self, arch: Arch, task: Task | None = None) -> nn.Module:
        """Build the network that is traced."""

    def network_key_of(self, arch: Arch) -> NetworkKey | None:
        """Give the key of an architecture's network; None if it cannot be built.

        It is built once, with seed 0. Later questions are answered from memory.
        """
        if arch not in self._network_keys:
            try:
                network = self, arch, self.default_task
                self._network_keys[arch] = self.elsewhere.call_for(network, self._traced, arch)
            except InvalidValueError:  # its process died or hung
                self._network_keys[arch] = None
        return self._network_keys[arch]

    def canonical_key(self, arch: Arch) -> str:
        """Give the key of the network, or the text of an architecture that has none."""
        return str(self.network_key_of(arch)) if self.is_traced(arch) else str(arch)

    def is_valid(self, arch: Arch) -> bool:
        """Tell whether the output depends on the input; True where that is not known."""
        key = self.network_key_of(arch)
        return key is None or key.live

    def is_live(self, arch: Arch) -> bool:
        """Tell whether the output depends on all parameters; True where that is not known."""
        key = self.network_key_of(arch)
        return key is None or (key.live and key.whole)

    def is_traced(self, arch: Arch) -> bool:
        """Tell whether the network was seen to run from its input to its answer, without values."""
        key = self.network_key_of(arch)
        return key is not None and key.how == "traced"

    def fault(self, arch: Arch) -> str | None:
        """Run the network on two inputs in evaluation mode, and say what it raises; else None.

        One that is traced need not be asked. What ends the process or never ends does so here.
        """
        import torch

        from hwnas.tasks.batch import draw_inputs

        task = self.default_task
        try:
            with seeded(0), torch.no_grad():
                network = self.build(arch).eval()
                network(draw_inputs(task.input, 2, torch.default_generator))
        except Exception as error:  # whatever the user's network raises
            reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
            return f"`{self.name}` must run on inputs of {task} for {arch}, but raised {reason}"
        return None

    @cached_property
    def _network_keys(self) -> dict[Arch, NetworkKey | None]:
        return {}

    def _traced(self, arch: Arch) -> NetworkKey | None:
        from hwnas.networks.traced import network_key

        try:
            with seeded(0):
                network = self.build(arch)
            return network_key(network, self.default_task.input)
        except Exception:  # whatever the builder raises: it says so when the network is needed
            return None
