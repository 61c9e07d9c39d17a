"""What proxies ask for: the base classes of requests, and how a network is prepared for them.

Each family of proxies defines its own requests next to its formula. There are two kinds:

- a `PassSignal` is collected while one forward pass runs, or from the graph of that pass; all
  requests with an equal `Setting` share the pass;
- an `OwnSignal` prepares and runs what it needs itself, e.g. the response of a linearised network.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Generic, Literal

from hwnas.typing import Signal, T_co

if TYPE_CHECKING:
    from torch import Tensor, nn

if TYPE_CHECKING:
    from hwnas.proxies.engine.subject import Subject

Init = Literal["as_built", "kaiming"]
"""``as_built`` keeps the weights; ``kaiming`` draws them anew, see `kaiming_weights_`."""
Mode = Literal["train", "eval"]


@dataclass(frozen=True)
class Setting:
    """How the network and its input are prepared for a pass.

    Attributes:
        init: weights of the network.
        mode: whether batch norm uses the batch's statistics (train) or its buffers (eval).
        batch_size: images B, or None for as many as the user gave.
    """

    init: Init = "kaiming"
    mode: Mode = "train"
    batch_size: int | None = None


@dataclass(frozen=True)
class OwnSignal(Signal[T_co], ABC):
    """A request that runs passes of its own.

    Attributes:
        runs: whether the network is run at all; False where its structure is the answer.
        first: whether it is measured before others, since its passes answer them too.
    """

    runs: ClassVar[bool] = True
    first: ClassVar[bool] = False

    @abstractmethod
    def measure(self, subject: Subject) -> T_co:
        """Compute the answer.

        Raises:
            ProxyError: the network has no such quantity; the text says why.
        """


@dataclass(frozen=True)
class PassSignal(Signal[T_co], ABC):
    """A request that is served by a forward pass which others share.

    Attributes:
        setting: preparation of the network; requests of equal settings share one pass.
    """

    setting: Setting = Setting()

    @abstractmethod
    def collector(self, subject: Subject) -> Collector[T_co]:
        """Make the collector of one pass."""


class PassAgain(Exception):  # noqa: N818 - no error
    """Raised within a shared pass by a collector that will watch another one in another way."""


class Collector(ABC, Generic[T_co]):
    """One request's part in a shared pass: `watch` it, then `finish`.

    A collector must change neither the pass's values nor the global random state, and asks for
    gradients by those of the images.

    Attributes:
        seconds: time spent by the collector itself while the pass ran.
        uses_graph: whether `finish` may take a backward pass.
        keeps_graph: whether another one does so afterwards; set before `finish`.
        watched: whether function modes see what it does while the pass runs: they take their time,
            and only the one by which tensors are made on an accelerator is of use; set before
            `watch`.
    """

    seconds: float = 0.0
    uses_graph: ClassVar[bool] = True
    keeps_graph: bool = True
    watched: bool = False

    @abstractmethod
    def watch(self, network: nn.Module, images: Tensor) -> AbstractContextManager[object]:
        """Give the context in which `network(images)` is called.

        Args:
            network: a copy that may be hooked; its weights need no gradient.
            images: (B, C, H, W); gradients may be requested of it.
        """

    @abstractmethod
    def finish(self, logits: Tensor) -> T_co:
        """Compute the answer after the pass; the graph of `logits` (B, K) must be retained.

        Where `keeps_graph` is False it may go, which saves memory.
        """

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Count the enclosed time as the collector's own."""
        from torch import _C

        start = time.perf_counter()
        try:
            with nullcontext() if self.watched else _C.DisableTorchFunction():
                yield
        finally:
            self.seconds += time.perf_counter() - start
