"""LSTM, GRU and RNN, written step by step: time is fixed, and states begin as the model says.

LiteRT's own operators of a sequence go on where the run before ended, and take the images of a
batch one after another. What all steps do alike, the product of the inputs, is one operator.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from hwnas.runtimes.base import Array
from hwnas.runtimes.litert.translation import Node, Tensor, Translation, UnwrittenError

_ACTIVATIONS = {"LSTM": ("Sigmoid", "Tanh", "Tanh"), "GRU": ("Sigmoid", "Tanh"), "RNN": ("Tanh",)}
LARGEST_STEPS = 2000
LARGEST_COPIES = 1 << 24
"""Bytes of copied weights, for each example of a batch, up to which XNNPACK is faster."""
Step = Callable[["_Cell", Tensor, Sequence[Tensor]], list[Tensor]]


class _Cell:
    """One direction of a layer.

    Args:
        t: what is written.
        weight: of the states, `(g H, H)`.
        bias: beside it, `(g H,)`.
        copied: whether XNNPACK may multiply, which holds the weights once more for each step. It
            leaves a layer whose bias is computed to LiteRT's own kernel, which holds them once.
    """

    def __init__(self, t: Translation, weight: Array, bias: Array, copied: bool) -> None:
        self._t, self._hidden = t, weight.shape[1]
        self._weights = [t.written(np.ascontiguousarray(a)) for a in (weight, bias)]
        if not copied:
            constant = Tensor(self._weights[1], bias.shape, (0,))
            self._weights[1] = t.reshaped(constant, bias.shape, (0,)).number
        self._gates, self._last = len(weight) // weight.shape[1], t.written(np.array(1, np.int32))

    def product(self, state: Tensor) -> Tensor:
        """Multiply a state `(B, H)`; the result is `(B, g H)`."""
        shape = (state.shape[0], self._gates * self._hidden)
        inputs = [state.number, *self._weights]
        return self._t.emit("FULLY_CONNECTED", inputs, shape, (0, 1), None, "FullyConnectedOptions")

    def gates(self, joined: Tensor) -> list[Tensor]:
        """Take `(B, g H)` apart into g of `(B, H)`."""
        shape, inputs = (joined.shape[0], self._hidden), [self._last, joined.number]
        return self._t.parts(
            "SPLIT", inputs, self._gates, shape, "SplitOptions", numSplits=self._gates
        )

    def one(self, code: str, x: Tensor) -> Tensor:
        """Write an activation."""
        return self._t.emit(code, [x.number], x.shape, x.axes, None)

    def two(self, code: str, a: Tensor, b: Tensor) -> Tensor:
        """Write a sum, a difference or a product."""
        inputs = [a.number, b.number]
        return self._t.emit(code, inputs, a.shape, a.axes, None, f"{code.title()}Options")


def _lstm_step(cell: _Cell, given: Tensor, states: Sequence[Tensor]) -> list[Tensor]:
    hidden, kept = states
    i, o, f, g = cell.gates(cell.two("ADD", given, cell.product(hidden)))
    i, o, f, g = *(cell.one("LOGISTIC", x) for x in (i, o, f)), cell.one("TANH", g)
    kept = cell.two("ADD", cell.two("MUL", f, kept), cell.two("MUL", i, g))
    return [cell.two("MUL", o, cell.one("TANH", kept)), kept]


def _gru_step(cell: _Cell, given: Tensor, states: Sequence[Tensor]) -> list[Tensor]:
    (hidden,) = states
    pairs = zip(cell.gates(given), cell.gates(cell.product(hidden)), strict=True)
    (z, hz), (r, hr), (n, hn) = pairs
    z, r = (cell.one("LOGISTIC", cell.two("ADD", a, b)) for a, b in ((z, hz), (r, hr)))
    new = cell.one("TANH", cell.two("ADD", n, cell.two("MUL", r, hn)))
    return [cell.two("ADD", new, cell.two("MUL", z, cell.two("SUB", hidden, new)))]


def _rnn_step(cell: _Cell, given: Tensor, states: Sequence[Tensor]) -> list[Tensor]:
    return [cell.one("TANH", cell.two("ADD", given, cell.product(states[0])))]


def _recurrent(step: Step, states: int) -> Callable[[Translation, Node], list[Tensor]]:
    """Write a layer by what it does in a step, from inputs `(B, g H)` and its states `(B, H)`."""

    def write(t: Translation, node: Node) -> list[Tensor]:
        names = [*node.inputs, *[""] * (8 - len(node.inputs))]
        x = t.in_order(t.tensor(names[0]))
        weights, again = (t.constant(name).floats for name in names[1:3])
        count, wide, hidden = again.shape
        _check(node, names)
        if x.shape[0] * count > LARGEST_STEPS:
            raise UnwrittenError(
                f"{node.kind} of {x.shape[0] * count:,} steps, each of which is written (shorten "
                f"the sequence)"
            )
        nothing = np.zeros((count, 2 * wide), np.float32)
        biases = t.constant(names[3]).floats if names[3] else nothing
        copied = x.shape[0] * again[0].nbytes <= LARGEST_COPIES * x.shape[1]
        backward = [node.attributes.get("direction") == b"reverse", True][:count]
        begins = [_begin(t, name, (count, x.shape[1], hidden)) for name in names[5 : 5 + states]]
        ways, ends = [], []
        for d, reverse in enumerate(backward):
            given = _given(t, x, weights[d], biases[d, :wide])
            cell, state = _Cell(t, again[d], biases[d, wide:], copied), [b[d] for b in begins]
            found = []
            for part in given[::-1] if reverse else given:
                state = step(cell, part, state)
                found.append(state[0])
            ways.append(found[::-1] if reverse else found)
            ends.append(state)
        # What nothing reads would be computed all the same: any tensor stands for it.
        last = [_packed(t, e) if t.is_read(n) else e[0]
                for n, e in zip(node.more, zip(*ends, strict=True), strict=False)]  # fmt: skip
        return [_joined(t, ways) if t.is_read(node.output) else ends[0][0], *last]

    return write


def _check(node: Node, names: Sequence[str]) -> None:
    """Refuse what PyTorch's layers are not."""
    a = node.attributes
    acts = tuple(name.decode() for name in a.get("activations", ()))
    usual = acts == _ACTIVATIONS[node.kind] * (len(acts) // len(_ACTIVATIONS[node.kind]))
    late = node.kind != "GRU" or a.get("linear_before_reset", 0)
    if names[4] or names[7] or a.get("layout") or a.get("clip") or a.get("input_forget"):
        raise UnwrittenError(
            f"{node.kind} with lengths, peepholes, a clip, a joined gate or layout 1"
        )
    if not usual or not late:
        raise UnwrittenError(f"{node.kind} with other activations, or reset before the product")


def _given(t: Translation, x: Tensor, weight: Array, bias: Array) -> list[Tensor]:
    """Multiply the inputs `(T, B, F)` of all steps at once; give T of `(B, g H)`."""
    shape = (*x.shape[:2], len(bias))
    inputs = [x.number, *(t.written(np.ascontiguousarray(a)) for a in (weight, bias))]
    found = t.emit("FULLY_CONNECTED", inputs, shape, x.axes, None, "FullyConnectedOptions",
                   keepNumDims=True)  # fmt: skip
    return t.parts(
        "UNPACK", [found.number], shape[0], shape[1:], "UnpackOptions", num=shape[0], axis=0
    )


def _begin(t: Translation, name: str, shape: tuple[int, int, int]) -> list[Tensor]:
    """Give the first state `(B, H)` of each direction; zeros where none is given."""
    if not name or t.is_constant(name):
        values = t.constant(name).floats if name else np.zeros(shape, np.float32)
        if values.shape != shape:  # as PyTorch's exporter writes it
            raise UnwrittenError("a recurrent layer whose states are of two widths (proj_size)")
        return [Tensor(t.written(np.ascontiguousarray(v)), shape[1:], (0, 1)) for v in values]
    state = t.in_order(t.tensor(name))
    if shape[0] == 1:
        return [t.reshaped(state, shape[1:], (0, 1))]
    return t.parts(
        "UNPACK", [state.number], shape[0], shape[1:], "UnpackOptions", num=shape[0], axis=0
    )


def _packed(t: Translation, tensors: Sequence[Tensor]) -> Tensor:
    """Stack n of `(B, H)` as `(n, B, H)`."""
    shape = (len(tensors), *tensors[0].shape)
    inputs = [x.number for x in tensors]
    return t.emit("PACK", inputs, shape, (0, 1, 2), None, "PackOptions", valuesCount=len(inputs))


def _joined(t: Translation, ways: Sequence[Sequence[Tensor]]) -> Tensor:
    """Join the directions' T of `(B, H)` as `(T, d, B, H)`, stored so that d stands beside H."""
    packed = [_packed(t, way) for way in ways]
    both, (time, batch, hidden) = packed[0], packed[0].shape
    if len(ways) > 1:
        inputs, shape = [way.number for way in packed], (time, batch, len(ways) * hidden)
        both = t.emit(
            "CONCATENATION", inputs, shape, (0, 1, 2), None, "ConcatenationOptions", axis=2
        )
    return t.reshaped(both, (time, len(ways), batch, hidden), (0, 2, 1, 3))


RECURRENT: Mapping[str, Callable[[Translation, Node], list[Tensor]]] = {
    "GRU": _recurrent(_gru_step, 1),
    "LSTM": _recurrent(_lstm_step, 2),
    "RNN": _recurrent(_rnn_step, 1),
}
