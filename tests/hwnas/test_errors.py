"""Exceptions: one root, the built-in kinds that callers expect, and helpful texts."""

from __future__ import annotations

import pytest

from hwnas import errors
from hwnas.errors import HwnasError, UnknownNameError, unknown_name


@pytest.mark.parametrize(
    ("kind", "built_in"),
    [
        (errors.InvalidArchitectureError, ValueError),
        (errors.UnknownNameError, LookupError),
        (errors.InvalidValueError, ValueError),
        (errors.DataNotFoundError, FileNotFoundError),
        (errors.DataFormatError, ValueError),
        (errors.ProxyError, RuntimeError),
        (errors.MissingDependencyError, ImportError),
    ],
)
def test_kinds(kind: type[Exception], built_in: type[Exception]) -> None:
    assert issubclass(kind, HwnasError)
    assert issubclass(kind, built_in)
    assert str(kind("`x` must be 1, but got 2.")) == "`x` must be 1, but got 2."


def test_unknown_name_lists_and_suggests() -> None:
    error = unknown_name("device", "edgegup", {"raspi4", "edgegpu"})
    assert isinstance(error, UnknownNameError)
    assert str(error) == (
        "`device` must be one of edgegpu, raspi4, but got 'edgegup'. Did you mean 'edgegpu'?"
    )


def test_nothing_is_suggested_for_something_else() -> None:
    assert str(unknown_name("device", "zzz", ["edgegpu"])).endswith("but got 'zzz'.")


def test_empty_tables_are_stated() -> None:
    assert "(none registered)" in str(unknown_name("strategy", "x", []))
