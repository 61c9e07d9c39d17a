"""NNI's layers, which NNI writes while it is imported for the first time."""

from __future__ import annotations

import importlib

import pytest
from filelock import FileLock, Timeout

from hwnas.measure.resource_lock import lock_file
from hwnas_nni.importing import LOCK, import_layers


def test_one_process_at_a_time_imports_the_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    imported = []

    def import_module(name: str) -> None:
        with pytest.raises(Timeout):
            FileLock(lock_file(LOCK)).acquire(timeout=0)
        imported.append(name)

    monkeypatch.setattr(importlib, "import_module", import_module)
    import_layers()
    assert imported == ["nni.nas.nn.pytorch.layers"]
    with FileLock(lock_file(LOCK)).acquire(timeout=10):
        pass
