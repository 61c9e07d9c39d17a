"""The exceptions of hwnas: each text gives the condition, what was got and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class HwnasError(Exception):
    """Root of every exception that hwnas raises for bad input or missing parts."""


class InvalidArchitectureError(HwnasError, ValueError):
    """An architecture is not a member of its search space, or its text cannot be parsed."""


class UnknownNameError(HwnasError, LookupError):
    """A name is not in its table; the text lists what there is and the closest match."""


class InvalidValueError(HwnasError, ValueError):
    """A value is outside of what the callee accepts."""


class DataNotFoundError(HwnasError, FileNotFoundError):
    """Published data is absent; the text says how to get it."""


class DataFormatError(HwnasError, ValueError):
    """A file exists but does not hold what its name promises."""


class ProxyError(HwnasError, RuntimeError):
    """A proxy is not defined for the given network."""


class MissingDependencyError(HwnasError, ImportError):
    """An optional package is absent; the text names the extra that installs it."""


def unknown_name(kind: str, got: str, known: Iterable[str]) -> UnknownNameError:
    """Build the error for a misspelt name.

    Args:
        kind: what the name stands for, as the user knows it, e.g. ``device``.
        got: the name that was given.
        known: the names that exist.

    Returns:
        An exception that lists `known` and suggests the closest match.
    """
    names = sorted(set(known))
    text = f"`{kind}` must be one of {', '.join(names) or '(none registered)'}, but got {got!r}."
    close = difflib.get_close_matches(got, names, n=1, cutoff=0.5)
    return UnknownNameError(f"{text} Did you mean {close[0]!r}?" if close else text)
