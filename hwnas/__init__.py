"""Hardware-aware, training-free neural architecture search."""

from importlib.metadata import version as _version

__version__ = _version("hwnas")
