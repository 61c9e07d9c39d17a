"""What a network answers, as tensors: which output it is, labels for it, and its loss.

Classes stand in dimension 1 of (B, K), of (B, K, H, W) and of (B, K, T), tokens in the last one of
(B, T, V). Positions of the label `IGNORED` and targets that are NaN are left out. A map that is
coarser than its labels, as many networks of segmentation give it, is brought to their sides by
(bi)linear interpolation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hwnas.deferred import deferred
from hwnas.errors import InvalidValueError, ProxyError
from hwnas.tasks.task import (
    AllOutputs,
    Logits,
    Map,
    NextToken,
    Output,
    Regression,
    RegressionMap,
    TensorSpec,
)

if TYPE_CHECKING:
    import torch
    import torch.nn.functional as F
    from torch import Tensor
else:
    torch = deferred("torch")
    F = deferred("torch.nn.functional")

IGNORED = -100
"""Label of positions that have none, as PyTorch's cross-entropy takes it."""
_NUMBERS = (Regression, RegressionMap, AllOutputs)
"""Outputs that are real numbers instead of classes."""


def read_output(
    answer: object, inputs: int, spec: TensorSpec, wanted: Output | None = None
) -> tuple[Output, tuple[int, ...]]:
    """Tell what a network answers, from its answer to some inputs.

    Args:
        answer: what it returned.
        inputs: number B of the inputs.
        spec: what one of them is.
        wanted: what it should be, or None for anything: classes, unless the shape says more.

    Returns:
        The output with the network's own number of classes, and the shape of an input's labels.

    Raises:
        ProxyError: it is none of the outputs, or another one than is wanted.
    """
    if not isinstance(answer, torch.Tensor):
        raise ProxyError(
            f"`model` must return a tensor of {_EXPECTED[spec.kind]}, but got "
            f"{type(answer).__name__}: wrap it in a module that returns the tensor only."
        )
    if answer.is_complex():
        raise ProxyError(
            f"`model` must return real numbers, but got {answer.dtype}: wrap it in a module that "
            f"returns e.g. their absolute values."
        )
    found = _read(answer, spec, isinstance(wanted, _NUMBERS)) if len(answer) == inputs else None
    kind = Regression if isinstance(wanted, AllOutputs) else type(wanted)
    if found is None or (wanted is not None and not isinstance(found[0], kind)):
        what = _EXPECTED[spec.kind] if wanted is None else f"{wanted!r}"
        raise ProxyError(
            f"`model` must return {what}, but got {tuple(answer.shape)} for {inputs} inputs."
        )
    return found


def is_wanted(found: Output, wanted: Output) -> bool:
    """Tell whether what `read_output` found is what a task wants, its number included."""
    return found == wanted or (isinstance(wanted, AllOutputs) and isinstance(found, Regression))


_EXPECTED = {
    "image": "(B, K) logits or (B, K, H, W) maps",
    "signal": "(B, K) logits or (B, K, T) maps",
    "tokens": "(B, K) logits, or (B, T, V) of its input's vocabulary",
    "vector": "(B, K) logits",
}


def _read(answer: Tensor, spec: TensorSpec, numbers: bool) -> tuple[Output, tuple[int, ...]] | None:
    sizes = tuple(answer.shape[1:])
    if not all(sizes):
        return None
    if len(sizes) == 1:
        return (Regression(sizes[0]), sizes) if numbers else (Logits(sizes[0]), ())
    if spec.kind == "tokens":
        fits = sizes == (*spec.shape, spec.vocabulary)
        return (NextToken(sizes[1]), sizes[:1]) if fits else None
    if len(sizes) != len(spec.shape):
        return None
    return (RegressionMap(sizes[0]), sizes) if numbers else (Map(sizes[0]), sizes[1:])


def classes_of(output: Output) -> int:
    """Give the number of different labels."""
    assert not isinstance(output, _NUMBERS)
    return output.vocabulary if isinstance(output, NextToken) else output.classes


def draw_labels(
    output: Output, shape: tuple[int, ...], inputs: Tensor, generator: torch.Generator
) -> Tensor:
    """Make up labels: the next tokens, uniform classes, or standard-normal targets.

    Args:
        output: what the network answers.
        shape: of the labels of one input.
        inputs: (B, ...).
        generator: of the draws; the token after the last one is uniform.

    Returns:
        (B, *shape) int64, or float32 targets.
    """
    size = len(inputs)
    if isinstance(output, _NUMBERS):
        return torch.randn(size, *shape, generator=generator, device="cpu")
    if isinstance(output, NextToken):
        last = torch.randint(output.vocabulary, (size, 1), generator=generator, device="cpu")
        return torch.cat([inputs[:, 1:].long(), last.to(inputs.device)], dim=1)
    return torch.randint(output.classes, (size, *shape), generator=generator, device="cpu")


def check_labels(labels: Tensor, output: Output, shape: tuple[int, ...]) -> None:
    """Refuse a user's labels (B, ...) that are not those of an output.

    Raises:
        InvalidValueError: shape, type or a value is another, or all of an input are left out.
    """
    numbers = isinstance(output, _NUMBERS)
    if not _fits(output, tuple(labels.shape[1:]), shape) or labels.is_floating_point() != numbers:
        kind = "float numbers" if numbers else "class indices"
        maps = isinstance(output, Map | RegressionMap)
        finer = " or finer by a whole factor" if maps else ""
        advice = (
            ": pad the convolutions, or cut the labels as the network cuts images" if maps else ""
        )
        raise InvalidValueError(
            f"`batch.labels` must be {kind} of shape (B{''.join(f', {n}' for n in shape)}){finer} "
            f"for {output!r} as the network answers, but got {tuple(labels.shape)} of "
            f"{labels.dtype}{advice}."
        )
    known = _known(labels).flatten(1) if labels.ndim > 1 else None
    if known is not None and not bool(known.any(dim=1).all()):
        what = "a number" if numbers else "a class at a position"
        raise InvalidValueError(
            f"`batch.labels` must have {what} of each input, but {int((~known.any(dim=1)).sum())} "
            f"inputs have {'NaN' if numbers else IGNORED} everywhere."
        )
    if numbers:
        return
    classes, left_out = classes_of(output), ""
    if known is not None:
        left_out, labels = f", or {IGNORED} where there is none", labels.flatten(1)[known]
    lowest, highest = int(labels.min()), int(labels.max())
    if not 0 <= lowest <= highest < classes:
        raise InvalidValueError(
            f"`batch.labels` must be in 0..{classes - 1}, the classes of the network{left_out}, "
            f"but got {lowest}..{highest}."
        )


def _fits(output: Output, labels: tuple[int, ...], shape: tuple[int, ...]) -> bool:
    """Tell whether labels have a shape, or are finer by a whole factor along the sides of a map."""
    if not isinstance(output, Map | RegressionMap) or len(labels) != len(shape):
        return labels == shape
    sides = int(isinstance(output, RegressionMap))
    return labels[:sides] == shape[:sides] and _is_fraction(labels[sides:], shape[sides:])


def _is_fraction(fine: tuple[int, ...], coarse: tuple[int, ...]) -> bool:
    """Tell whether sides are others over one whole number, rounded up or down.

    What convolutions without padding leave, as 28 of 32, is no fraction: it has other places.

    Example:
        >>> [_is_fraction((513, 257), sides) for sides in ((65, 33), (64, 32), (511, 255))]
        [True, True, False]
        >>> _is_fraction((40, 200), (2, 7))  # a 32th of both
        True
    """
    factors, pairs = range(1, max(fine) + 1), list(zip(fine, coarse, strict=True))
    return any(all(c in (f // n, -(-f // n)) for f, c in pairs) for n in factors)


def _resized(answer: Tensor, sides: tuple[int, ...]) -> Tensor:
    """Bring a map (B, K, ...) to the sides of its labels."""
    if answer.shape[2:] == sides:
        return answer
    return F.interpolate(answer, sides, mode="bilinear" if len(sides) == 2 else "linear")


def loss(output: Output, answer: Tensor, labels: Tensor, *, total: bool = False) -> Tensor:
    """Give the cross-entropy, or the squared error of real targets.

    Args:
        output: what the answer is.
        answer: (B, ...) of a network.
        labels: (B, ...) of the inputs; each has one that is not left out. They may be finer than
            the answer.
        total: sum over the inputs instead of their mean; positions and targets of an input are
            averaged in either case.
    """
    if isinstance(output, Map | RegressionMap):
        answer = _resized(answer, labels.shape[1 if isinstance(output, Map) else 2 :])
    if isinstance(output, Regression):
        # All that a network returns may be more, or less, in training mode.
        n = min(answer.shape[1], labels.shape[1])
        answer, labels = answer[:, :n], labels[:, :n]
    if isinstance(output, _NUMBERS):
        known = _known(labels)
        each = F.mse_loss(answer, labels.nan_to_num().to(answer.dtype), reduction="none") * known
    else:
        if isinstance(output, NextToken):
            answer = answer.transpose(1, 2)
        if not total or labels.ndim == 1:
            reduction = "sum" if total else "mean"
            return F.cross_entropy(answer, labels, ignore_index=IGNORED, reduction=reduction)
        each = F.cross_entropy(answer, labels, ignore_index=IGNORED, reduction="none")
        known = _known(labels)
    if not total:
        return each.sum() / known.sum()
    return (each.flatten(1).sum(dim=1) / known.flatten(1).sum(dim=1)).sum()


def _known(labels: Tensor) -> Tensor:
    """Mark the labels that are not left out."""
    return ~labels.isnan() if labels.is_floating_point() else labels != IGNORED
