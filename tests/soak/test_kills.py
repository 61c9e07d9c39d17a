"""A few kills of each kind, where `HWNAS_SOAK_KILLS` says how many."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

KILLS = os.environ.get("HWNAS_SOAK_KILLS", "")


@pytest.mark.skipif(not KILLS, reason="HWNAS_SOAK_KILLS does not say how many kills")
def test_nothing_is_lost_by_kills() -> None:
    # A process of its own: it forks, and holds no threads and connections of other tests.
    script = Path(__file__).with_name("kills.py")
    subprocess.run([sys.executable, str(script), "--kills", KILLS], check=True)
