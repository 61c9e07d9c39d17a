"""A function of a trial as a search space: what it asks for is what exists."""

from __future__ import annotations

import contextlib
import io
import json
import re
import textwrap
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, cast

import numpy as np

from hwnas.errors import InvalidArchitectureError, InvalidValueError
from hwnas.process_state import unwarned
from hwnas.seeding import numbers_seeded, seeded
from hwnas.spaces.asking import Asking, Refused
from hwnas.spaces.assignments import Assignment, AssignmentSpace
from hwnas.spaces.choices import made_by
from hwnas.spaces.choosers import DeclarationError, Run, drawing, reading
from hwnas.spaces.equivalence import TracedEquivalence
from hwnas.spaces.options import Choose, Options, V
from hwnas.spaces.source_code import fingerprint, target_of
from hwnas.spaces.trial import Trial
from hwnas.tasks.catalogue import output_text, sized_task
from hwnas.tasks.task import Task
from hwnas.typing import Choice

if TYPE_CHECKING:
    from torch import nn

_LISTED = 256
"""Spaces with more architectures are not listed, since each would be built."""
_ENDED_AT_FIRST, _ENDED = 8, 32
"""Times in a row that a function may end its process before it is given up: before it has built
anything, and later. A time that took minutes counts as as many more, up to half of them."""


class FunctionSpace(TracedEquivalence[Assignment], AssignmentSpace):
    """All networks that a function builds, by what it asks its trial for.

    Asking builds networks without values, on PyTorch's `meta` device, where the function allows
    it. Choices for which the function raises are no architectures. Those whose networks are equal,
    see `hwnas.spaces.equivalence`, are scored once.

    Args:
        function: maps a `hwnas.spaces.trial.Trial`, or one of Optuna, to a network. It depends on
            its trial alone.
        input: shape of what the networks get: (C, H, W) of an image, (C, T) of a signal, (F,) of a
            vector, (T,) of tokens; also as ``1x96x96``.
        classes: how many they tell apart, or another answer, as `sized_task` takes it, e.g.
            ``map5``, ``numbers3``, ``next``, or ``outputs`` of all that they return.
        vocabulary: number of different tokens; None for real numbers.
        source: fingerprint of the code, where it must be the one that is known; None for any.
        target: ``module:name`` of the function; found by itself if None.

    Raises:
        InvalidValueError: the code has another fingerprint, or the sizes are none of an input.

    Example:
        >>> from torch import nn
        >>> def build(trial):
        ...     width = trial.suggest_int("width", 8, 32, step=8)
        ...     return nn.Sequential(nn.Flatten(), nn.Linear(64, width), nn.Linear(width, 2))
        >>> space = FunctionSpace(build, input=(1, 8, 8), classes=2)
        >>> [str(arch) for arch in space.members(10)][:2]
        ['{"width": 8}', '{"width": 16}']
    """

    explored: ClassVar[int] = 32
    new_changes: ClassVar[int] = 1

    def __init__(
        self,
        function: Callable[[Any], nn.Module],
        input: Sequence[int] | int | str,
        classes: int | str,
        vocabulary: int | None = None,
        source: str | None = None,
        *,
        target: str | None = None,
    ) -> None:
        self.function = function
        self.target = target or target_of(function)
        self.source = fingerprint(function)
        if source not in (None, self.source):
            raise InvalidValueError(
                f"`{self.target}` must be the code that was searched, of fingerprint {source}, but "
                f"it has changed to {self.source}: put it back, or start anew in another folder."
            )
        self._task = sized_task(_sizes(input), classes, vocabulary)
        self._begin()

    def _begin(self) -> None:
        self._asking = Asking(self._asked_for, self.target)
        self._ended, self._built = 0, False
        self._without_values = True
        self._as_built = False

    @property
    def default_task(self) -> Task:
        """The task that the networks are built for, and no other."""
        return self._task

    def refused(self) -> list[str]:
        """Say why choices that were asked of it make no network, a text for each of them."""
        return self._asking.refused()

    @property
    def name(self) -> str:
        """``module:name`` of the function."""
        return self.target

    def __repr__(self) -> str:
        task = self.default_task
        settings = {**sizes_of(task), "source": self.source}
        return f"{self.target}:{','.join(f'{k}={v}' for k, v in settings.items())}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FunctionSpace) and repr(other) == repr(self)

    def __hash__(self) -> int:
        return hash(repr(self))

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what is remembered: worker processes ask for themselves."""
        ours = {"function", "target", "source", "_task"}
        return {key: value for key, value in vars(self).items() if key in ours}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._begin()

    def ask(self, choose: Choose) -> nn.Module:
        """Run the function, and give its network, without values where the function allows that.

        Raises:
            Refused: it raises for these choices, or gives something else.
            DeclarationError: it asks for infinitely many choices.
        """
        import torch

        noted = _Noted(choose)
        with seeded(0):
            if self._without_values:
                with contextlib.suppress(Refused), torch.device("meta"):
                    return self._called(noted, self.default_task)
            network = self._called(noted, self.default_task)
            # It needs values while it builds, e.g. numbers out of a tensor.
            self._without_values = False
            return network

    def _asked_for(self, choose: Choose) -> None:
        """Run the function, in another process if that is where the user's code runs.

        Raises:
            Refused: as `ask`, and where its process dies or is ended.
            DeclarationError: as `ask`, and where that has happened many times in a row.
        """
        noted, began = _Noted(choose), time.monotonic()
        try:
            refusal = self.elsewhere.converse(self._refusal_for, noted)
        except InvalidValueError as error:
            if error is noted.error or isinstance(error, DeclarationError):
                raise
            refusal = self._refusal(noted, f"but {str(error).rpartition(', but ')[2]}")
            most = _ENDED if self._built else _ENDED_AT_FIRST
            self._ended += min(1 + int(time.monotonic() - began) // 60, most // 2)
            if self._ended >= most:
                raise DeclarationError(refusal) from error
        else:
            self._ended, self._built = 0, True
        if refusal is not None:
            raise Refused(refusal)

    def _refusal_for(self, choose: Choose) -> str | None:
        """Run the function; say why it makes nothing."""
        try:
            self.ask(choose)
        except Refused as refusal:
            return str(refusal)
        return None

    def _called(self, noted: _Noted, task: Task) -> nn.Module:
        """Call the function; its prints and warnings are nobody's result."""
        from torch import nn

        try:
            with numbers_seeded(0), _quiet():
                network = self.function(Trial(noted, task))
        except (Exception, SystemExit) as error:
            if noted.error is not None:
                raise noted.error from None
            if isinstance(error, DeclarationError):
                raise
            reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
            raise Refused(self._refusal(noted, f"but raised {reason}")) from error
        if isinstance(network, nn.Module):
            return network
        raise Refused(self._refusal(noted, f"but gave a {type(network).__name__}"))

    def _refusal(self, noted: _Noted, reason: str) -> str:
        chosen = textwrap.shorten(json.dumps(noted.chosen, ensure_ascii=False), 300)
        return f"`{self.target}` must give a torch.nn.Module for {chosen}, {reason}"

    def make(self, choose: Choose) -> Assignment:
        """Ask for what the function asks for; it runs for what is new alone.

        Raises:
            InvalidArchitectureError: the function raises for these choices; says what.
            DeclarationError: it asks for infinitely many choices, or not for the same each time.
        """
        try:
            return Assignment(tuple(self._asking.ask(choose).items()))
        except Refused as refusal:
            raise InvalidArchitectureError(str(refusal)) from refusal

    def members(self, limit: int) -> list[Assignment] | None:
        """List all architectures; None if there are more than `limit`, or than 256."""
        return super().members(min(limit, _LISTED))

    def mutations(self, arch: Assignment, rng: np.random.Generator) -> Iterator[Assignment]:
        """Yield, in random order, one architecture for each other choice near its own.

        What a choice opens is drawn; all neighbours would have to be built to be listed.
        """
        run = Run(reading(self.values(arch)))
        made_by(run, self.make)
        moves = [(n, near) for n, o in run.options.items() for near in o.near(run.values[n])]
        for i in rng.permutation(len(moves)):
            name, value = moves[i]
            with contextlib.suppress(InvalidArchitectureError):
                yield made_by(Run(_given({**run.values, name: value}, rng)), self.make)

    def build(self, arch: Assignment, task: Task | None = None) -> nn.Module:
        """Build the network, with its lazy modules complete, and one tensor as its answer.

        Raises:
            InvalidValueError: the task is another one than the function builds networks for.
            InvalidArchitectureError: the function raises.
        """
        if task is not None and task.settings != self.default_task.settings:
            raise InvalidValueError(
                f"`task` must be {self.default_task}, which {self.target} builds networks for, but "
                f"got {task}."
            )
        noted = _Noted(reading(dict(arch.chosen)))
        try:
            network = self._called(noted, self.default_task)
        except Refused as refusal:
            raise InvalidArchitectureError(str(refusal)) from refusal
        return self._usable(network)

    def _usable(self, network: nn.Module) -> nn.Module:
        """Complete a network; whether it must be run for that is seen by the first one."""
        import torch

        from hwnas.networks.answer import answer_for
        from hwnas.networks.usable import answering_network, check_has_values
        from hwnas.tasks.batch import draw_inputs

        check_has_values(network)
        if self._as_built:
            return network
        drawn = draw_inputs(self.default_task.input, 2, torch.Generator().manual_seed(0))
        try:
            usable = answering_network(network, lambda: drawn, answer_for(self.default_task.output))
        except InvalidValueError:  # It says so where it is run.
            return network
        self._as_built = usable is network
        return usable


def sizes_of(task: Task) -> dict[str, str | int]:
    """Give the settings of a `FunctionSpace` that say its task, as they are written."""
    sizes = {
        "input": "x".join(map(str, task.input.shape)),
        "classes": output_text(task.output),
        "vocabulary": task.input.vocabulary,
    }
    return {name: size for name, size in sizes.items() if size is not None}


def _sizes(shape: Sequence[int] | int | str) -> tuple[int, ...]:
    if isinstance(shape, str):
        found = re.fullmatch(r"\d{1,9}(x\d{1,9})*", shape, re.ASCII)
        if found is None:
            raise InvalidValueError(f"`input` must be CxHxW, CxT or T, but got {shape!r}.")
        return tuple(map(int, shape.split("x")))
    return (shape,) if isinstance(shape, int) else tuple(map(int, shape))


class _Noted:
    """A chooser that keeps what was chosen, and what it raised itself."""

    def __init__(self, choose: Choose) -> None:
        self._choose = choose
        self.chosen: dict[str, Choice] = {}
        self.error: Exception | None = None

    def __call__(self, name: str, options: Options[V]) -> V:
        try:
            self.chosen[name] = value = self._choose(name, options)
        except Exception as error:
            self.error = error
            raise
        return value


def _given(values: Mapping[str, Choice], rng: np.random.Generator) -> Choose:
    """Give a chooser that draws what is not given."""
    draw = drawing(rng)

    def choose(name: str, options: Options[V]) -> V:
        return cast(V, values[name]) if name in values else draw(name, options)

    return choose


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    with unwarned(), contextlib.redirect_stdout(io.StringIO()):
        yield
