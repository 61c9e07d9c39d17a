"""The contract tests in the tests of another package, which know nothing of this one's."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

GUIDE = Path(__file__).parents[2] / "docs" / "own_space.md"
PROXY = """
import pytest
from hwnas.testing import ProxyContract


class Upwards:
    name, direction, needs = "upwards", "up", frozenset()

    def score(self, signals):
        return 1.0


class TestUpwards(ProxyContract):
    @pytest.fixture
    def proxy(self):
        return Upwards()
"""


def test_the_guide_s_space_passes_and_what_fails_says_what_was_compared(tmp_path: Path) -> None:
    blocks = re.findall(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    space, contract = (next(b for b in blocks if part in b) for part in ("ask(self", "Contract"))
    (tmp_path / "my_space.py").write_text(space)
    (tmp_path / "test_my_space.py").write_text(contract)
    (tmp_path / "test_my_proxy.py").write_text(PROXY)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    failed = re.findall(r"^FAILED .*::(\w+)", done.stdout, re.MULTILINE)
    assert failed == ["test_facts", "test_repr_states_the_settings"], done.stdout
    assert "assert 'up' in (" in done.stdout
