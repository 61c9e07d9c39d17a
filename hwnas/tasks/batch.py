"""The inputs that proxies see."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hwnas.deferred import deferred
from hwnas.errors import InvalidValueError
from hwnas.tasks.outputs import draw_labels
from hwnas.tasks.task import Task, TensorSpec

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = deferred("torch")


@dataclass(frozen=True, eq=False)
class Batch:
    """Inputs, with labels where there are any.

    Attributes:
        inputs: (B, C, H, W) float images, (B, C, T) float signals, (B, F) float vectors or (B, T)
            integer tokens.
        labels: (B,) class indices, (B, ...) of every position, (B, n) float targets, or None:
            random ones are drawn where a proxy needs them.
        description: where they come from; part of cache keys, so it must tell batches apart.
    """

    inputs: Tensor
    labels: Tensor | None = None
    description: str = "user images"

    def __post_init__(self) -> None:
        ranks = (2, 3, 4) if self.inputs.is_floating_point() else (2,)
        if self.inputs.ndim not in ranks or self.inputs.dtype == torch.bool or not len(self):
            raise InvalidValueError(
                f"`inputs` must be a (B, C, H, W), (B, C, T) or (B, F) float tensor or (B, T) "
                f"integers with B >= 1, but got {tuple(self.inputs.shape)} of {self.inputs.dtype}."
            )
        if self.labels is not None and self.labels.shape[:1] != (len(self),):
            raise InvalidValueError(
                f"`labels` must have shape ({len(self)}, ...), those of each input, but got "
                f"{tuple(self.labels.shape)}."
            )

    def __len__(self) -> int:
        return len(self.inputs)

    def part(self, start: int, stop: int) -> Batch:
        """Give the inputs of `range(start, stop)`."""
        labels = None if self.labels is None else self.labels[start:stop]
        return Batch(self.inputs[start:stop], labels, f"{self.description}[{start}:{stop}]")

    def check(self, spec: TensorSpec) -> None:
        """Refuse inputs of another shape or kind, and tokens that the vocabulary lacks.

        Raises:
            InvalidValueError: they are.
        """
        tokens = spec.kind == "tokens"
        if self.inputs.shape[1:] != spec.shape or self.inputs.is_floating_point() == tokens:
            raise InvalidValueError(
                f"`batch.inputs` must have shape (B, {', '.join(map(str, spec.shape))}) for "
                f"{spec}, but got {tuple(self.inputs.shape)} of {self.inputs.dtype}."
            )
        if spec.vocabulary is not None:
            lowest, highest = int(self.inputs.min()), int(self.inputs.max())
            if not 0 <= lowest <= highest < spec.vocabulary:
                raise InvalidValueError(
                    f"`batch.inputs` must be in 0..{spec.vocabulary - 1}, the vocabulary, but got "
                    f"{lowest}..{highest}."
                )


def draw_inputs(spec: TensorSpec, size: int, generator: torch.Generator | None = None) -> Tensor:
    """Draw (B, ...) standard-normal numbers, or uniform tokens, on the CPU.

    Args:
        spec: what an input is.
        size: inputs B.
        generator: of the draws; None for torch's global one.
    """
    if spec.vocabulary is not None:
        shape = (size, *spec.shape)
        return torch.randint(spec.vocabulary, shape, generator=generator, device="cpu")
    return torch.randn(size, *spec.shape, generator=generator, device="cpu")


def draw_batch(
    task: Task, size: int, seed: int, label_shape: tuple[int, ...] | None = None
) -> Batch:
    """Draw inputs as `draw_inputs` does, with labels as `hwnas.tasks.outputs.draw_labels` does.

    Args:
        task: what inputs and labels are.
        size: inputs B.
        seed: seed of both draws.
        label_shape: of the labels of one input; that of the task if None, which has a label at
            every position of the input where there are positions.

    Returns:
        The batch; its description states size and seed.
    """
    if size < 1:
        raise InvalidValueError(f"`size` must be at least 1, but got {size}.")
    generator = torch.Generator().manual_seed(seed)
    inputs = draw_inputs(task.input, size, generator)
    shape = task.label_shape if label_shape is None else label_shape
    labels = draw_labels(task.output, shape, inputs, generator)
    kind = "gaussian" if task.input.vocabulary is None else "uniform tokens"
    return Batch(inputs, labels, f"{kind} B={size} seed={seed}")
