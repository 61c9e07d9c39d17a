"""The proxies of AZ-NAS (Lee and Ham, AZ-NAS: Assembling Zero-Cost Proxies, CVPR 2024).

Expressivity, progressivity and trainability share one training-mode pass on kaiming weights, of
which trainability takes one backward pass more; the fourth proxy, complexity, is
`hwnas.proxies.counts.Flops`. Their score is the recipe ``az-nas``: `hwnas.ranking`.

The blocks of a network are found by `hwnas.proxies.engine.blocks.feature_blocks`; in NAS-Bench-201
they are the stem, the 15 cells and the 2 reduction blocks, as in the authors' code.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

from hwnas.errors import ProxyError
from hwnas.proxies.derivatives.spectra import by_shape, eigenvalues, entropy, largest_singular_value
from hwnas.proxies.engine.block_signals import BlockCovariances, BlockTransfers
from hwnas.typing import Direction, Signal, Signals

_EPSILON = 1e-6


@dataclass(frozen=True)
class Expressivity:
    """How many directions the features of the blocks use. Larger is better.

    Sum over the blocks of the entropy, in nats, of the normalised eigenvalues of the covariance of
    their output channels. It needs one training-mode forward pass, no labels. NaN if a block gives
    a constant.

    The authors' code computes eigenvalues in float32 and adds 1e-8 within the logarithm; NaN is
    -inf there. Here it is float64, negative rounding errors count as 0 and 0 log 0 = 0.
    """

    name: ClassVar[str] = "expressivity"
    direction: ClassVar[Direction] = "maximize"
    version: ClassVar[int] = 1
    needs: ClassVar[frozenset[Signal[object]]] = frozenset({BlockCovariances()})

    def score(self, signals: Signals) -> float:
        """Sum the entropies."""
        return sum(_entropies(signals))


@dataclass(frozen=True)
class Progressivity:
    """Least increase of expressivity from one block to the next. Larger is better.

    ``min_i (H_i+1 - H_i)`` over the entropies H_i of consecutive blocks, as in `Expressivity`,
    with the same needs. NaN if a block gives a constant or there is only one.

    Unstable: with 32 images the ranks of two seeds agree with a Spearman coefficient of .86 (60
    networks of NAS-Bench-201).
    """

    name: ClassVar[str] = "progressivity"
    direction: ClassVar[Direction] = "maximize"
    version: ClassVar[int] = 1
    needs: ClassVar[frozenset[Signal[object]]] = frozenset({BlockCovariances()})

    def score(self, signals: Signals) -> float:
        """Take the minimum of the differences."""
        entropies = _entropies(signals)
        if len(entropies) < 2:
            raise ProxyError("`model` must have at least 2 blocks, but has 1.")
        return min(after - before for before, after in pairwise(entropies))


@dataclass(frozen=True)
class Trainability:
    """Whether blocks neither amplify nor extinguish gradients. Larger is better; at most 0.

    Mean over the blocks of ``2 - s - 1 / (s + 1e-6)``, where s is the largest singular value of
    the block's `BlockTransfer`, an estimate of its Jacobian's gain from random gradients: 0 at
    s = 1, -1e6 for a block that passes nothing. Blocks whose input is the image have none.

    It needs one training-mode forward pass and a backward pass through each block, no labels.

    The authors' code gives -inf to a network with a block that returns the gradient unchanged
    (a cell that is one skip); `published=True` gives NaN to it, which ranks worst as well.

    Attributes:
        published: rank networks with an identity block worst.
    """

    published: bool = False

    direction: ClassVar[Direction] = "maximize"
    version: ClassVar[int] = 2
    mended: ClassVar[tuple[str, ...]] = (  # blocks that enlarge
        "Running the network raised RuntimeError: mat1 and mat2 shapes cannot be multiplied",
    )
    needs: ClassVar[frozenset[Signal[object]]] = frozenset({BlockTransfers()})

    @property
    def name(self) -> str:
        """``trainability``, with ``.published`` for the variant."""
        return "trainability.published" if self.published else "trainability"

    def score(self, signals: Signals) -> float:
        """Average over the blocks."""
        transfers = signals[BlockTransfers()]
        if not transfers:
            raise ProxyError("`model` must have a block whose input is no image, but has none.")
        if self.published and any(transfer.identity for transfer in transfers):
            raise ProxyError("A block is the identity, which the published code ranks worst.")
        matrices = [transfer.matrix for transfer in transfers]
        gains = [float(gain) for gain in by_shape(largest_singular_value, matrices)]
        return sum(2 - s - 1 / (s + _EPSILON) for s in gains) / len(gains)


def _entropies(signals: Signals) -> list[float]:
    """Give the entropy of each block's features, in the order in which the blocks ran."""
    return [entropy(spectrum) for spectrum in by_shape(eigenvalues, signals[BlockCovariances()])]
