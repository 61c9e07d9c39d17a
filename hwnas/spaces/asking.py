"""What a function asks for, remembered, so that it is not run where its answers are known."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import cast

from hwnas.spaces.choosers import DeclarationError
from hwnas.spaces.options import Choose, Options, V
from hwnas.typing import Choice

_MOST = 100_000
"""Questions that are remembered; then memory starts anew."""


@dataclass(slots=True)
class _Question:
    """What is asked for next, and what follows each answer."""

    name: str
    options: Options[Choice]
    then: dict[Choice, _Question | _End] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _End:
    """Nothing more is asked for; `refusal` says why there is nothing to build."""

    refusal: str | None


class Refused(Exception):  # noqa: N818 - it is what happened
    """The function refuses these choices; the text says why."""


class Asking:
    """Runs a function of a chooser only for answers that it has not had before.

    Args:
        function: asks for what it needs; `Refused` says that there is nothing to build. It depends
            on the answers alone.
        name: of the function, for errors.
    """

    def __init__(self, function: Callable[[Choose], object], name: str) -> None:
        self._function = function
        self._name = name
        self._first: _Question | _End | None = None
        self._questions = 0

    def ask(self, choose: Choose) -> dict[str, Choice]:
        """Give what is chosen, by name, in the order of asking.

        Raises:
            Refused: these choices make nothing.
            DeclarationError: the function asked for something else than at an earlier time.
        """
        chosen: dict[str, Choice] = {}
        at = self._first
        while isinstance(at, _Question):
            chosen[at.name] = choose(at.name, at.options)
            at = at.then.get(chosen[at.name])
        if at is None:
            at = self._run(choose, chosen)
        if at.refusal is not None:
            raise Refused(at.refusal)
        return chosen

    def refused(self) -> list[str]:
        """Say why answers make nothing, a text for each of those that are remembered."""
        found, left = [], [self._first]
        while left:
            at = left.pop()
            if isinstance(at, _Question):
                left += at.then.values()
            elif at is not None and at.refusal is not None:
                found.append(at.refusal)
        return found

    def _run(self, choose: Choose, chosen: dict[str, Choice]) -> _End:
        """Run the function, which asks for what is chosen again, and then for more."""
        asked: dict[str, Options[Choice]] = {}

        def answer(name: str, options: Options[V]) -> V:
            if name not in chosen:
                chosen[name] = choose(name, options)
            asked[name] = options
            return cast(V, chosen[name])

        try:
            self._function(answer)
            end = _End(None)
        except Refused as error:
            end = _End(str(error))
        self._remember(asked, chosen, end)
        return end

    def _remember(
        self, asked: Mapping[str, Options[Choice]], chosen: Mapping[str, Choice], end: _End
    ) -> None:
        if self._questions > _MOST:
            self._first, self._questions = None, 0
        questions = [_Question(name, options) for name, options in asked.items()]
        if len(questions) < len(chosen):
            raise self._unsteady("left out what it had asked for")
        at: _Question | _End | None = self._first
        known: list[_Question] = []
        for question in questions:
            if at is not None and not (
                isinstance(at, _Question)
                and (at.name, at.options) == (question.name, question.options)
            ):
                raise self._unsteady(f"asked for {question.name} or its options anew")
            known.append(at if isinstance(at, _Question) else question)
            at = at.then.get(chosen[question.name]) if isinstance(at, _Question) else None
        if isinstance(at, _Question):
            raise self._unsteady(f"left out {at.name}")
        follows: list[_Question | _End] = [*known, end]
        self._first = follows[0]
        for question, after in zip(known, follows[1:], strict=True):
            self._questions += chosen[question.name] not in question.then
            question.then[chosen[question.name]] = after

    def _unsteady(self, what: str) -> DeclarationError:
        return DeclarationError(
            f"`{self._name}` must ask for the same when it has the same answers, but it {what}: "
            f"draw nothing at random, and keep nothing from one call to the next."
        )
