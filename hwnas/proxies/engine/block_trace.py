"""The blocks of a network in the sense of NASGraph, and which channel of them reaches which."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, Literal

import torch
from torch import Tensor, nn

from hwnas.errors import ProxyError
from hwnas.networks.meta import MetaShapes, meta_copy
from hwnas.networks.zeros import Zeros
from hwnas.proxies.engine.kernel_windows import kernel_edges
from hwnas.typing import InShape

Kind = Literal["convolution", "linear", "pool"]
Term = range | Tensor
"""Nodes that a tensor comes from: one a channel, or one an element in the tensor's shape."""
Edges = Callable[[Tensor, Tensor], Tensor]
"""Maps (s,) sources and a term of a block's input to (s, c): which source reaches which channel."""

_NOTHING = -1
_POOL_NAMES = """
    avg_pool1d avg_pool2d avg_pool3d max_pool2d_with_indices max_pool3d_with_indices mean
    _adaptive_avg_pool2d _adaptive_avg_pool3d adaptive_max_pool2d upsample_nearest2d
    upsample_bilinear2d
"""
# What the graph leaves out, beside pointwise operators.
_LEFT_OUT_NAMES = """
    native_batch_norm _native_batch_norm_legit _native_batch_norm_legit_no_training
    _batch_norm_no_update native_layer_norm native_group_norm native_dropout hardswish
"""
# Rearrangements of elements, beside views.
_MOVE_NAMES = "clone _unsafe_view cat constant_pad_nd native_channel_shuffle"
# Tensors that have only the shape of their argument.
_FRESH_NAMES = "zeros_like ones_like full_like new_zeros new_ones new_full"
_POOLS, _LEFT_OUT, _MOVES, _FRESH = (
    frozenset(names.split()) for names in (_POOL_NAMES, _LEFT_OUT_NAMES, _MOVE_NAMES, _FRESH_NAMES)
)


def trace_blocks(model: nn.Module, in_shape: InShape, generator: torch.Generator) -> list[Block]:
    """List the blocks of a network in the order in which they run.

    Args:
        model: a network as in `channel_graph`.
        in_shape: (C, H, W) of an image.
        generator: draws the N(0, 1) weights.

    Raises:
        ProxyError: the network has an operator that the graph is not defined for.
    """
    trace = _Trace(generator)
    twin, _ = meta_copy(model)
    for module in twin.modules():
        if isinstance(module, nn.Identity):
            module.register_forward_hook(trace.identity)
        elif isinstance(module, Zeros):
            module.register_forward_hook(trace.zeros)
    images = torch.empty((1, *in_shape), device="meta")
    trace.start(images)
    with torch.no_grad(), torch.device("meta"), MetaShapes(trace.observe):
        twin(images)
    return trace.blocks


@dataclass(frozen=True)
class Block:
    """A block: what it reads, each with the number of edges from there, and its own nodes.

    Attributes:
        kind: what it is.
        nodes: its own nodes, one an output channel; they are numbered through the network.
        terms: tensors whose sum it reads.
        reads: nodes of these, and `(s,)` edges from each of them to this block.
        incoming: `(c,)` edges that end in each of its own nodes.
    """

    kind: Kind
    nodes: range
    terms: int
    reads: list[tuple[Term, Tensor]]
    incoming: Tensor


class _Trace:
    """Follows where each tensor comes from through a pass over `meta` tensors.

    A tensor is a sum of terms, each of which comes from other nodes.
    """

    def __init__(self, generator: torch.Generator) -> None:
        self._generator = generator
        self._terms: dict[int, list[Term]] = {}
        self._alive: list[Tensor] = []
        self.blocks: list[Block] = []
        self._nodes = 0
        self._weights: dict[int, Tensor] = {}
        self._in_identity = False

    def start(self, images: Tensor) -> None:
        """Make the channels of the images the first nodes."""
        self._keep(images, [self._new_nodes(images.shape[1])])

    def identity(self, module: nn.Module, args: Any, output: Tensor) -> Tensor:
        """Make the result of an `nn.Identity` one of its own, which `observe` sees: a hook."""
        del module, args
        self._in_identity = True
        output = output.view(output.shape)
        self._in_identity = False
        return output

    def zeros(self, module: nn.Module, args: Any, output: Tensor) -> None:
        """Make zeros nodes that no edge leads to, which what reads them is joined to: a hook."""
        del module, args
        self._keep(output, [self._new_nodes(output.shape[1])])

    def observe(self, func: Any, args: Any, kwargs: Any, result: Any) -> None:
        """Give the result of an operator its terms."""
        known = [t for t in _tensors(args) if id(t) in self._terms]
        name = func.overloadpacket.__name__
        if not known or name in _FRESH:
            return
        if self._in_identity or name in _POOLS:
            _check_pool(name, args)
            run = partial(_run, lambda masks: func(masks, *args[1:], **kwargs))
            kernel = torch.eye(args[0].shape[1], dtype=torch.bool)
            self._add_block("pool", args[0], _first(result), kernel, run)
        elif name == "convolution" and len(known) == 1 and known[0] is args[0]:
            weight = self._weight(args[1])
            run = partial(_run, lambda masks: func(masks, weight, None, *args[3:]))
            self._add_block("convolution", args[0], result, _kernel(weight, args), run)
        elif name in ("addmm", "mm") and len(known) == 1 and known[0] is args[-2]:
            weight = self._weight(args[-1])
            features = partial(_feature_edges, weight)
            self._add_block("linear", args[-2], result, weight > 0, features)
        elif func.is_view or name in _MOVES:
            self._move(func, args, kwargs, result)
        elif _is_left_out(func):
            target = _first(result)
            if target is args[0] and any(source is not target for source in known):
                self._refuse_views(target)
            self._join(known, target)
        else:
            raise ProxyError(
                "`model` must be made of convolutions, linear layers, pools, activations, sums and "
                f"concatenations, but has the operator {name}: no channel can be followed there."
            )

    def _add_block(
        self, kind: Kind, source: Tensor, result: Tensor, kernel: Tensor | None, edges: Edges
    ) -> None:
        """Add a block of a (1, C, ...) tensor.

        Args:
            kind: what it is.
            source: what it reads.
            result: what it gives; must be (1, c, ...).
            kernel: (C, c) edges where each channel of the input has a source of its own; None if
                they must be found by `edges`.
            edges: finds them in general.
        """
        if len(result) != 1 or result.ndim < 2:
            raise ProxyError(
                f"Each layer of `model` must work on (B, C, ...) tensors, but one gives "
                f"{tuple(result.shape)} for one image: no channel can be followed there."
            )
        terms = self._terms[id(source)]
        nodes = self._new_nodes(result.shape[1])
        if kernel is not None and all(isinstance(term, range) for term in terms):
            out, into = kernel.sum(dim=1), kernel.sum(dim=0) * len(terms)
            reads: list[tuple[Term, Tensor]] = [(term, out) for term in terms]
        else:
            labels = [_labels(term, source.shape) for term in terms]
            sources = torch.unique(torch.cat([torch.unique(term) for term in labels]))
            sources = sources[sources != _NOTHING]
            reached = torch.zeros(len(sources), len(nodes), dtype=torch.bool)
            for term in labels:
                reached |= _channel_edges(kernel, edges, sources, term)
            reads, into = [(sources, reached.sum(dim=1))], reached.sum(dim=0)
        self.blocks.append(Block(kind, nodes, len(terms), reads, into))
        self._keep(result, [nodes])

    def _new_nodes(self, channels: int) -> range:
        self._nodes += channels
        return range(self._nodes - channels, self._nodes)

    def _weight(self, weight: Tensor) -> Tensor:
        """Draw a weight; what shares memory is one weight."""
        key = weight.untyped_storage()._cdata
        if key not in self._weights:
            self._weights[key] = torch.randn(weight.shape, generator=self._generator)
            self._alive.append(weight)
        return self._weights[key]

    def _join(self, tensors: Sequence[Tensor], result: Tensor) -> None:
        """Give a sum, product, ... the terms of all its arguments."""
        terms = [
            term
            if isinstance(term, range) and x.shape[:2] == result.shape[:2] and x.ndim == result.ndim
            else _labels(term, x.shape).expand(result.shape)
            for x in tensors
            for term in self._terms[id(x)]
        ]
        self._keep(result, terms)

    def _refuse_views(self, target: Tensor) -> None:
        """Refuse to add to memory that other tensors see: their terms would change as well."""
        memory = target.untyped_storage()
        seen = (t for t in self._alive if t.untyped_storage()._cdata == memory._cdata)
        part = memory.nbytes() != target.numel() * target.element_size()
        if part or any(t is not target for t in seen):
            raise ProxyError(
                "`model` must not write into views, but does: no channel can be followed there."
            )

    def _move(self, func: Any, args: Any, kwargs: Any, result: Any) -> None:
        """Rearrange the terms as the elements are rearranged."""
        results = result if isinstance(result, (tuple, list)) else [result]
        terms: list[list[Term]] = [[] for _ in results]
        for i in range(max(len(self._terms.get(id(t), ())) for t in _tensors(args))):
            moved_args = self._ith_terms(args, i)
            if func.overloadpacket is torch.ops.aten.constant_pad_nd:
                moved_args = [*moved_args[:2], _NOTHING]
            moved = func(*moved_args, **kwargs)
            for kept, part in zip(terms, [moved] if len(results) == 1 else moved, strict=True):
                kept.append(part)
        for tensor, kept in zip(results, terms, strict=True):
            self._keep(tensor, kept)

    def _ith_terms(self, value: Any, i: int) -> Any:
        if isinstance(value, Tensor):
            terms = self._terms.get(id(value), [])
            if i < len(terms):
                return _labels(terms[i], value.shape).contiguous()
            return torch.full(value.shape, _NOTHING)
        if isinstance(value, (tuple, list)):
            return [self._ith_terms(item, i) for item in value]
        return value

    def _keep(self, tensor: Tensor, terms: Sequence[Term]) -> None:
        # Kept alive, since the address of a freed one would be given to another.
        self._alive.append(tensor)
        different: list[Term] = []
        for term in terms:
            if not any(_is_same(term, other) for other in different):
                different.append(term)
        self._terms[id(tensor)] = different


def _tensors(value: Any) -> Iterator[Tensor]:
    for item in value:
        if isinstance(item, Tensor):
            yield item
        elif isinstance(item, (list, tuple)):
            yield from _tensors(item)


def _first(result: Any) -> Tensor:
    tensor: Tensor = result[0] if isinstance(result, (tuple, list)) else result
    return tensor


@cache
def _is_left_out(func: Any) -> bool:
    return torch.Tag.pointwise in func.tags or func.overloadpacket.__name__ in _LEFT_OUT


def _check_pool(name: str, args: Any) -> None:
    if name == "mean" and (len(args) < 2 or min(d % args[0].ndim for d in args[1] or [0]) < 2):
        raise ProxyError(
            "`model` must take means over positions only, but has one over channels: no channel "
            "can be followed there."
        )


def _is_same(term: Term, other: Term) -> bool:
    if isinstance(term, range) or isinstance(other, range):
        return isinstance(term, range) and isinstance(other, range) and term == other
    return torch.equal(term, other)


def _labels(term: Term, shape: Sequence[int]) -> Tensor:
    """Give the node of each element of a (1, C, ...) tensor."""
    if isinstance(term, Tensor):
        return term
    return torch.arange(term.start, term.stop).view(1, -1, *[1] * (len(shape) - 2)).expand(*shape)


def _channel_edges(kernel: Tensor | None, edges: Edges, sources: Tensor, term: Tensor) -> Tensor:
    """Take the edges from `kernel` where that is possible."""
    channels = term.flatten(2) if term.ndim > 2 else term[..., None]
    nodes = channels[0, :, 0]
    read = (sources[:, None] == nodes).float()
    own = read.sum(dim=1).max() <= 1 and bool((channels == nodes[:, None]).all())
    return read @ kernel.float() > 0 if kernel is not None and own else edges(sources, term)


def _run(block: Callable[[Tensor], Any], sources: Tensor, term: Tensor) -> Tensor:
    """Run a block on ones where the input comes from a source, and zeros elsewhere."""
    outputs = [_first(block((term == source).float())) > 0 for source in sources]
    return torch.cat([o.flatten(2).any(dim=2) if o.ndim > 2 else o for o in outputs])


def _kernel(weight: Tensor, args: Any) -> Tensor | None:
    images, _, _, stride, padding, dilation, transposed, _, groups = args
    if transposed or images.ndim != 4:
        return None
    return kernel_edges(weight, images.shape[2:], stride, padding, dilation, groups)


def _feature_edges(weight: Tensor, sources: Tensor, term: Tensor) -> Tensor:
    """Give a source all features that come from it, of (F, c) weights."""
    return ((sources[:, None] == term[0]).float() @ weight) > 0
