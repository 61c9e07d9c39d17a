"""Pools of devices that come with the package, one file a search space.

`python -m benchmarks.predictors.ship` makes the files from HELP's published latencies (Lee et al.,
NeurIPS 2021; MIT licence). A file holds the prior alone: principal components of the devices, the
scales of features, and for FBNet the MACs of each choice. No published latency can be read from it.
"""

from __future__ import annotations

from importlib import resources
from typing import Any

from hwnas.errors import DataNotFoundError
from hwnas.files.predictor_file import PredictorFile, read_predictor_file
from hwnas.typing import SearchSpace


def pool_names() -> list[str]:
    """Name the spaces of which a pool comes with the package."""
    files = (file.name for file in resources.files(__name__).iterdir())
    return sorted(name.removesuffix(".npz") for name in files if name.endswith(".npz"))


def shipped_pool(space: SearchSpace[Any]) -> PredictorFile:
    """Read the pool of a search space.

    Raises:
        DataNotFoundError: there is none.
        InvalidValueError: the pool's networks had other settings, e.g. other channels.
    """
    if space.name not in pool_names():
        raise DataNotFoundError(
            f"`space` must be one of {', '.join(pool_names())}, for which a pool of devices comes "
            f"with hwnas, but got {space.name!r}: train one with `hwnas predict train` and give it "
            f"with --model, or begin with `TransferPredictor.without_pool`."
        )
    with resources.as_file(resources.files(__name__) / f"{space.name}.npz") as path:
        file = read_predictor_file(path)
    file.require(space=repr(space))
    return file
