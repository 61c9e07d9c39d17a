"""How components are written in words: on the command line, in settings and in files."""

from __future__ import annotations

import re
from typing import Literal

from hwnas.errors import InvalidValueError

_CONSTRAINT = re.compile(r"\s*([\w.:+-]+?)\s*(<=|>=|≤|≥)\s*([-+]?[\d.]+(?:[eE][-+]?\d+)?)\s*")


def split_constraint(text: str) -> tuple[str, Literal["<=", ">="], float]:
    """Read ``NAME<=NUMBER`` or ``NAME>=NUMBER``.

    Raises:
        InvalidValueError: the text has another form.
    """
    match = _CONSTRAINT.fullmatch(text)
    try:
        if match is None:
            raise ValueError
        bound = float(match[3])
    except ValueError:
        raise InvalidValueError(
            f"`constraint` must be NAME<=NUMBER or NAME>=NUMBER, e.g. 'latency<=5', but got "
            f"{text!r}."
        ) from None
    return match[1], "<=" if match[2] in ("<=", "≤") else ">=", bound
