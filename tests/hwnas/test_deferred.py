from __future__ import annotations

import sys
from types import ModuleType

import pytest

from hwnas.deferred import deferred


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    made = ModuleType("some_module_of_a_test")
    monkeypatch.setitem(sys.modules, made.__name__, made)
    return made


def test_what_is_written_and_deleted_is_so_in_the_module(module: ModuleType) -> None:
    stand_in = deferred(module.__name__)
    stand_in.number = 9
    assert vars(module)["number"] == 9
    assert stand_in.number == 9
    del stand_in.number
    assert "number" not in vars(module)
    with pytest.raises(AttributeError):
        _ = stand_in.number


def test_a_stand_in_names_what_it_is_for_without_importing_it() -> None:
    assert repr(deferred("no.such.module")) == "<deferred module 'no.such.module'>"
