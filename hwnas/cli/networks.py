"""The networks of a front as files: ONNX models, and code with weights."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from hwnas.cli.output import note
from hwnas.cli.progress import progress
from hwnas.errors import InvalidValueError
from hwnas.files.csv_table import ARCHITECTURE

if TYPE_CHECKING:
    from hwnas.pareto import ParetoSet
    from hwnas.reports.onnx_members import OnnxForm
    from hwnas.reports.untrained import UntrainedNetworks
    from hwnas.tasks.task import Task
    from hwnas.typing import SearchSpace

Exported = dict[str, Any]
"""A written file and what is known of it, as JSON values."""


@dataclass(frozen=True)
class NetworkExport:
    """Which networks are written.

    Attributes:
        front: the Pareto set.
        space: its search space.
        task: what the networks are for.
        seed: user seed of the weights.
        form: what the ONNX files have in common.
    """

    front: ParetoSet
    space: SearchSpace[Any]
    task: Task
    seed: int
    form: OnnxForm

    @classmethod
    def read(
        cls,
        front: ParetoSet,
        space: str | None,
        classes: int | None,
        image: str | None,
        seed: int | None,
        batch: str,
        opset: int,
    ) -> NetworkExport:
        """Take from the front what the options do not say.

        Raises:
            HwnasError: an option is wrong, or neither they nor the front say what is needed.
        """
        from hwnas.cli.pareto import front_space
        from hwnas.reports.onnx_members import OnnxForm

        form = OnnxForm.read(batch, opset)
        chosen = front.provenance.get("seed", 0) if seed is None else seed
        made = front_space(front, space)
        return cls(front, made, _task(front, classes, image), chosen, form)

    @cached_property
    def _networks(self) -> UntrainedNetworks:
        from hwnas.reports.untrained import UntrainedNetworks
        from hwnas.spaces.networks import Networks
        from hwnas.study.tried import insist_that_they_run

        members = [self.space.parse(member.arch) for member in self.front.members]
        insist_that_they_run(Networks(self.space, self.task), members)
        return UntrainedNetworks(self.space, self.task, self.seed)

    def onnx(self, folder: Path) -> list[Exported]:
        """Write an ONNX file a member."""
        from hwnas.reports.onnx_members import export_onnx_members

        count = len(self.front)
        note(f"Writing {count} ONNX networks, untrained, and comparing them with PyTorch.")
        rows = export_onnx_members(
            self.front,
            self.space,
            self.task,
            folder,
            self.seed,
            self.form,
            progress.count,
            self._networks,
        )
        return [
            {"file": str(r.file), "sha256": r.sha256, "max_abs_diff": r.max_abs_diff}
            | {ARCHITECTURE: r.arch}
            for r in rows
        ]

    def code(self, folder: Path) -> list[Exported]:
        """Write code, weights and choices of each member, and the script that trains them."""
        from hwnas.reports.code_members import NETWORK, export_code_members
        from hwnas.torch_source.scripts import scripts

        note(f"Writing {len(self.front)} networks as PyTorch code, and comparing what it builds.")
        rows = export_code_members(
            self.front,
            self.space,
            self.task,
            folder,
            self.seed,
            progress.count,
            self._networks,
        )
        return [
            *(
                {"file": str(r.folder / NETWORK), "needs_hwnas": r.needs_hwnas}
                | {ARCHITECTURE: r.arch}
                for r in rows
            ),
            *({"file": str(folder / name)} for name in scripts(self.task)),
        ]


def _task(front: ParetoSet, classes: int | None, image: str | None) -> Task:
    from hwnas.networks.importing import parse_in_shape
    from hwnas.study.configuration import recorded_task
    from hwnas.tasks.task import image_task

    task = recorded_task(front.provenance)
    if task is not None and classes is None and image is None:
        return task
    known = {} if task is None else task.settings
    K = known.get("num_classes") if classes is None else classes
    shape = known.get("in_shape") if image is None else parse_in_shape(image)
    missing = [o for o, v in (("`--classes`", K), ("`--input`", shape)) if v is None]
    if missing:  # No default could be right for every search.
        raise InvalidValueError(
            f"{' and '.join(missing)} must be given, e.g. --classes 10 --input 3,32,32: the Pareto "
            f"set does not say what it was made for."
        )
    return image_task(cast(int, K), cast(Any, shape))
