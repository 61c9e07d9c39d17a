"""Where messages go, and how texts of others are kept from changing the terminal."""

from __future__ import annotations

import re

from rich.console import Console

_BREAKS = re.compile(r"\s*[\n\r\x0b\x0c\x85\u2028\u2029]\s*|\t+")

messages = Console(stderr=True, highlight=False, soft_wrap=True, emoji=False)
"""Console of progress and messages: standard output stays free for results."""


def one_line(text: str) -> str:
    r"""Give a text as one line that changes nothing on a terminal.

    Line breaks become spaces. Other control characters, and those that turn the direction of
    writing, are shown as Python writes them.

    Example:
        >>> print(one_line("a\x1b[2Jb\n  c"))
        a\x1b[2Jb c
    """
    joined = _BREAKS.sub(" ", text.strip())
    return "".join(c if c.isprintable() or c == " " else repr(c)[1:-1] for c in joined)
