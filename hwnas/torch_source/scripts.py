"""The files that train an export: modules of this package that need PyTorch and NumPy alone."""

from __future__ import annotations

import inspect

from hwnas.tasks.task import AllOutputs, Task
from hwnas.torch_source import train, train_data


def scripts(task: Task) -> dict[str, str]:
    """Give the files by name: the modules as they are, but that they import each other alone.

    There is none for networks that answer by all that they return: hwnas knows no loss of it.
    """
    if isinstance(task.output, AllOutputs):
        return {}
    modules = {"train.py": train, "train_data.py": train_data}
    package = f"{__package__}."
    return {name: inspect.getsource(m).replace(package, "") for name, m in modules.items()}
