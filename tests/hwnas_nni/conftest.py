"""NNI warns while it is imported by newer versions of torch: that must not stop the collection."""

from __future__ import annotations

import importlib.util
import warnings

import pytest

if importlib.util.find_spec("nni") is not None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from hwnas_nni.importing import import_layers

        import_layers()  # other workers of the tests import them, too
        import nni.nas.experiment
        import nni.nas.hub.pytorch  # noqa: F401


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave NNI's own warnings alone; ours are still errors."""
    for item in items:
        if "hwnas_nni" in str(item.path):
            item.add_marker(pytest.mark.filterwarnings("ignore:::nni"))
            item.add_marker(pytest.mark.filterwarnings("ignore:::websockets"))
