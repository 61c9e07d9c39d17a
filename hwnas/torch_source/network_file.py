"""The text of a `network.py`: what it imports, and the code of the network."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any

from hwnas import __version__

_IMPORTS = {
    "math.": "import math",
    "operator.": "import operator",
    "OrderedDict(": "from collections import OrderedDict",
    "torch.": "import torch",
    "F.": "import torch.nn.functional as F",
}
_USE = """
    from network import build

    network = build()
    network.load_state_dict(torch.load("weights.pt", weights_only=True))
"""


def plain_file(code: str, title: str, task: str) -> str:
    """Write a module of code that needs PyTorch alone.

    Args:
        code: what `network_code` gave.
        title: what the network is, without a full stop.
        task: what it is for.
    """
    used = [line for name, line in _IMPORTS.items() if _uses(code, name)]
    standard = [line for line in used if "torch" not in line]
    names = "Tensor, nn" if "Tensor" in code else "nn"
    torch_lines = [line for line in used if "torch" in line] + [f"from torch import {names}"]
    imports = "\n\n".join("\n".join(group) for group in (standard, torch_lines) if group)
    head = _head(f"{title}: plain PyTorch, written by hwnas {__version__}.", task)
    return f"{head}\nfrom __future__ import annotations\n\n{imports}\n\n\n{code}"


def importing_file(space: str, arch: str, task: Mapping[str, Any], title: str, reason: str) -> str:
    """Write a module that builds a network by hwnas.

    Args:
        space: text of the search space.
        arch: text of the architecture.
        task: what it is for, as `Task.as_dict` gives it.
        title: what the network is, without a full stop.
        reason: why it is not plain code.
    """
    why = " ".join(reason.split()).replace("\\", "/").replace('"', "'")
    told = f"{title}: needs hwnas, since it holds what is not written as plain PyTorch: {why}."
    return f'''{_head(told, "")}
from __future__ import annotations

from torch import nn

from hwnas.spaces.rebuild import rebuild


def build() -> nn.Module:
    """Build the network with weights that PyTorch draws."""
    return rebuild(
        space={space!r},
        arch={arch!r},
        task={dict(task)!r},
    )
'''


def _head(first: str, task: str) -> str:
    lines = textwrap.wrap(first, 96)
    more = f"\nIt gives {task}.\n" if task else ""
    return '"""' + "\n".join(lines) + f'\n{more}{_USE}"""\n'


def _uses(code: str, name: str) -> bool:
    """Find a name that does not end another one, e.g. ``F.`` but not ``self.F.``."""
    parts = code.split(name)[:-1]
    return any(not part or not (part[-1].isalnum() or part[-1] in "_.") for part in parts)
