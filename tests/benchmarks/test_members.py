"""What the benchmark of members takes for a fault."""

from __future__ import annotations

import pytest
from torch import nn

from benchmarks.spaces.members import tell
from hwnas.errors import InvalidValueError
from hwnas.onnx_export.export import export_onnx

FINE = {"arch": "a", "seed": 0, "way": "direct", "error": 1e-7, "seconds": 0.1}


def test_one_refusal_alone_is_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hwnas.onnx_export.export.LARGEST_BYTES", 4)
    with pytest.raises(InvalidValueError) as too_large:
        export_onnx(nn.Linear(2, 2), (2,))
    large = {**FINE, "way": None, "error": None, "refused": str(too_large.value)}
    assert tell("resnet", 32, [FINE, large]) == 0
    broken = {"arch": "b", "seed": 1, "seconds": 0.1, "refused": "`model` must be known."}
    assert tell("resnet", 32, [FINE, large, broken, broken]) == 2
    assert tell("resnet", 32, [{**FINE, "error": 1e-3}, broken]) == 2
