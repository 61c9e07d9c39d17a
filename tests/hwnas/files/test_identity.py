from __future__ import annotations

import json
from dataclasses import dataclass, field, make_dataclass
from typing import Any

import pytest

from hwnas.errors import InvalidValueError
from hwnas.files.identity import LATER, describe, identity_text
from hwnas.spaces.nasbench201 import NasBench201


@dataclass(frozen=True)
class Today:
    width: int = 3
    _hidden: int = field(default=0, repr=False)


def Tomorrow(**settings: Any) -> Any:  # noqa: N802
    """Make the same component of a later version, which has one more setting."""
    added = ("bias", bool, field(default=False, metadata=LATER))
    return make_dataclass("Today", [("width", int, 3), added], frozen=True)(**settings)


def test_a_setting_that_is_added_later_keeps_what_was_known() -> None:
    assert identity_text(part=Tomorrow()) == identity_text(part=Today())
    assert identity_text(part=Tomorrow(bias=True)) != identity_text(part=Today())


def test_a_default_that_changes_changes_the_identity() -> None:
    wider = make_dataclass("Today", [("width", int, 4)], frozen=True)()
    assert identity_text(part=wider) != identity_text(part=Today())
    assert identity_text(part=Today(4)) == identity_text(part=wider)


def test_settings_tell_components_apart_and_order_does_not() -> None:
    assert identity_text(a=Today(), b=1) == identity_text(b=1, a=Today())
    values: list[Any] = [None, False, 0, "0", 0.0, [0], (0, 0), {"0": 0}, Today(), float("nan")]
    texts = [identity_text(part=value) for value in values]
    assert len(set(texts)) == len(values)
    assert all(json.loads(text)["schema"] == 1 for text in texts)


def test_components_may_speak_for_themselves() -> None:
    class Table:
        def identity(self) -> dict[str, Any]:
            return {"sha256": "ab", "space": NasBench201()}

    assert describe(Table()) == {
        "sha256": "ab",
        "space": {"type": "NasBench201", "channels": 16, "cells": 5},
    }


def test_an_address_is_no_identity() -> None:
    class Anonymous:
        pass

    with pytest.raises(InvalidValueError, match="make it a dataclass"):
        describe(Anonymous())
