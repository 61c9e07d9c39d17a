"""Operators of ONNX that are put in the place of others before LiteRT's are written."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import chain, permutations

import numpy as np

from hwnas.runtimes.litert.translation import Node, Translation

_ROOTS = {"Mul": math.sqrt(0.5), "Div": math.sqrt(2.0)}
"""What exporters scale by before Erf."""


def of_gelus(t: Translation, nodes: Sequence[Node]) -> list[Node]:
    """Write x (erf(x / √2) + 1) ½ as a node `Gelu`, in whatever order it is multiplied.

    There is no Erf. Conversions may stand between its parts, which stay: others may read them.
    """
    made = {node.output: node for node in nodes}

    def source(name: str, *kinds: str) -> Node | None:
        node = made.get(t.origin(name))
        return node if node and node.kind in kinds and not node.activation else None

    def factors(product: Node) -> Iterator[tuple[str, str, str]]:
        """Give the three factors of a product of a product, for each of the two that is one."""
        for other, name in permutations(product.inputs, 2):
            if inner := source(name, "Mul"):
                yield (other, inner.inputs[0], inner.inputs[1])

    def is_cdf(name: str, x: str) -> bool:
        """Tell whether it is erf(x / √2) + 1."""
        plus = source(name, "Add")
        for one, inner in permutations(plus.inputs if plus else (), 2):
            erf = source(inner, "Erf")
            scaled = erf and source(erf.inputs[0], *_ROOTS)
            if scaled is None or not _is(t, one, 1.0):
                continue
            pairs = permutations(scaled.inputs, 2) if scaled.kind == "Mul" else [scaled.inputs]
            if any(t.origin(a) == x and _is(t, b, _ROOTS[scaled.kind]) for a, b in pairs):
                return True
        return False

    def gelu(last: Node) -> Node:
        if last.kind == "Mul" and not last.activation:
            for x, half, cdf in chain.from_iterable(map(permutations, factors(last))):
                if _is(t, half, 0.5) and is_cdf(cdf, t.origin(x)):
                    return Node("Gelu", (x,), last.output, {})
        return last

    return [gelu(node) for node in nodes]


def _is(t: Translation, name: str, number: float) -> bool:
    """Tell whether a name is that of a constant of one number, as near as int8 stores it."""
    values = t.constant(name).floats if t.is_constant(name) else np.empty(0)
    return values.size == 1 and abs(values.item() - number) < 1e-2 * number
