"""Files of records: a framing written here by the format's definition, and damage of every kind."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path

import pytest

from hwnas.errors import DataFormatError
from hwnas.files import tf_records
from hwnas.files.tf_records import checksums, read_tf_records


def slow_checksum(data: bytes) -> int:
    """CRC-32C bit by bit, rotated and shifted."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    crc ^= 0xFFFFFFFF
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def framed(records: Sequence[bytes]) -> bytes:
    parts = []
    for record in records:
        length = struct.pack("<Q", len(record))
        parts += [length, struct.pack("<I", slow_checksum(length)), record]
        parts.append(struct.pack("<I", slow_checksum(record)))
    return b"".join(parts)


RECORDS = [b"", b"a", bytes(range(256)) * 3, b"{}" * 50]


def test_checksums_are_those_of_the_definition() -> None:
    assert checksums(RECORDS).tolist() == list(map(slow_checksum, RECORDS))
    # RFC 3720, Appendix B.4: 32 bytes of zeros have the CRC 0x8a9136aa.
    crc = 0x8A9136AA
    masked = (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF
    assert checksums([bytes(32)]).tolist() == [masked]


@pytest.mark.parametrize("together", [1, 3, 4096])
def test_records_are_read(together: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tf_records, "_TOGETHER", together)
    path = tmp_path / "x.tfrecord"
    path.write_bytes(framed(RECORDS))
    assert list(read_tf_records(path)) == RECORDS
    path.write_bytes(b"")
    assert list(read_tf_records(path)) == []


@pytest.mark.parametrize("place", range(0, len(framed(RECORDS[:3])), 7))
def test_every_changed_byte_is_found(place: int, tmp_path: Path) -> None:
    content = bytearray(framed(RECORDS[:3]))
    content[place] ^= 0x20
    (path := tmp_path / "x.tfrecord").write_bytes(bytes(content))
    with pytest.raises(DataFormatError, match="must be a whole file of records"):
        list(read_tf_records(path))


def test_a_file_that_is_cut_off_or_absent(tmp_path: Path) -> None:
    path = tmp_path / "x.tfrecord"
    content = framed(RECORDS)
    for end in (3, 12, 20, len(content) - 1):
        path.write_bytes(content[:end])
        with pytest.raises(DataFormatError, match="cut off"):
            list(read_tf_records(path))
    with pytest.raises(DataFormatError, match="No such file"):
        list(read_tf_records(tmp_path / "absent"))
