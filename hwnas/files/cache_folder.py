"""Where what was computed or calibrated once is kept."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs


def cache_folder() -> Path:
    """Give the folder of caches: ``HWNAS_CACHE`` or the user's cache folder."""
    return Path(os.environ.get("HWNAS_CACHE") or platformdirs.user_cache_dir("hwnas"))
