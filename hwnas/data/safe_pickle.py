"""Reading published pickles and PyTorch files without running what they hold.

A pickle names the functions that rebuild its objects. Only those of plain numpy numbers and
arrays are admitted here, and in a PyTorch file those of tensors; any other name is refused before
it is imported.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from hwnas.errors import DataFormatError

Admitted = Mapping[tuple[str, str], Any]
"""What a pickle may name: (module, name) -> the object it gets."""


def _latin1(text: str, encoding: str) -> bytes:
    """Do what `_codecs.encode` is called for in old pickles, and nothing else."""
    if encoding not in ("latin1", "latin-1"):
        raise pickle.UnpicklingError(f"the encoding {encoding!r} is not admitted")
    return text.encode("latin-1")


def _numbers() -> Admitted:
    multiarray = np._core.multiarray  # type: ignore[attr-defined]
    table: dict[tuple[str, str], Any] = {
        ("numpy", "dtype"): np.dtype,
        ("numpy", "ndarray"): np.ndarray,
        ("_codecs", "encode"): _latin1,
    }
    for package in ("numpy.core", "numpy._core"):
        for name in ("scalar", "_reconstruct"):
            table[f"{package}.multiarray", name] = getattr(multiarray, name)
    return table


ADMITTED = _numbers()
"""What every pickle may name."""


class _Unpickler(pickle.Unpickler):
    def __init__(self, stream: BinaryIO, admitted: Admitted) -> None:
        super().__init__(stream)
        self._admitted = admitted

    def find_class(self, module_name: str, global_name: str) -> Any:
        """Give an admitted object; every other name is refused."""
        try:
            return self._admitted[module_name, global_name]
        except KeyError:
            raise pickle.UnpicklingError(
                f"it names {module_name}.{global_name}, which is not admitted"
            ) from None


def load_pickle(path: Path, stand_ins: Admitted | None = None) -> Any:
    """Read a pickle of plain values and numpy numbers.

    Args:
        path: the file.
        stand_ins: what further names get, e.g. a class that only keeps what was pickled.

    Returns:
        Its object: built-in containers, texts, numbers, numpy scalars and arrays.

    Raises:
        DataFormatError: the file is empty, cut off or no pickle, or names anything else than
            numpy's numbers and arrays.
    """
    with path.open("rb") as stream:
        try:
            return _Unpickler(stream, {**ADMITTED, **(stand_ins or {})}).load()
        except Exception as error:  # a damaged pickle can raise nearly anything
            raise DataFormatError(
                f"`{path}` must be a complete pickle of plain numbers, but reading it failed: "
                f"{error or type(error).__name__}. Fetch the file again."
            ) from error


def load_torch(path: Path) -> Any:
    """Read a PyTorch file of plain values, numpy numbers and tensors.

    Args:
        path: the file.

    Returns:
        Its object, as `load_pickle` gives it, with tensors on the CPU.

    Raises:
        DataFormatError: the file is empty, cut off or no such file, or names anything else.
    """
    import torch

    kinds = {type(np.dtype(kind)) for kind in (np.int64, np.float64)}
    named = [(value, f"{module}.{name}") for (module, name), value in ADMITTED.items()]
    try:
        with torch.serialization.safe_globals([*named, *kinds]):
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file can raise nearly anything
        reason = (str(error) or type(error).__name__).partition("\n")[0]
        raise DataFormatError(
            f"`{path}` must be a complete PyTorch file of plain numbers, but reading it failed: "
            f"{reason} Fetch the file again."
        ) from error
