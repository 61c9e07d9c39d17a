from __future__ import annotations

import pytest

from hwnas.files.passwords import without_passwords, without_those_of


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("postgresql://me:secret@host/x", "postgresql://me:***@host/x"),
        ("pg+psycopg://me:se%40cret@host:5432/x", "pg+psycopg://me:***@host:5432/x"),
        ("mysql://:secret@host", "mysql://:***@host"),
        ("postgresql://me:a/secret:b@c@host/x", "postgresql://me:***@host/x"),
        ("postgresql:/me:secret@host", "postgresql:/me:***@host"),
        ("tcp://me:secret@scheduler:8786", "tcp://me:***@scheduler:8786"),
        ("postgresql:///x?user=me&password=secret", "postgresql:///x?user=me&password=***"),
        ("mysql://h/x?ssl_pass=secret&a=1", "mysql://h/x?ssl_pass=***&a=1"),
        ("'postgresql://me:secret@h/x' (no route)", "'postgresql://me:***@h/x' (no route)"),
    ],
)  # fmt: skip
def test_passwords_are_starred_out(address: str, shown: str) -> None:
    assert without_passwords(address) == shown
    assert "secret" not in without_passwords(f"`storage` {address}: {address}")


@pytest.mark.parametrize(
    "address",
    ["postgresql://me@host:5432/x", "journal:study.log", "sqlite:////a:b@c/study.db",
     "grpc://host:13000", "predictor:mine.npz", "|none~0|+|none~0|none~1|", "a:b@c"],
)  # fmt: skip
def test_other_texts_stay(address: str) -> None:
    assert without_passwords(address) == address


def test_parts_that_drivers_quote() -> None:
    address = "postgresql://me:se%40cret@host/x"
    for part in ("se%40cret", "se@cret"):
        found = without_those_of(address, f"invalid value '{part}' of me at host")
        assert found == "invalid value '***' of me at host"
