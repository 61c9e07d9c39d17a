"""Published measurements as cost models: columns of tables, and sums over layers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic

from hwnas.costs.source import CostRequest
from hwnas.errors import InvalidValueError
from hwnas.files.pinned import sha256
from hwnas.typing import Arch, DeviceKey, Direction, FloatArray, SearchSpace


@dataclass(frozen=True, eq=False)
class PublishedCost(Generic[Arch]):
    """A published metric on one device; equal contents and settings are equal cost models.

    Attributes:
        metric: what was measured.
        unit: unit of the values.
        device: device and publication.
        dataset: data set that the networks are for.
        provenance: source, file and SHA-256 of the file.
        look_up: gives `(n,)` values, NaN where there is none, of `(n,)` architectures, or of their
            canonical keys where there is a space.
        space: space whose equal architectures share a value; None to look up exactly, where
            networks of one class were measured apart from each other.
        covers: the architectures that have values, where these are a part of the space; None where
            all have.
    """

    metric: str
    unit: str
    device: DeviceKey
    dataset: str
    provenance: Mapping[str, str]
    look_up: Callable[[Sequence[Any]], FloatArray]
    space: SearchSpace[Arch] | None = None
    covers: Sequence[Arch] | None = None

    direction: Direction = "minimize"

    def predict(self, archs: Sequence[Arch]) -> FloatArray:
        """Look architectures up.

        Args:
            archs: `(n,)` architectures.

        Returns:
            `(n,)` values in `unit`; NaN where the publication has none.
        """
        if self.space is None:
            return self.look_up(archs)
        return self.look_up([self.space.canonical_key(arch) for arch in archs])

    def __repr__(self) -> str:
        """State every setting, and the file by its checksum."""
        return (
            f"PublishedCost(dataset={self.dataset!r}, device={str(self.device)!r}, "
            f"metric={self.metric!r}, sha256={self.provenance['sha256']!r})"
        )

    def __eq__(self, other: object) -> bool:
        """Compare settings and the file's content."""
        return (
            isinstance(other, PublishedCost)
            and repr(self) == repr(other)
            # A table of the user's own may have a metric in two units.
            and (self.unit, self.direction) == (other.unit, other.direction)
        )

    def __hash__(self) -> int:
        """Hash settings and the file's content."""
        return hash(repr(self))


def provenance_of(source: str, path: Path) -> dict[str, str]:
    """Give source, file and SHA-256 of the file that values come from."""
    return {"source": source, "file": str(path), "sha256": sha256(path)}


def require_networks(
    request: CostRequest, source: str, spaces: Mapping[str, tuple[SearchSpace[Any], str]]
) -> None:
    """Check that a request is for the networks that a publication measured.

    Args:
        request: what a cost is asked for.
        source: name of the source.
        spaces: by name, the space with the settings it was measured with, and the data set.

    Raises:
        InvalidValueError: the networks are others; says which ones there are.
    """
    name = request.space.name
    if name not in spaces:
        raise InvalidValueError(
            f"`space` must be {' or '.join(spaces)} for {source}, which holds no other networks, "
            f"but got {name}: choose another cost source."
        )
    space, dataset = spaces[name]
    if request.space != space or request.task.name != dataset:
        raise InvalidValueError(
            f"`space` and `dataset` must be {space!r} and {dataset} for {source}, whose networks "
            f"are these, but got {request.space!r} and {request.task.name}."
        )
