"""The programs of a bundle: the runner, and what lies beside it for other runtimes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from hwnas.bundles import runner, sessions
from hwnas.runtimes import trtexec


def programs(runtime: str) -> Mapping[str, str]:
    """Give the path here of each program that a bundle of a runtime holds, by its name there."""
    beside = {"sessions.py": sessions.__file__, "trtexec.py": trtexec.__file__}
    own = {} if runtime == runner.FIRST_RUNTIME else beside
    return {**own, runner.RUNNER: runner.__file__}


def as_one_program(runtime: str) -> bytes:
    """Give them as one program that needs no file beside it, e.g. for the standard input."""
    lines = ["import sys, types"]
    for name, path in programs(runtime).items():
        text = json.dumps(Path(path).read_text(encoding="utf-8"))
        if name == runner.RUNNER:
            lines.append(f"exec(compile({text}, {name!r}, 'exec'))")
        else:
            module = name.partition(".")[0]
            lines.append(f"sys.modules[{module!r}] = {module} = types.ModuleType({module!r})")
            lines.append(f"exec(compile({text}, {name!r}, 'exec'), {module}.__dict__)")
    return ("\n".join(lines) + "\n").encode()
