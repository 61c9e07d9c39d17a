"""The members of a Pareto set as ONNX files that were compared with PyTorch."""

from __future__ import annotations

import csv
import hashlib
import io
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

import onnx

from hwnas import __version__
from hwnas.errors import InvalidValueError
from hwnas.files.atomic import whole_folder, write_bytes, write_text
from hwnas.files.csv_table import as_cell, with_names_of_now
from hwnas.networks.answer import AnsweringAll, AnsweringApart
from hwnas.onnx_export.export import export_onnx
from hwnas.onnx_export.graph_writer import OPSET
from hwnas.onnx_export.outputs import with_outputs
from hwnas.pareto.pareto_set import Member, ParetoSet
from hwnas.reports.untrained import Report, UntrainedNetworks, counted, member_name
from hwnas.runtimes.agreement import verify_onnx
from hwnas.tasks.task import Task
from hwnas.typing import Arch, SearchSpace

TOLERANCE = 1e-4
"""Largest accepted difference of the logits of ONNX Runtime and PyTorch."""
INDEX = "index.csv"


@dataclass(frozen=True)
class OnnxForm:
    """What the files have in common.

    Attributes:
        batch: images of a run; ignored with `dynamic_batch`.
        dynamic_batch: leave the number of images free.
        opset: version of ONNX's operators.
    """

    batch: int = 1
    dynamic_batch: bool = False
    opset: int = OPSET

    @classmethod
    def read(cls, batch: str, opset: int = OPSET) -> OnnxForm:
        """Read a number of images, or ``dynamic``.

        Raises:
            InvalidValueError: it is neither.
        """
        if batch == "dynamic":
            return cls(dynamic_batch=True, opset=opset)
        if not batch.isdecimal() or int(batch) < 1:
            raise InvalidValueError(
                f"`batch` must be a number of images from 1 on, or dynamic, but got {batch!r}."
            )
        return cls(int(batch), opset=opset)


@dataclass(frozen=True)
class OnnxMember:
    """One exported file.

    Attributes:
        file: its path.
        sha256: hash of its content.
        max_abs_diff: largest difference of its logits from PyTorch's on random images.
        arch: text of the architecture.
        key: canonical key.
    """

    file: Path
    sha256: str
    max_abs_diff: float
    arch: str
    key: str


def export_onnx_members(
    pareto_set: ParetoSet,
    space: SearchSpace[Arch],
    task: Task,
    folder: str | os.PathLike[str],
    seed: int = 0,
    form: OnnxForm | None = None,
    report: Report | None = None,
    networks: UntrainedNetworks | None = None,
) -> list[OnnxMember]:
    """Export each member's network, untrained, as ``RANK-KEY.onnx`` with an ``index.csv``.

    The network is built from exactly the member's architecture. Its weights are drawn from a
    seed derived from `seed` and the canonical key, so they do not depend on the other members;
    the statistics of batch norms make one step on Gaussian images, since sums of skips would
    otherwise grow logits beyond what float32 can compare. The state of PyTorch's generator is
    left as it was. Each file's metadata name the architecture, the seed and that the weights are
    untrained.

    Args:
        pareto_set: the set; without members only an index without rows is written.
        space: the search space that its architectures belong to.
        task: what the networks are for.
        folder: where to write, once all of them agree; other files in it are left alone.
        seed: user seed of the weights.
        form: batch and operators of the files; one image and the usual operators if None.
        report: called after each network, e.g. by a progress line.
        networks: where they come from, of the same space, task and seed; None builds them.

    Returns:
        One entry a member, in the set's order.

    Raises:
        HwnasError: an architecture is not of this space, or ONNX Runtime disagrees with PyTorch
            by more than 1e-4.
    """
    target = Path(folder)
    networks = networks or UntrainedNetworks(space, task, seed)
    with whole_folder(target, replace=True) as scratch:
        rows = [
            _export(rank, member, networks, space, task, scratch, seed, form or OnnxForm())
            for rank, member in counted("ONNX files", pareto_set.members, report)
        ]
        write_text(scratch / INDEX, _index(rows))
    return [replace(row, file=target / row.file.name) for row in rows]


def _index(rows: Sequence[OnnxMember]) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(with_names_of_now(field.name for field in fields(OnnxMember)))
    writer.writerows(
        (row.file.name, row.sha256, row.max_abs_diff, as_cell(row.arch), as_cell(row.key))
        for row in rows
    )
    return buffer.getvalue()


def _export(
    rank: int,
    member: Member,
    networks: UntrainedNetworks,
    space: SearchSpace[Arch],
    task: Task,
    folder: Path,
    seed: int,
    form: OnnxForm,
) -> OnnxMember:
    network = networks.network(member)
    model = export_onnx(network, task.input, **asdict(form))
    if isinstance(network, AnsweringAll):
        model = with_outputs(model, network.parts)
        network = AnsweringApart(network.network, network.parts, network.training_parts)
    metadata = {
        "hwnas_version": __version__,
        "hwnas_space": repr(space),
        "hwnas_architecture": member.arch,
        "hwnas_key": member.key,
        "hwnas_weights": f"untrained, drawn from seed {seed}",
    }
    known = {entry.key: entry.value for entry in model.metadata_props}
    onnx.helper.set_model_props(model, known | metadata)
    onnx.checker.check_model(model)
    difference = verify_onnx(model, network, task.input, atol=TOLERANCE, rtol=0.0)
    content = model.SerializeToString(deterministic=True)
    file = folder / f"{member_name(rank, member)}.onnx"
    write_bytes(file, content)
    return OnnxMember(
        file, hashlib.sha256(content).hexdigest(), difference, member.arch, member.key
    )
