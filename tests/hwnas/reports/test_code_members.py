from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
from torch import Tensor, nn

from hwnas.errors import InvalidArchitectureError, InvalidValueError
from hwnas.pareto import ObjectiveInfo, ParetoSet
from hwnas.pareto.pareto_set import Member
from hwnas.reports import untrained
from hwnas.reports.code_members import export_code_members
from hwnas.reports.onnx_members import OnnxForm, export_onnx_members
from hwnas.runtimes.agreement import verify_onnx
from hwnas.spaces.assignments import Assignment, AssignmentSpace
from hwnas.spaces.nasbench201 import NasBench201, parse_cell
from hwnas.spaces.options import Choose, Options
from hwnas.spaces.space_text import named_space
from hwnas.tasks.task import Task, image_task
from hwnas.torch_source.network_file import importing_file
from hwnas.typing import SearchSpace

TASK = image_task(3, (3, 8, 8))
SPACE = NasBench201(channels=4, cells=1)
CELLS = tuple(
    map(
        parse_cell,
        (
            "|nor_conv_3x3~0|+|avg_pool_3x3~0|nor_conv_1x1~1|+|skip_connect~0|none~1|nor_conv_3x3~2|",
            "|nor_conv_3x3~0|+|none~0|none~1|+|nor_conv_1x1~0|none~1|none~2|",
        ),
    )
)


class Signed(nn.Module):
    """Depends on its data, so that it is not written as plain code."""

    def forward(self, x: Tensor) -> Tensor:
        return x if x.sum() > 0 else -x


@dataclass(frozen=True)
class Own(AssignmentSpace):
    """Networks of one's own, some of which cannot be traced."""

    name: str = field(default="own", init=False, repr=False)
    default_task: Task = field(default=TASK, init=False, repr=False)

    def ask(self, choose: Choose) -> Any:
        return choose("width", Options((4, 8), ordered=True)), choose("signed", Options((0, 1)))

    def build(self, arch: Assignment, task: Task | None = None) -> nn.Module:
        width, signed = self.asked(arch)
        del task
        middle = (Signed(),) if signed else ()
        return nn.Sequential(nn.Flatten(), *middle, nn.Linear(192, width), nn.Linear(width, 3))


def pareto_set(archs: tuple[object, ...] = CELLS, space: SearchSpace[Any] = SPACE) -> ParetoSet:
    keys = [f"key/{i}" for i in range(len(archs))]
    values = [[i, -i] for i in range(len(archs))]
    infos = [ObjectiveInfo("a"), ObjectiveInfo("b", "ms")]
    return ParetoSet.from_values(archs, keys, values, infos, space=space)


def built(folder: Path) -> nn.Module:
    spec = importlib.util.spec_from_file_location("network", folder / "network.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    network: nn.Module = module.build()
    network.load_state_dict(torch.load(folder / "weights.pt", weights_only=True))
    return network.eval()


def test_code_and_weights_are_the_network_of_the_onnx_file(tmp_path: Path) -> None:
    rows = export_code_members(pareto_set(), SPACE, TASK, tmp_path / "code", seed=5)
    models = export_onnx_members(pareto_set(), SPACE, TASK, tmp_path / "onnx", seed=5)
    assert [row.needs_hwnas for row in rows] == ["", ""]
    for row, model in zip(rows, models, strict=True):
        network = built(row.folder)
        assert row.folder.name == model.file.stem
        assert verify_onnx(onnx.load(model.file), network, (3, 8, 8), atol=1e-5, rtol=0) <= 1e-5


@pytest.mark.parametrize(("kept", "builds"), [(2**26, 2), (0, 4)])
def test_networks_that_are_kept_are_built_once_and_give_the_same_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept: int, builds: int
) -> None:
    alone = export_code_members(pareto_set(), SPACE, TASK, tmp_path / "alone", seed=5)
    built_for: list[str] = []
    make = untrained.untrained_network

    def counted(member: Member, *rest: Any) -> nn.Module:
        built_for.append(member.key)
        return make(member, *rest)

    monkeypatch.setattr(untrained, "untrained_network", counted)
    monkeypatch.setattr(untrained, "_KEPT", kept)
    networks = untrained.UntrainedNetworks(SPACE, TASK, 5)
    form = OnnxForm()
    export_onnx_members(pareto_set(), SPACE, TASK, tmp_path / "onnx", 5, form, networks=networks)
    rows = export_code_members(pareto_set(), SPACE, TASK, tmp_path / "code", 5, networks=networks)
    assert len(built_for) == builds
    for row, other in zip(rows, alone, strict=True):
        states = [torch.load(r.folder / "weights.pt", weights_only=True) for r in (row, other)]
        assert all(torch.equal(states[0][name], tensor) for name, tensor in states[1].items())


def test_the_code_says_nothing_of_hwnas_but_that_it_wrote_it(tmp_path: Path) -> None:
    (row, _) = export_code_members(pareto_set(), SPACE, TASK, tmp_path / "code")
    text = (row.folder / "network.py").read_text()
    assert "import hwnas" not in text
    assert "from hwnas" not in text
    assert text.startswith('"""Network 1 of a front: plain PyTorch, written by hwnas')


def test_choices_say_what_was_chosen_and_for_what(tmp_path: Path) -> None:
    rows = export_code_members(pareto_set(), SPACE, TASK, tmp_path / "code", seed=5)
    choices = json.loads((rows[1].folder / "choices.json").read_text())
    assert choices["architecture"] == str(CELLS[1])
    assert choices["member"] == 2
    assert SPACE.decode(choices["parameters"]) == CELLS[1]
    assert choices["space"] == repr(SPACE)
    assert Task.from_dict(choices["task"]) == TASK
    assert choices["seed"] == 5
    assert [(o["name"], o["unit"], o["value"]) for o in choices["objectives"]] == [
        ("a", "", 1.0),
        ("b", "ms", -1.0),
    ]
    weights = torch.load(rows[1].folder / "weights.pt", weights_only=True)
    named = SPACE.build(CELLS[1], TASK).named_parameters()
    assert choices["params"] == sum(weights[name].numel() for name, _ in named)


def test_what_is_not_plain_imports_its_space_and_says_why(tmp_path: Path) -> None:
    space = named_space(f"{__name__}:Own")
    archs = tuple(space.decode({"width": 4, "signed": s}) for s in (1, 0))
    rows = export_code_members(pareto_set(archs, space), space, TASK, tmp_path / "code")
    assert "Signed cannot be traced" in rows[0].needs_hwnas
    assert rows[1].needs_hwnas == ""
    text = (rows[0].folder / "network.py").read_text()
    assert text.count("from hwnas") == 1
    assert "Signed cannot be traced" in " ".join(text.split())
    assert json.loads((rows[0].folder / "choices.json").read_text())["needs_hwnas"]
    assert type(built(rows[0].folder).get_submodule("1")).__name__ == "Signed"


def test_a_registered_space_is_rebuilt_in_another_process(tmp_path: Path) -> None:
    text = importing_file(repr(SPACE), str(CELLS[0]), TASK.as_dict(), "A network", 'a "reason"\\')
    (tmp_path / "network.py").write_text(text)
    command = "from network import build; print(sum(p.numel() for p in build().parameters()))"
    done = subprocess.run(
        [sys.executable, "-c", command], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    expected = sum(p.numel() for p in SPACE.build(CELLS[0], TASK).parameters())
    assert done.stdout.strip() == str(expected), done.stderr


def test_the_folder_is_whole_or_not_there(tmp_path: Path) -> None:
    with pytest.raises(InvalidArchitectureError):
        export_code_members(pareto_set((CELLS[0], "x")), SPACE, TASK, tmp_path / "code")
    assert not list(tmp_path.iterdir())


def test_an_equal_export_changes_nothing_and_a_different_one_is_refused(tmp_path: Path) -> None:
    target = tmp_path / "code"
    export_code_members(pareto_set(), SPACE, TASK, target)
    (target / "001-key-0" / "weights.pt").unlink()
    (target / "notes.txt").write_text("mine")
    before = {p: p.read_bytes() for p in target.rglob("*") if p.is_file()}
    export_code_members(pareto_set(), SPACE, TASK, target)
    assert {p: p.read_bytes() for p in before} == before
    assert (target / "001-key-0" / "weights.pt").is_file()
    with pytest.raises(InvalidValueError, match=r"choices\.json is another"):
        export_code_members(pareto_set(), SPACE, TASK, target, seed=1)
    assert {p: p.read_bytes() for p in before} == before
    assert [p.name for p in tmp_path.iterdir()] == ["code"]


def test_an_empty_set_gives_the_script_alone(tmp_path: Path) -> None:
    assert export_code_members(pareto_set(()), SPACE, TASK, tmp_path / "code") == []
    names = sorted(p.name for p in (tmp_path / "code").iterdir())
    assert names == ["train.py", "train_data.py"]
