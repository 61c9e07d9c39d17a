"""The import of NNI's layers, a module that NNI writes when it is imported for the first time."""

from __future__ import annotations

import importlib

from hwnas.measure.resource_lock import hold

LOCK = "nni-layers"


def import_layers() -> None:
    """Import NNI's layers while no other process of hwnas does.

    NNI 3.0 writes ``nni/nas/nn/pytorch/_layers.py`` in place where there is none for this version
    of PyTorch, and a process that imports it meanwhile reads a part of it.

    Raises:
        ModuleNotFoundError: NNI is not installed.
    """
    with hold(LOCK):
        importlib.import_module("nni.nas.nn.pytorch.layers")
