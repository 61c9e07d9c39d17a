"""The members of a Pareto set as code and weights, with a script that trains them."""

from __future__ import annotations

import io
import json
import os
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from hwnas import __version__
from hwnas.files.atomic import whole_folder, write_bytes, write_text
from hwnas.files.csv_table import ARCHITECTURE
from hwnas.networks.answer import as_built
from hwnas.pareto.pareto_set import Member, ParetoSet
from hwnas.pareto.provenance import plain
from hwnas.reports.untrained import Report, UntrainedNetworks, counted, member_name
from hwnas.spaces.space_text import written_space
from hwnas.tasks.batch import draw_inputs
from hwnas.tasks.task import Task
from hwnas.torch_source.expressions import NotWritableError
from hwnas.torch_source.network_code import network_code
from hwnas.torch_source.network_file import importing_file, plain_file
from hwnas.torch_source.proof import check_source
from hwnas.torch_source.scripts import scripts
from hwnas.typing import Arch, SearchSpace

NETWORK, WEIGHTS, CHOICES = "network.py", "weights.pt", "choices.json"
FORMAT, SCHEMA = "hwnas.member", 2


@dataclass(frozen=True)
class CodeMember:
    """One exported network.

    Attributes:
        folder: holds `network.py`, `weights.pt` and `choices.json`.
        arch: text of the architecture.
        key: canonical key.
        needs_hwnas: why the code imports hwnas; empty where it is plain PyTorch.
    """

    folder: Path
    arch: str
    key: str
    needs_hwnas: str


def export_code_members(
    pareto_set: ParetoSet,
    space: SearchSpace[Arch],
    task: Task,
    folder: str | os.PathLike[str],
    seed: int = 0,
    report: Report | None = None,
    networks: UntrainedNetworks | None = None,
) -> list[CodeMember]:
    """Write a folder a member, ``RANK-KEY``, and beside them the script that trains them.

    Networks that answer by all that they return are trained by their user's own code, and their
    code returns what they do.

    `network.py` has a function ``build() -> nn.Module``. It is plain PyTorch where the network can
    be traced and made of PyTorch's modules, which is proven by its state, its number of parameters
    and its outputs; else it imports hwnas and says why. `weights.pt` is the state of the untrained
    network, the same as in its ONNX file; `choices.json` says what was chosen, for what, and the
    objectives' values.

    Args:
        pareto_set: the set.
        space: the search space that its architectures belong to.
        task: what the networks are for.
        folder: appears with all files, or not at all; files that it has are left as they are.
        seed: user seed of the weights.
        report: called after each network, e.g. by a progress line.
        networks: where they come from, of the same space, task and seed; None builds them.

    Returns:
        One entry a member, in the set's order.

    Raises:
        HwnasError: an architecture is not of this space.
        InvalidValueError: the folder cannot be written, or has other files of these names.
    """
    target = Path(folder)
    networks = networks or UntrainedNetworks(space, task, seed)
    with whole_folder(target) as scratch:
        rows = [
            _export(rank, member, networks, pareto_set, space, task, scratch, seed)
            for rank, member in counted("PyTorch code", pareto_set.members, report)
        ]
        for name, text in scripts(task).items():
            write_text(scratch / name, text)
    return [CodeMember(target / name, m.arch, m.key, why) for name, m, why in rows]


def _export(
    rank: int,
    member: Member,
    networks: UntrainedNetworks,
    pareto_set: ParetoSet,
    space: SearchSpace[Arch],
    task: Task,
    scratch: Path,
    seed: int,
) -> tuple[str, Member, str]:
    network = as_built(networks.network(member))
    name = member_name(rank, member)
    source, why = _source(network, member, space, task, f"Network {rank} of a front")
    parameters = sum(parameter.numel() for parameter in network.parameters())
    choices = {
        "format": FORMAT,
        "schema": SCHEMA,
        "member": rank,
        ARCHITECTURE: member.arch,
        "key": member.key,
        "parameters": dict(space.encode(space.parse(member.arch))),
        "space": written_space(space),
        "task": task.as_dict(),
        "objectives": [
            {"name": o.name, "unit": o.unit, "direction": o.direction, "value": value}
            for o, value in zip(pareto_set.objectives, member.values, strict=True)
        ],
        "attributes": member.attributes,
        "params": parameters,
        "seed": seed,
        "weights": f"untrained, drawn from seed {seed}",
        "needs_hwnas": why,
        "hwnas_version": __version__,
    }
    write_text(scratch / name / NETWORK, source)
    write_bytes(scratch / name / WEIGHTS, _state(network))
    text = json.dumps(plain(choices), indent=1, ensure_ascii=False)
    write_text(scratch / name / CHOICES, f"{text}\n")
    return name, member, why


def _source(
    network: nn.Module, member: Member, space: SearchSpace[Arch], task: Task, title: str
) -> tuple[str, str]:
    """Give plain code and nothing, or code that imports hwnas and the reason."""
    try:
        source = plain_file(network_code(network), title, str(task))
        check_source(source, network, draw_inputs(task.input, 4, torch.Generator()))
    except NotWritableError as error:
        why = str(error)
        text = importing_file(written_space(space), member.arch, task.as_dict(), title, why)
        return text, why
    return source, ""


def _state(network: nn.Module) -> bytes:
    """Give a file that `torch.load` reads with ``weights_only=True``."""
    buffer = io.BytesIO()
    torch.save(dict(network.state_dict()), buffer)
    return buffer.getvalue()
