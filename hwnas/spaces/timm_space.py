"""Models of timm as a search space: one of those that a pattern names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, ClassVar

from hwnas.errors import InvalidArchitectureError, InvalidValueError
from hwnas.spaces.choices import Choose, Declared, Options
from hwnas.spaces.facets import Facets, Truth
from hwnas.spaces.timm_models import timm_model, timm_names
from hwnas.tasks.catalogue import get_task
from hwnas.tasks.task import Task, image_classes
from hwnas.typing import Choice

if TYPE_CHECKING:
    from torch import nn

PARAMETER = "model"


@dataclass(frozen=True)
class TimmModels(Declared[str]):
    """Models of timm, untrained; an architecture is a model's name, e.g. resnet18.

    Models of other names are taken for different networks. Some serve images of one size or colour
    images alone: they have no network for others.

    Attributes:
        models: patterns of names as `timm.list_models` takes them, joined by ``+``.
    """

    models: str = "*"
    name: str = field(default="timm", init=False, repr=False)
    facets: ClassVar[Facets] = {Truth: "hwnas.data.timm_results:TrainedModels"}

    def __post_init__(self) -> None:
        if not isinstance(self.models, str) or not all(self.models.split("+")):
            raise InvalidValueError(
                f"`models` must be patterns of names joined by +, e.g. resnet*+mobilenetv2*, but "
                f"got {self.models!r}."
            )

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the models, each once.

        Raises:
            InvalidValueError: a pattern fits no model.
            MissingDependencyError: timm is not installed.
        """
        return _names(self.models)

    @property
    def options(self) -> Mapping[str, Options[str]]:
        """``model``."""
        return {PARAMETER: Options(self.names)}

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[str]:
        """Iterate in the order of the patterns, and of timm."""
        return iter(self.names)

    def parse(self, text: str) -> str:
        """Read a name; `InvalidArchitectureError` if it is none of the models."""
        if text not in self.names:
            raise InvalidArchitectureError(
                f"An architecture must be one of the {len(self):,} models {self.models} of timm, "
                f"as {self.names[0]!r}, but got {text!r}."
            )
        return text

    def make(self, choose: Choose) -> str:
        """Ask for the model."""
        return choose(PARAMETER, self.options[PARAMETER])

    def values(self, arch: str) -> Mapping[str, Choice]:
        """Give the model."""
        return {PARAMETER: arch}

    @property
    def default_task(self) -> Task:
        """ImageNet."""
        return get_task("ImageNet")

    def build(self, arch: str, task: Task | None = None) -> nn.Module:
        """Build the model.

        Args:
            arch: its name.
            task: classes of images.

        Returns:
            A network that maps `(B, C, H, W)` images to `(B, K)` logits.

        Raises:
            InvalidValueError: the model has no network for such images.
            MissingDependencyError: timm is not installed.
        """
        return timm_model(arch, *image_classes(task or self.default_task, self.name))


@lru_cache(maxsize=16)
def _names(models: str) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for pattern in models.split("+"):
        names = timm_names(pattern)
        if not names:
            raise InvalidValueError(
                f"`models` must be patterns of timm.list_models(), but {pattern!r} fits none."
            )
        found |= dict.fromkeys(names)
    return tuple(found)
