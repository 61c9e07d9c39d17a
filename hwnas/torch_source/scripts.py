"""The files that train an export: modules of this package that need PyTorch and NumPy alone."""

from __future__ import annotations

import inspect

from hwnas.torch_source import train, train_data


def scripts() -> dict[str, str]:
    """Give the files by name: the modules as they are, but that they import each other alone."""
    modules = {"train.py": train, "train_data.py": train_data}
    package = f"{__package__}."
    return {name: inspect.getsource(m).replace(package, "") for name, m in modules.items()}
