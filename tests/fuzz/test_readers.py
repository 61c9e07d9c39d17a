"""Mutated inputs of every reader: a refusal or something that makes sense, in bounded time.

`HWNAS_FUZZ_EXAMPLES` sets how many inputs a reader gets; `tests/fuzz/campaign.py` tries them in
processes of their own, with a bound of memory.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from tests.fuzz.campaign import try_one
from tests.fuzz.mutations import mutate, mutations
from tests.fuzz.targets import TARGETS, Target

EXAMPLES = int(os.environ.get("HWNAS_FUZZ_EXAMPLES", "8"))


@pytest.mark.parametrize("name", TARGETS)
def test_mutated_inputs(name: str, tmp_path: Path) -> None:
    target = TARGETS[name]
    contents = target.contents(tmp_path)
    if target.name != "text":
        assert all(try_one(target, content, tmp_path / "own") for content in contents)
    _campaign(target, contents, tmp_path / "own")


def _campaign(target: Target, contents: Sequence[bytes], folder: Path) -> None:
    @settings(
        max_examples=EXAMPLES, derandomize=True, database=None, deadline=None,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(content=mutations(contents))
    def tried(content: bytes) -> None:
        try_one(target, content, folder)

    tried()


def test_equal_seeds_give_equal_contents() -> None:
    content = bytes(range(256))
    assert mutate(content, 5) == mutate(content, 5)
    assert len({mutate(content, seed) for seed in range(200)}) > 150


def test_what_is_no_refusal_is_found(tmp_path: Path) -> None:
    def read(path: Path) -> None:
        assert path.read_bytes() == b"right"

    broken = Target(lambda _: [b"right"], read, "x")
    assert try_one(broken, b"right", tmp_path)
    with pytest.raises(AssertionError):
        try_one(broken, b"wrong", tmp_path)
