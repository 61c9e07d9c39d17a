"""The OptunaHub package has the registry's form and works."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.programs import Programs

PACKAGE = Path(__file__).parents[2] / "plugins/optunahub/hardware_aware_nas"
# What the registry's template asks for.
KEYS = {"author", "title", "description", "tags", "optuna_versions", "license"}


def test_the_package_has_the_form_of_the_registry() -> None:
    files = {path.name for path in PACKAGE.iterdir() if path.is_file()}
    assert files == {"README.md", "__init__.py", "example.py", "requirements.txt", "LICENSE"}
    text = (PACKAGE / "README.md").read_text()
    matter = re.match(r"---\n(.*?)\n---\n", text, flags=re.DOTALL)
    assert matter is not None
    keys = dict(line.split(": ", 1) for line in matter[1].splitlines())
    assert set(keys) == KEYS
    for heading in ("Abstract", "APIs", "Installation", "Example"):
        assert f"\n## {heading}\n" in text
    root = Path(__file__).parents[2]
    assert (PACKAGE / "LICENSE").read_text() == (root / "LICENSE").read_text()


def test_the_example_loads_the_package_and_proposes_no_cell_twice(
    tmp_path: Path, programs: Programs
) -> None:
    # The submodule: the folder `plugins/optunahub` alone looks like a package of that name.
    pytest.importorskip("optunahub.hub", reason="optunahub is not installed")
    done = programs.run(str(PACKAGE / "example.py"), "12", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    cells = [line.partition("] ")[2] for line in done.stdout.splitlines()]
    assert cells
    assert len(set(cells)) == len(cells)
