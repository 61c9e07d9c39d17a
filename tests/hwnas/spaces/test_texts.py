"""Texts of architectures: one for each, and nothing else is read but, in some, white space."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from hwnas.errors import InvalidArchitectureError
from hwnas.spaces.space_text import read_space
from hwnas.typing import SearchSpace

SPACES = (
    "nasbench201",
    "fbnet",
    "mobilenetv3",
    "mobilenetv2",
    "autoformer",
    "autoformer:size=base",
    "proxylessnas",
    "resnet",
    "pit",
    "nasbench101",
    *(f"nds:family={family}" for family in ("darts", "enas", "amoeba", "nasnet", "pnas")),
    "natsbench-size",
    "nasbench-nlp",
    "nasbench-macro",
    "transnasbench101-micro",
    "transnasbench101-macro",
)
INSERTED = "0123456789|,;+-/kesrwxhnd_.~@()１٠é \n\t"
AROUND = ("nasbench201", "fbnet", "mobilenetv3", "mobilenetv2", "autoformer")
"""Where white space around the text is ignored."""
INSIDE = ("fbnet", "mobilenetv3")
"""Where it is also ignored around each part."""


def slips(text: str, rng: np.random.Generator) -> Iterator[str]:
    """Yield texts that somebody may have meant to be this one."""
    for digit in "0123456789":
        wide = chr(0xFF10 + int(digit))
        for other in (f"0{digit}", f"{digit}.0", f"+{digit}", f"{digit}_0", wide):
            yield text.replace(digit, other, 1)
    yield from ("", text[:-1], text + text, text.upper(), *(text + mark for mark in "|,;+/"))
    for place in rng.integers(len(text), size=40):
        inserted = INSERTED[rng.integers(len(INSERTED))]
        yield text[:place] + text[place + 1 :]
        yield text[:place] + inserted + text[place:]
        yield text[:place] + inserted + text[place + 1 :]


def read(space: SearchSpace[Any], text: str) -> str | None:
    """Read a text and write it again; None if it is refused."""
    try:
        return str(space.parse(text))
    except InvalidArchitectureError as refusal:
        return None if "\n" not in str(refusal) else str(refusal)


def bare(name: str, text: str) -> str:
    """Take away the white space that a space ignores."""
    if name in INSIDE:
        return "".join(text.split())
    return text.strip() if name.partition(":")[0] in AROUND else text


@pytest.mark.parametrize("name", SPACES)
def test_white_space_around_a_text_is_ignored_where_it_is_said_to_be(name: str) -> None:
    space = read_space(name)
    text = str(space.sample(np.random.default_rng(0)))
    padded = f" {text}\n"
    assert read(space, padded) == (text if bare(name, padded) == text else None)
    parted = text.replace(",", " ,\t").replace("|", " |\n")
    if name in INSIDE:
        assert read(space, parted) == text


@pytest.mark.parametrize("name", SPACES)
def test_a_text_is_read_as_it_is_written_or_refused_in_one_line(name: str) -> None:
    space, rng = read_space(name), np.random.default_rng(0)
    for _ in range(10):
        arch = space.sample(rng)
        assert space.parse(str(arch)) == arch == space.decode(space.encode(arch))
        for slip in slips(str(arch), rng):
            assert read(space, slip) in (None, bare(name, slip))
