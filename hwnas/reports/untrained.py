"""The networks of members as they are exported: untrained, with seeded weights."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

import torch

from hwnas.pareto.pareto_set import Member
from hwnas.seeding import derive_seed, seeded
from hwnas.tasks.batch import draw_inputs
from hwnas.tasks.task import Task
from hwnas.typing import Arch, SearchSpace

CALIBRATION_IMAGES = 8
# Weights of networks that are kept.
_KEPT = 2**26
Report = Callable[[str, int, int], None]
"""Called with what is written, how many are, and how many there will be."""


def counted(
    what: str, members: Sequence[Member], report: Report | None
) -> Iterator[tuple[int, Member]]:
    """Give members with their places from 1 on, and report how many were dealt with."""
    for rank, member in enumerate(members, start=1):
        if report is not None:
            report(what, rank - 1, len(members))
        yield rank, member


def untrained_network(
    member: Member, space: SearchSpace[Arch], task: Task, seed: int
) -> torch.nn.Module:
    """Build the member's network in evaluation mode with seeded weights and statistics.

    Args:
        member: whose architecture is built exactly.
        space: its search space.
        task: what the network is for.
        seed: user seed of the weights.

    Raises:
        HwnasError: the architecture is not of this space.
    """
    # The proxies derive the seed in the same way: these are the weights that they scored,
    # where the member is the representative of its class.
    with seeded(derive_seed(seed, member.key)), torch.no_grad():
        network = space.build(space.parse(member.arch), task)
        # One step of the running statistics, as in training: enough to stop sums of skips from
        # growing, and without the amplified rounding of fully adapted statistics in deep chains.
        network.train()(draw_inputs(task.input, CALIBRATION_IMAGES))
    return network.eval()


class UntrainedNetworks:
    """The untrained networks of members; what fits into 256 MiB is built once.

    Args:
        space: the members' search space.
        task: what the networks are for.
        seed: user seed of the weights.
    """

    def __init__(self, space: SearchSpace[Arch], task: Task, seed: int) -> None:
        self._space, self._task, self._seed = space, task, seed
        self._known: dict[tuple[str, str], torch.nn.Module] = {}
        self._room = _KEPT

    def network(self, member: Member) -> torch.nn.Module:
        """Give a member's network, see `untrained_network`; it must be left as it is."""
        key = (member.arch, member.key)
        if key in self._known:
            return self._known[key]
        made = untrained_network(member, self._space, self._task, self._seed)
        size = sum(parameter.numel() for parameter in made.parameters())
        if size <= self._room:
            self._known[key] = made
            self._room -= size
        return made


def member_name(rank: int, member: Member) -> str:
    """Name a member's files: its place from 1 on, and the beginning of its key."""
    short = re.sub(r"[^A-Za-z0-9_-]", "-", member.key)[:12]
    return f"{rank:03d}-{short}"
