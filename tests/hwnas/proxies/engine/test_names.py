"""The engine's name is at its package, and brings PyTorch only when it is asked for."""

from __future__ import annotations

import subprocess
import sys

import pytest

import hwnas.proxies.engine
from hwnas.proxies.engine.scoring import score_network


def test_the_package_has_the_name() -> None:
    assert hwnas.proxies.engine.score_network is score_network
    with pytest.raises(AttributeError, match="no attribute 'score'"):
        getattr(hwnas.proxies.engine, "score")  # noqa: B009 - mypy knows


def test_the_package_does_not_import_pytorch() -> None:
    asked = "import sys, hwnas.proxies.engine; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", asked], check=False).returncode == 0
