"""The space of one network of the user's: what evaluates architectures evaluates it too."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from hwnas.errors import InvalidValueError, ProxyError
from hwnas.seeding import torch_state_kept
from hwnas.spaces.assignments import Assignment, AssignmentSpace
from hwnas.spaces.options import Choose
from hwnas.tasks.task import Task

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class OneNetwork(AssignmentSpace):
    """A space that holds one network.

    Attributes:
        make_network: gives the network; weights that it draws are those of the seed.
        default_task: what the network is for.
        number: tells it from the others of this process, in what is remembered by `repr`.
    """

    make_network: Callable[[], nn.Module] = field(repr=False)
    default_task: Task
    number: int = field(default_factory=itertools.count().__next__)

    name: ClassVar[str] = "one-network"
    arch: ClassVar[Assignment] = Assignment(())

    def ask(self, choose: Choose) -> None:
        """Ask for nothing."""
        del choose

    def build(self, arch: Assignment, task: Task | None = None) -> nn.Module:
        """Give the network, which returns its answer alone.

        Raises:
            InvalidValueError: it does not run on the task's inputs, or gives an answer of another
                shape.
        """
        import torch

        from hwnas.networks.answer import answer_for
        from hwnas.networks.usable import answering_network
        from hwnas.tasks.batch import draw_inputs
        from hwnas.tasks.outputs import is_wanted, read_output

        del arch
        task = task or self.default_task
        draw = partial(draw_inputs, task.input, 2, torch.Generator().manual_seed(0))
        network = answering_network(self.make_network(), draw, answer_for(task.output))
        training = network.training
        with torch_state_kept(), torch.no_grad():
            answer = network.eval()(draw())
        network.train(training)
        try:
            found, _ = read_output(answer, 2, task.input, task.output)
        except ProxyError:
            found = None
        if found is None or not is_wanted(found, task.output):
            raise InvalidValueError(
                f"`network` must answer {task.output!r} as the architectures do, but its answer "
                f"to 2 inputs has shape {tuple(answer.shape)}."
            )
        return network
