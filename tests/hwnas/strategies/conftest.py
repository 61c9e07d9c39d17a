"""A small space with equal members, invalid ones, and two conflicting losses."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from torch import nn

from hwnas.errors import InvalidArchitectureError
from hwnas.graphs.arch_graph import ArchGraph
from hwnas.strategies import Knowledge
from hwnas.tasks.catalogue import get_task
from hwnas.tasks.task import Task
from hwnas.typing import FloatArray

LETTERS = ("a", "b", "c", "d")


@dataclass(frozen=True)
class Word:
    """Letters in a row."""

    letters: tuple[str, ...]

    def __str__(self) -> str:
        return "".join(self.letters)


@dataclass(frozen=True)
class Words:
    """Words of `length` letters; anagrams are equal, and words of `a` alone are invalid.

    For length 4 there are 256 words, of 35 classes, of which 34 are valid.
    """

    length: int = 4
    name: str = field(default="words", init=False, repr=False)

    @property
    def parameters(self) -> Mapping[str, tuple[str, ...]]:
        return {f"letter_{i}": LETTERS for i in range(self.length)}

    def parse(self, text: str) -> Word:
        if len(text) != self.length or not set(text) <= set(LETTERS):
            raise InvalidArchitectureError(f"`text` must be a word, but got {text!r}.")
        return Word(tuple(text))

    def decode(self, parameters: Mapping[str, Any]) -> Word:
        return self.parse("".join(str(parameters.get(name, "")) for name in self.parameters))

    def encode(self, arch: Word) -> dict[str, str]:
        return dict(zip(self.parameters, arch.letters, strict=True))

    def is_valid(self, arch: Word) -> bool:
        return set(arch.letters) != {"a"}

    def canonical_key(self, arch: Word) -> str:
        return "".join(sorted(arch.letters))

    def representative(self, arch: Word) -> Word:
        return Word(tuple(sorted(arch.letters)))

    def neighbours(self, arch: Word) -> Sequence[Word]:
        return [
            Word((*arch.letters[:i], other, *arch.letters[i + 1 :]))
            for i, letter in enumerate(arch.letters)
            for other in LETTERS
            if other != letter
        ]

    def sample(self, rng: np.random.Generator) -> Word:
        return Word(tuple(LETTERS[i] for i in rng.integers(len(LETTERS), size=self.length)))

    @property
    def default_task(self) -> Task:
        return get_task("cifar10")

    def build(self, arch: Word, task: Task | None = None) -> nn.Module:
        raise NotImplementedError

    def to_graph(self, arch: Word) -> ArchGraph:
        raise NotImplementedError


@dataclass(frozen=True)
class ListedWords(Words):
    """The same words, which can be listed."""

    def __len__(self) -> int:
        return int(len(LETTERS) ** self.length)

    def __iter__(self) -> Iterator[Word]:
        return (Word(letters) for letters in itertools.product(LETTERS, repeat=self.length))


def losses(words: Sequence[Word]) -> FloatArray:
    """Give `(n, 2)` losses that fall and rise with the letters' positions in the alphabet."""
    totals = np.array([[LETTERS.index(letter) for letter in word.letters] for word in words])
    first = totals.reshape(len(words), -1).astype(float)
    return np.column_stack([-first.sum(axis=1), (first**2).sum(axis=1)])


@pytest.fixture
def words() -> ListedWords:
    return ListedWords()


@pytest.fixture
def unlisted_words() -> Words:
    return Words()


@pytest.fixture
def word_losses() -> Callable[[Sequence[Word]], FloatArray]:
    return losses


@pytest.fixture
def knowledge() -> Callable[[], Knowledge[Word]]:
    """Give a score that grows with the positions of the letters."""
    return lambda: Knowledge(scores=lambda archs: -losses(archs)[:, :1])
