"""The notebooks run as they stand, with fewer trials, and show what they gave."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.programs import Programs

NOTEBOOKS = sorted((Path(__file__).parents[1] / "docs/notebooks").glob("*.ipynb"))
SMALLER = {r"trials=\d+": "trials=4", r"max_seconds=0\.\d": "max_seconds=0.05", r"12\)": "3)"}
COMPUTED = 1
"""The cell of each notebook whose last value no measurement has a part in."""
# What a notebook does with the last value of a cell.
SHOW = f"""
def _show(value, cell):
    text = value._repr_html_() if hasattr(value, "_repr_html_") else repr(value)
    assert value is None or text
    if cell == {COMPUTED}:
        print("COMPUTED", "".join(repr(value).split()))
"""


def code_cells(path: Path) -> list[dict[str, Any]]:
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return [cell for cell in cells if cell["cell_type"] == "code"]


def script(path: Path) -> str:
    """Write a notebook's code as one script in which last values are shown."""
    body = ast.parse(SHOW).body
    for place, cell in enumerate(code_cells(path)):
        text = "".join(cell["source"])
        for found, less in SMALLER.items():
            text = re.sub(found, less, text)
        statements = ast.parse(text).body
        if isinstance(last := statements[-1], ast.Expr):
            show = ast.Name("_show", ast.Load())
            statements[-1] = ast.Expr(ast.Call(show, [last.value, ast.Constant(place)], []))
        body += statements
    return ast.unparse(ast.fix_missing_locations(ast.Module(body, [])))


def test_there_are_two() -> None:
    assert {path.stem for path in NOTEBOOKS} == {"optuna_study", "ten_measurements"}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_code_runs_and_computes_what_is_shown(
    path: Path, tmp_path: Path, programs: Programs
) -> None:
    done = programs.run("-c", script(path), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (shown,) = code_cells(path)[COMPUTED]["outputs"]
    assert f"COMPUTED {''.join(''.join(shown['data']['text/plain']).split())}\n" in done.stdout


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_what_it_gave_is_shown_and_speaks_of_no_machine(path: Path) -> None:
    cells = code_cells(path)
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell["outputs"]]
    assert {output["output_type"] for output in outputs} <= {
        "stream", "execute_result", "display_data",
    }  # fmt: skip
    assert {output.get("name", "stdout") for output in outputs} == {"stdout"}
    kinds = {kind for output in outputs for kind in output.get("data", {})}
    assert kinds >= {"image/png", "text/html"}
    assert not re.search(r"\"/(?:home|tmp|root|opt|work)/|site-packages", json.dumps(outputs))
    assert path.stat().st_size < 300_000
