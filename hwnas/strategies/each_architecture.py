"""Searches for which every architecture counts, equal networks included."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, cast

from hwnas.spaces.facets import Facets, Listing, facet
from hwnas.strategies.features import describe
from hwnas.typing import Arch, EnumerableSpace, FloatArray, SearchSpace


def each_architecture(space: SearchSpace[Arch]) -> SearchSpace[Arch]:
    """Give the same space with each architecture a class of its own.

    For searches of published tables, whose values differ between equal networks by the noise of
    training and measurement: a strategy or a sampler then proposes each architecture once.
    Knowledge is still made with `space` itself, e.g. by `shipped_knowledge`. It is not for
    proxies, measurements and their caches, which would do the same work again for equal networks.

    Args:
        space: search space.
    """
    made = _Each(space) if facet(space, Listing) is None else _EachListed(space)
    return cast("SearchSpace[Arch]", made)


@dataclass(frozen=True)
class _Each(Generic[Arch]):
    """Architectures are told apart by their text."""

    space: SearchSpace[Arch]
    facets: ClassVar[Facets] = {}
    """None of its own: those of `space` are made for that one."""

    @property
    def wrapped(self) -> SearchSpace[Arch]:
        """The space that the other facets are of."""
        return self.space

    def __getattr__(self, name: str) -> Any:
        """Give everything else as the space does."""
        if name == "space":  # while an instance is unpickled
            raise AttributeError(name)
        return getattr(self.space, name)

    def canonical_key(self, arch: Arch) -> str:
        return str(arch)

    def representative(self, arch: Arch) -> Arch:
        return arch

    def features(self, archs: Sequence[Arch]) -> FloatArray:
        """Give the `(n, f)` features of the classes: a model knows that networks are equal."""
        return describe(self.space, archs)


@dataclass(frozen=True)
class _EachListed(_Each[Arch]):
    """The same where the architectures can be listed."""

    def __len__(self) -> int:
        return len(cast("EnumerableSpace[Arch]", self.space))

    def __iter__(self) -> Iterator[Arch]:
        return iter(cast("EnumerableSpace[Arch]", self.space))
