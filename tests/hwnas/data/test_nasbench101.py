"""NAS-Bench-101's accuracies, read from small files that are written by the published format."""

from __future__ import annotations

import base64
import json
import struct
from pathlib import Path
from typing import Any

import pytest

from hwnas.data.nasbench101 import FILE, ModuleAccuracies
from hwnas.errors import DataFormatError, DataNotFoundError, UnknownNameError
from hwnas.files.protobuf import fields
from hwnas.spaces.facets import Truth, facet
from hwnas.spaces.nasbench101 import NasBench101, module_of
from tests.hwnas.files.test_tf_records import framed

CHAIN = ("010001000", "input,conv3x3-bn-relu,output")
PLAIN = ("0100", "input,output")


def evaluation(validation: float, test: float) -> bytes:
    """Write an EvaluationData: doubles of fields 1 to 5, and a path as field 6."""
    values = (108.0, 1234.5, 1.0, validation, test)
    numbers = (bytes([n << 3 | 1]) + struct.pack("<d", v) for n, v in enumerate(values, start=1))
    return b"".join(numbers) + bytes([6 << 3 | 2, 2]) + b"/x"


def metrics(validation: float, test: float) -> bytes:
    """Write a ModelMetrics: three evaluations, parameters 150 and a total time."""
    before = [evaluation(0.1, 0.1), evaluation(0.5, 0.5)]
    parts = [bytes([1 << 3 | 2, len(e)]) + e for e in (*before, evaluation(validation, test))]
    return b"".join(parts) + bytes([2 << 3, 0x96, 0x01]) + bytes([3 << 3 | 1]) + bytes(8)


def row(module: tuple[str, str], epochs: int, message: bytes) -> bytes:
    return json.dumps(["hash", epochs, *module, base64.b64encode(message).decode()]).encode()


def written(folder: Path, *rows: bytes) -> Path:
    path = folder / FILE
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(framed(rows))
    return folder


def test_means_of_trainings_of_108_epochs(tmp_path: Path) -> None:
    rows = [row(CHAIN, 108, metrics(v, v - 0.125)) for v in (0.875, 0.9375, 0.75)]
    written(tmp_path, *rows, row(CHAIN, 36, metrics(0.25, 0.25)), row(PLAIN, 108, metrics(0.5, 1)))
    space = NasBench101()
    truth: Any = facet(space, Truth)
    assert isinstance(truth, ModuleAccuracies)
    chain = str(module_of([[0, 1, 0], [0, 0, 1], [0, 0, 0]], ["conv3x3"]))
    plain = str(module_of([[0, 1], [0, 0]], []))
    found = truth.accuracies("cifar10", "validation", tmp_path)
    assert found == {chain: pytest.approx(100 * (0.875 + 0.9375 + 0.75) / 3), plain: 50}
    found = truth.accuracies("cifar10", "test", tmp_path)
    assert found == {chain: pytest.approx(100 * (0.75 + 0.8125 + 0.625) / 3), plain: 100}
    for text in found:
        assert str(space.parse(text)) == text


def test_what_there_is_not(tmp_path: Path) -> None:
    truth = ModuleAccuracies(NasBench101())
    with pytest.raises(DataNotFoundError, match="nasbench_only108"):
        truth.accuracies("cifar10", "test", tmp_path)
    with pytest.raises(UnknownNameError):
        truth.accuracies("cifar100", "test", tmp_path)
    with pytest.raises(UnknownNameError):
        truth.accuracies("cifar10", "train", tmp_path)


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (b"[]", "in record 2"),
        (b"\xff", "in record 2"),
        (b"[" * 5000, "in record 2"),
        (row(CHAIN, 108, b"\x0a"), "does not end in record 2"),
        (row(CHAIN, 108, b"\x0a\x05ab"), "cut off in record 2"),
        (row(CHAIN, 108, b"\x0b"), "kind 3 in record 2"),
        (row(CHAIN, 108, metrics(0.5, 1.5)), "accuracies"),
        (row(CHAIN, 108, metrics(float("nan"), 0.5)), "accuracies"),
        (row(CHAIN, 108, metrics(0.5, 0.5)[:40]), "in record 2"),
        (row(("0100", "input,conv9x9,output"), 108, metrics(0.5, 0.5)), "modules"),
        (row(("01x0", "input,output"), 108, metrics(0.5, 0.5)), "modules"),
        (json.dumps(["h", 108, "0100", "input,output", "?"]).encode(), "in record 2"),
        (json.dumps(["h", 108, None, "input,output", ""]).encode(), "texts in record 2"),
        (json.dumps(["h", 108, {}, "input,output", ""]).encode(), "in record 2"),
    ],
)
def test_what_is_damaged_is_one_line(bad: bytes, said: str, tmp_path: Path) -> None:
    written(tmp_path, row(PLAIN, 108, metrics(0.5, 0.5)), bad)
    with pytest.raises(DataFormatError, match=said) as raised:
        ModuleAccuracies(NasBench101()).accuracies("cifar10", "test", tmp_path)
    assert "\n" not in str(raised.value)


def test_fields_of_all_kinds() -> None:
    message = b"\x08\x96\x01" + b"\x11" + bytes(8) + b"\x1a\x02hi" + b"\x25abcd"
    assert list(fields(message)) == [(1, 150), (2, bytes(8)), (3, b"hi"), (4, b"abcd")]
