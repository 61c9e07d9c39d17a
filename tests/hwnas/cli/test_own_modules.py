"""Commands import the modules of a user in a child process first, which may end or never end."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import hwnas.cli
from hwnas.cli import main

IMPORTERS = {"named_space", "permit", "is_function", "sized_text", "load_model", "import_attribute"}
"""What imports a module that the user names, in the process that calls it."""
AFTER_A_CHILD = {
    "options.chosen_networks", "options.names_function", "options.users_space",
    "worker.worker", "pareto._space_of", "predict_files.open_predictors",
}  # fmt: skip
"""What asks `names_function` first, which imports in a child."""
WITH_A_CHOSEN_SPACE = {"listing._show_agreement", "score._score_space"}
"""What gets the text that `chosen_networks` gave."""
IN_A_CHILD = {
    "profiling.import_into", "profiling._architecture", "profiling._own_model",
    "score._score_model",
}  # fmt: skip
"""What is called there alone."""


def importing_functions() -> Iterator[str]:
    """Yield the functions of the commands that call what imports."""
    for path in Path(hwnas.cli.__file__).parent.glob("*.py"):
        for function in ast.walk(ast.parse(path.read_text())):
            if isinstance(function, ast.FunctionDef):
                named = {n.id for n in ast.walk(function) if isinstance(n, ast.Name)}
                if named & IMPORTERS:
                    yield f"{path.stem}.{function.name}"


def test_no_command_imports_a_users_module_before_a_child_has() -> None:
    assert set(importing_functions()) == AFTER_A_CHILD | WITH_A_CHOSEN_SPACE | IN_A_CHILD


OWN = "module_that_exits:build"
SIZED = f"{OWN}:input=1x8x8,classes=2"
COMMANDS = (
    ("rank", "--space", OWN, "--input", "1,8,8", "--classes", "2", "--sample", "4"),
    ("predict", "support", "--space", SIZED, "-n", "3"),
    ("costs", "--space", SIZED),
)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_module_that_ends_its_process_is_one_line(
    command: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "module_that_exits.py").write_text("import os\nos._exit(7)\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stopped:
        main([*command])
    assert stopped.value.code == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert "ended its process: EXIT(7)" in last
