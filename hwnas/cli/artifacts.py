"""Drawings and ONNX files of members at the trials of their study."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from hwnas.cli.output import note

if TYPE_CHECKING:
    from hwnas.pareto import ParetoSet
    from hwnas.typing import Arch, SearchSpace

FOLDER = "artifacts"
"""In the results folder."""


def attach(
    front: ParetoSet,
    space: SearchSpace[Arch],
    onnx: Mapping[str, Path],
    source: str,
    study: str,
    out: Path,
) -> None:
    """Attach to each member's trial its drawing, where it has one, and its ONNX file.

    Args:
        front: the Pareto set.
        space: its search space.
        onnx: files by the text of the architecture.
        source: results folder, or storage of the study.
        study: name of the study.
        out: folder of the results.

    Raises:
        InvalidValueError: there is no such study, e.g. beside a front that was only copied.
    """
    from hwnas.reports.drawing import draw_architecture
    from hwnas.study.hosts import Folder, get_host

    path = Path(source)
    storage = Folder(path.parent if path.is_file() else path).url if path.exists() else source
    with tempfile.TemporaryDirectory() as scratch:
        files: dict[str | int, list[Path]] = {}
        for number, member in enumerate(front.members, start=1):
            files[member.key] = [onnx[member.arch]]
            if svg := draw_architecture(member.arch, space):
                drawing = Path(scratch, f"member-{number}.svg")
                drawing.write_text(svg, encoding="utf-8")
                files[member.key].append(drawing)
            # A trial of an objective of the user's own has no key.
            if isinstance(trial := member.attributes.get("trial"), int):
                files[trial] = files[member.key]
        trials = get_host("optuna").attach(str(storage), study, files, out / FOLDER)
    note(
        f"Files of {trials} trials are in {out / FOLDER}: "
        f"optuna-dashboard {storage} --artifact-dir {out / FOLDER}"
    )
