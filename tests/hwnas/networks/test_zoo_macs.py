"""Multiply-accumulates of the network zoo, each derived by hand: outputs times the inputs of one.

Images are 3x8x8, 64 places; there are 3 classes. Normalisations, activations, pools, sums and what
is multiplied element by element count nothing.
"""

from __future__ import annotations

import pytest

from hwnas.costs.counters import count
from tests.hwnas.proxies.network_kinds import SHAPE
from tests.hwnas.proxies.network_zoo import ZOO

# 3x3 convolutions of 3 to 6 and of 6 to 6 channels, at all places; the linear layer of 6 features.
FIRST, SECOND, HEAD = 64 * 6 * 3 * 9, 64 * 6 * 6 * 9, 6 * 3
CNN = FIRST + SECOND + HEAD
# Stride 2 leaves 16 places, of 8 channels, which the linear layer has.
STAGES = FIRST + SECOND + 16 * 8 * 6 * 9 + 8 * 3
ATTENTION = (
    4 * 8 * (3 * 16)  # four patches of 4x4 to 8 channels
    + 4 * 8 * 24  # queries, keys and values of four tokens
    + 2 * 4 * 4 * 8  # scores, and the mean of the values
    + 4 * 8 * 8
    + 8 * 3
)
ENCODER = (
    8 * 24 * 8  # eight rows of 24 numbers
    + 8 * 8 * 24
    + 2 * 8 * 8 * 8
    + 8 * 8 * 8
    + 2 * 8 * 8 * 12  # to 12 units and back
    + 8 * 3
)
MACS = {
    "LSTM": 8 * 4 * 5 * (24 + 5) + 5 * 3,
    "GRU": 8 * 3 * 5 * (24 + 5) + 5 * 3,
    "LSTM with weight norm": 8 * 4 * 5 * (24 + 5) + 5 * 3,
    "MLP": 192 * 9 + 9 * 3,
    "depthwise separable": FIRST + 64 * 6 * 9 + 64 * 6 * 6 + HEAD,
    "grouped": FIRST + 64 * 6 * 2 * 9 + HEAD,
    # Of a transposed convolution each input gives 6 channels at four places.
    "transposed": 16 * 6 * 3 * 9 + 16 * 6 * 6 * 4 + HEAD,
    "dilated": CNN,
    "narrow strided 1x1 as a function": FIRST + 16 * 6 * 6 + HEAD,
    "1-D convolution": 64 * 6 * 3 * 3 + HEAD,
    "3-D convolution": 3 * 64 * 4 * 27 + 4 * 3,
    "attention": ATTENTION,
    "transformer encoder": ENCODER,
    "embedding": HEAD,
    "squeeze and excite": FIRST + 6 * 2 + 2 * 6 + HEAD,
    "channel shuffle": FIRST + 64 * 6 * 3 * 9 + HEAD,
    "shared module": FIRST + 3 * SECOND + HEAD,
    "recursion": FIRST + 3 * SECOND + HEAD,
    "residual": FIRST + 2 * SECOND + HEAD,
    "dense": 64 * 4 * 9 * (3 + 4 + 8 + 12) + 16 * 3,
    "tied weights": 2 * 64 * 3 * 3 * 9 + 3 * 3,
    # Without padding 6x6 places are left, then 4x4.
    "plain parameters": 36 * 6 * 3 * 9 + 16 * 6 * 6 * 9 + HEAD,
    "no parameters": 0,
    "sized lazy layers": FIRST + HEAD,
    **dict.fromkeys(
        [
            "stages", "checkpointed", "checkpointed, reentrant", "logits of a tuple",
            "logits of a dictionary", "wrapped twice", "DataParallel", "AveragedModel",
            "CheckpointWrapper", "CheckpointWrapper of blocks", "compiled DataParallel",
            "prepared images", "tuple", "dictionary", "dataclass", "object of one's own",
            "second head in training mode", "lists in a tuple",
        ],
        STAGES,
    ),
    **dict.fromkeys(
        [
            "batch norm", "no norm", "group norm", "group norm of one group",
            "group norm without weights", "instance norm", "instance norm without weights",
            "layer norm of maps", "local response norm", "RMS norm of maps",
            "layer norm of channels",
            "RMS norm of channels", "group norm as a function", "layer norm as a function",
            "instance norm as a function", "group norm of turned maps", "torch.compile",
            "compile in place", "compiled parts", "compiled forward", "compiled function",
            "compiled weight norm", "forward replaced by a closure",
            "forward with modules as defaults",
            "forward replaced by a partial", "checkpointed sequence, reentrant=False",
            "checkpointed sequence, reentrant=True", "frozen trunk", "weight standardisation",
            "buffers", "no ReLU", "ReLU in place", "dropout", "frozen parameters",
            "float16 weights",
            "bfloat16 weights", "float64 weights", "channels last",
            *(name for name in ZOO if " of layers (" in name),  # computed weights
        ],
        CNN,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MACS)
@pytest.mark.filterwarnings("ignore:Lazy modules")
def test_macs_are_those_derived_by_hand(name: str) -> None:
    found = count(ZOO[name].build(), SHAPE)
    assert (found.macs, found.uncounted) == (MACS[name], ())


def test_most_of_the_zoo_is_derived() -> None:
    assert len(MACS) >= 0.85 * sum(not kind.refused for kind in ZOO.values())
