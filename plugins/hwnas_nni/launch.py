"""Start NNI experiments on machines that are busy or slow."""

from __future__ import annotations

import contextlib
import logging
import socket
from collections.abc import Callable
from typing import Any, TypeVar

from hwnas.errors import InvalidValueError

_logger = logging.getLogger(__name__)
Experiment = TypeVar("Experiment")


def free_port() -> int:
    """Find a port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("", 0))
        return int(probe.getsockname()[1])


def run_experiment(
    make: Callable[[], Experiment], attempts: int = 5, wait_completion: bool = True
) -> Experiment:
    """Run an experiment on a free port, and start it anew if NNI gives up too early.

    NNI asks its manager whether it is up for about four seconds, which a busy machine may need
    longer for; then it kills the manager and raises. An error after the start is not retried.

    Args:
        make: makes the experiment; called once an attempt, since one cannot be started twice.
        attempts: how often to start.
        wait_completion: whether to wait for the end, which a NAS experiment always does.

    Returns:
        The experiment, which is still to be stopped: `experiment.stop()`.
    """
    if attempts < 1:
        raise InvalidValueError(f"`attempts` must be at least 1, but got {attempts}.")
    for attempt in range(1, attempts + 1):
        made: Any = make()
        try:
            made.run(free_port(), wait_completion=wait_completion)
        except Exception:
            started = made.port is not None or not _needs_manager(made)
            with contextlib.suppress(Exception):
                made.stop()
            if started or attempt == attempts:
                raise
            _logger.warning(
                "NNI's manager was not up in time, attempt %d of %d.", attempt, attempts
            )
            continue
        break
    experiment: Experiment = made
    return experiment


def _needs_manager(experiment: Any) -> bool:
    """Tell whether NNI starts a manager: not for NAS in this process."""
    needs = getattr(experiment, "_nni_manager_required", None)
    return needs is None or bool(needs())
