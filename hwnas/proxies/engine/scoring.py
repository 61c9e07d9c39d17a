"""Scores a network with a set of proxies in the fewest passes that serve them all."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from hwnas.errors import InvalidValueError, ProxyError
from hwnas.networks.answer import ALL, Answer, AnsweringAll, answer_for
from hwnas.networks.device import (
    CPU,
    made_on,
    on_cpu,
    random_states,
    read_device,
    seed_passes,
    set_random_states,
)
from hwnas.networks.garbage import without_garbage_collection
from hwnas.networks.settings import default_settings
from hwnas.networks.usable import answering_network, usable_network
from hwnas.process_state import PROCESS_STATE
from hwnas.proxies.engine.reasons import reason_of
from hwnas.proxies.engine.signals import Collector, OwnSignal, PassAgain, PassSignal, Setting
from hwnas.proxies.engine.subject import Subject
from hwnas.seeding import derive_seed
from hwnas.tables.result import Result
from hwnas.tasks.batch import Batch, draw_inputs
from hwnas.tasks.task import Task, TensorSpec
from hwnas.typing import Proxy, Signal, T


@without_garbage_collection()
def score_network(
    model: nn.Module,
    task: Task | TensorSpec | tuple[int, ...],
    proxies: Sequence[Proxy],
    *,
    batch: Batch | None = None,
    batch_size: int = 64,
    seed: int = 0,
    threads: int = 1,
    output: str | int | None = None,
    device: str = "cpu",
) -> dict[str, Result]:
    """Score one network.

    A score depends neither on the other proxies nor on their order, nor on PyTorch's settings
    (`default_settings`). The network is left as it was: weights, buffers, hooks, mode and the
    global random state. It counts as its plain form (`plain_network`): weights that are computed
    are those of an equal network that has them as parameters, and a wrapper around it is left out.

    Args:
        model: any network that maps one tensor to one of the outputs of `hwnas.tasks.task`; one
            with lazy modules is scored as it is after their first run.
        task: what it is for, what it gets, or the (C, H, W) of the images that it gets.
        proxies: what to compute.
        batch: inputs of the user; None draws Gaussian numbers, or uniform tokens.
        batch_size: inputs B that are drawn.
        seed: seed of weights, images, labels and random projections.
        threads: CPU threads, during the call only.
        output: which output is the answer, if the network returns more than one: a name, an index,
            ``all``, or None: all if the task says `AllOutputs`, else the rule of
            `hwnas.networks.answer`, whose choice is logged.
        device: where the passes run: ``cpu``, ``cuda``, ``cuda:1`` or ``mps``. The network and the
            batch may be anywhere.

    Returns:
        The scores by the proxies' names. A proxy that is not defined for this network, or raises
        anything, has NaN and the reason; the others have the values that they have without it.

    Raises:
        ProxyError: the network rejects such inputs, or returns something else.
        InvalidValueError: two proxies have one name, the batch does not fit the network, or its
            layers cannot be run or watched.
    """
    counts = Counter(proxy.name for proxy in proxies)
    if repeated := [name for name, count in counts.items() if count > 1]:
        raise InvalidValueError(f"`proxies` must have different names, but got {repeated} twice.")
    place = read_device(device)
    if output is None and isinstance(task, Task):
        output = answer_for(task.output)
    with _isolated(threads, place):
        spec = Subject(model, task, batch, batch_size).spec
        model = usable_network(model, lambda: draw_inputs(spec, 2), derive_seed(seed, "lazy"))
        if output == ALL and not isinstance(model, AnsweringAll):
            with suppress(InvalidValueError):  # it says so where it is run
                model = answering_network(model, lambda: draw_inputs(spec, 2), ALL)
        subject = Subject(model, task, batch, batch_size, seed, Answer(output), place)
        needs = {proxy.name: _needs(proxy) for proxy in proxies}
        asked = [found for found in needs.values() if not isinstance(found, Result)]
        answers = _answer(subject, asked)
    with _isolated(threads):  # formulas are computed on the CPU
        return {
            proxy.name: found
            if isinstance(found := needs[proxy.name], Result)
            else _score(proxy, answers, _work(subject, found))
            for proxy in proxies
        }


@contextmanager
def _isolated(threads: int, device: torch.device = CPU) -> Iterator[None]:
    """Keep random state, thread number and settings of the caller apart from the passes."""
    if threads < 1:
        raise InvalidValueError(f"`threads` must be at least 1, but got {threads}.")
    with PROCESS_STATE:
        before, states = torch.get_num_threads(), random_states(device)
        torch.set_num_threads(threads)
        try:
            with default_settings(), made_on(device):
                yield
        finally:
            set_random_states(device, states)
            torch.set_num_threads(before)


_Item = Signal[object] | Setting | None
"""What costs time: a request, a pass, or the trial run (None)."""


@dataclass
class _Answers:
    """Answers, or the reasons why there are none, and what they cost in seconds."""

    values: dict[Signal[object], Any] = field(default_factory=dict)
    seconds: dict[_Item, float] = field(default_factory=dict)
    users: Counter[_Item] = field(default_factory=Counter)

    def __getitem__(self, signal: Signal[T]) -> T:
        value = self.values[signal]
        if isinstance(value, ProxyError):
            raise value
        answer: T = value
        return answer

    def move(self, start: Setting, end: Signal[object], seconds: float) -> None:
        """Count seconds of a pass as those of one of its signals."""
        self.seconds[start] -= seconds
        self.seconds[end] = self.seconds.get(end, 0.0) + seconds

    def share(self, used: set[_Item]) -> float:
        """Give the share of the seconds of one of those who use these items."""
        return sum(self.seconds[item] / self.users[item] for item in used if item in self.seconds)


def _needs(proxy: Proxy) -> Sequence[Signal[object]] | Result:
    """Give a proxy's requests; or its failure, where telling them raises."""
    start = time.perf_counter()
    try:
        return list(proxy.needs)
    except Exception as error:  # whatever somebody's property raises
        reason = _raised(proxy, error)
        return Result(math.nan, reason, time.perf_counter() - start)


def _raised(proxy: Proxy, error: Exception) -> str:
    if isinstance(error, ProxyError):
        return str(error)
    return f"{proxy.name} raised {type(error).__name__}: {' '.join(str(error).split())}"


def _work(subject: Subject, needs: Sequence[Signal[object]]) -> set[_Item]:
    """Give what a proxy uses: its requests, the passes behind them, the trial run (None)."""
    passes = {subject.resolved(s.setting) for s in needs if isinstance(s, PassSignal)}
    trial = {None} if any(getattr(signal, "runs", True) for signal in needs) else set()
    return {*trial, *needs, *passes}


def _answer(subject: Subject, asked: Sequence[Sequence[Signal[object]]]) -> _Answers:
    answers = _Answers(users=Counter(item for needs in asked for item in _work(subject, needs)))
    if None in answers.users:
        with _timed(answers, None):
            subject.check()  # fails here, for all proxies, if the network is unusable
    signals = list(dict.fromkeys(signal for needs in asked for signal in needs))
    signals.sort(key=lambda signal: not getattr(signal, "first", False))
    passes: dict[Setting, list[PassSignal[object]]] = {}
    for signal in signals:
        if isinstance(signal, PassSignal):
            passes.setdefault(subject.resolved(signal.setting), []).append(signal)
        elif isinstance(signal, OwnSignal):
            with _timed(answers, signal):
                answers.values[signal] = _attempt(subject, signal)
        else:
            raise InvalidValueError(
                f"`needs` must hold OwnSignal or PassSignal requests, but got {signal!r}."
            )
    for setting, members in passes.items():
        _serve(subject, setting, members, answers)
    return answers


def _attempt(subject: Subject, signal: OwnSignal[object]) -> Any:
    try:
        seed_passes(subject.device, derive_seed(subject.seed, "own", signal))
        if signal.runs:
            return _here(subject, signal.measure(subject))
        if subject.device.type == "cpu":
            return signal.measure(subject)
        with torch.device("cpu"):  # it is about the structure
            return signal.measure(subject)
    except Exception as error:  # whatever the user's network or a signal raises
        return reason_of(subject.model, error)


def _serve(
    subject: Subject, setting: Setting, signals: Sequence[PassSignal[object]], answers: _Answers
) -> None:
    """Answer all signals by one forward pass; those that it failed for, by a pass each.

    A pass that collects nothing tells a failure of the network, which is all signals', from one of
    a collector.
    """
    again = _run_pass(subject, setting, signals, answers)
    if len(signals) == 1 or not again:
        return
    failure = _failure_of_network(subject, setting, answers)
    for signal in again:
        if failure is not None:
            answers.values[signal] = failure
        else:
            _run_pass(subject, setting, [signal], answers)


def _failure_of_network(subject: Subject, setting: Setting, answers: _Answers) -> ProxyError | None:
    try:
        with _timed(answers, setting):
            _forward(subject, setting, [])
    except Exception as error:  # whatever the user's network raises
        return reason_of(subject.model, error)
    return None


def _run_pass(
    subject: Subject,
    setting: Setting,
    signals: Sequence[PassSignal[object]],
    answers: _Answers,
    again: bool = False,
) -> list[PassSignal[object]]:
    """Run one forward pass for all signals; give those whose failure may be another's doing."""
    collectors: dict[PassSignal[object], Collector[Any]] = {}
    for signal in signals:
        with _timed(answers, signal):
            try:
                collectors[signal] = signal.collector(subject)
                collectors[signal].watched = subject.device.type != "cpu"
            except Exception as error:  # whatever a signal raises
                answers.values[signal] = reason_of(subject.model, error)
    if not collectors:
        return []
    try:
        with _timed(answers, setting):
            logits = _forward(subject, setting, list(collectors.values()))
    except Exception as error:  # whatever the user's network or a collector raises
        if isinstance(error, PassAgain) and not again:
            return _run_pass(subject, setting, signals, answers, again=True)
        answers.values.update(dict.fromkeys(collectors, reason_of(subject.model, error)))
        return list(collectors)
    if users := [collector for collector in collectors.values() if collector.uses_graph]:
        users[-1].keeps_graph = False
    left = []
    for signal, collector in collectors.items():
        answers.move(setting, signal, collector.seconds)
        with _timed(answers, signal):
            try:
                answers.values[signal] = _here(subject, collector.finish(logits))
            except Exception as error:  # e.g. of a backward pass
                answers.values[signal] = reason_of(subject.model, error)
                if not isinstance(error, ProxyError):
                    left.append(signal)
    return left


def _forward(subject: Subject, setting: Setting, collectors: Sequence[Collector[Any]]) -> Tensor:
    network, (images, _) = subject.network(setting, products=True), subject.input(setting)
    seed_passes(subject.device, derive_seed(subject.seed, "pass", setting))
    with ExitStack() as stack:
        for collector in collectors:
            stack.enter_context(collector.watch(network, images))
        logits: Tensor = network(images)
    if not logits.isfinite().all():
        raise ProxyError("The output of the network is not finite.")
    return logits


def _here(subject: Subject, answer: Any) -> Any:
    return answer if subject.device.type == "cpu" else on_cpu(answer)


@contextmanager
def _timed(answers: _Answers, item: Signal[object] | Setting | None) -> Iterator[None]:
    start = time.perf_counter()
    try:
        yield
    finally:
        elapsed = time.perf_counter() - start
        answers.seconds[item] = answers.seconds.get(item, 0.0) + elapsed


def _score(proxy: Proxy, answers: _Answers, used: set[_Item]) -> Result:
    start = time.perf_counter()
    try:
        value, error = float(proxy.score(answers)), None
        if not math.isfinite(value):
            value, error = math.nan, f"{proxy.name} is not finite for this network."
    except Exception as failure:  # whatever somebody's formula raises
        value, error = math.nan, _raised(proxy, failure)
    return Result(value, error, time.perf_counter() - start + answers.share(used))
