"""Small constants that are added, kept from PyTorch's exporter, which drops them.

`findings/torch_onnx_exporter_drops_small_terms.sh` shows it: its optimiser takes a scalar within
1e-8 of 0 for 0, and with it the term that keeps a norm from dividing by 0.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
from onnxscript import optimizer

_DROPPED = 1e-7
"""Above what is taken for 0, which is 1e-8."""


def keep_small_terms(model: ir.Model) -> None:
    """Write scalars close to 0 that are added or subtracted as one number of one dimension.

    The optimiser looks at numbers without a dimension alone. Where the other number has none
    either the term stays as it is, as the sum would get a dimension.

    Args:
        model: before it is optimised; changed in place.
    """
    optimizer.inline(model)
    optimizer.fold_constants(model)  # what is a constant is known afterwards, and all shapes
    for node in model.graph.all_nodes():
        if node.op_type not in ("Add", "Sub") or node.domain:
            continue
        for place, value in enumerate(node.inputs):
            if value is None or (constant := ir.convenience.get_const_tensor(value)) is None:
                continue
            number = constant.numpy()
            other = node.inputs[1 - place]
            has_dimensions = other is not None and other.shape is not None and len(other.shape) > 0
            if number.ndim or not has_dimensions or not 0 < abs(number.item()) < _DROPPED:
                continue
            assert node.graph is not None
            wide = ir.Value(
                name=f"{node.outputs[0].name}_term_{place}",
                const_value=ir.tensor(np.reshape(number, 1)),
            )
            node.graph.register_initializer(wide)
            node.replace_input_with(place, wide)
