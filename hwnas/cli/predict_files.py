"""Which pool and which predictor the commands of `hwnas predict` work with."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from hwnas.cli.options import names_function, users_space
from hwnas.cli.output import note

if TYPE_CHECKING:
    from hwnas.typing import Arch, SearchSpace

POOLS = ("transfer", "help")
"""Kinds of predictors that know several devices."""


def shipped_pool(space: SearchSpace[Arch]) -> Any | None:
    """Load the pool that comes with the package; None where there is none of the space."""
    from hwnas import registry
    from hwnas.errors import DataNotFoundError

    try:
        return registry.load("predictors", "transfer").shipped(space)
    except DataNotFoundError:
        return None


def looks_at_networks(space: SearchSpace[Arch]) -> bool:
    """Tell whether `train` learns from what networks do: no pool of the space is known.

    Where one is, of whatever settings, choices and graphs say as much.
    """
    from hwnas.errors import InvalidValueError

    try:
        return shipped_pool(space) is None
    except InvalidValueError:
        return False


def own_dataset(space: SearchSpace[Arch]) -> str:
    """Name what the networks of a space of the user's own are for; cifar10 for others."""
    from hwnas import registry
    from hwnas.tasks.catalogue import name_of

    return "cifar10" if space.name in registry.names("spaces") else name_of(space.default_task)


def open_pool(space: str, model: Path | None) -> Any:
    """Load a pool for a space: the user's, or the one that comes with the package.

    Where none comes with it, what is given knows no device and looks at the networks.
    """
    from hwnas import registry
    from hwnas.errors import InvalidValueError

    made: SearchSpace[Any] = users_space(space)
    if model is None:
        if (pool := shipped_pool(made)) is not None:
            return pool
        note(f"No pool of devices of {made.name} is known: costs are told by what its networks do.")
        return registry.load("predictors", "transfer").without_pool(made)
    from hwnas.costs.predictor_source import make_predictor
    from hwnas.files.predictor_file import read_predictor_file
    from hwnas.spaces.space_text import is_own

    if is_own(str(model)) and not model.exists():
        raise InvalidValueError(
            f"`--model` must be a file with a pool of devices, but {str(model)!r} is none: if a "
            f"function builds your networks, give --space {model}:input=3x32x32,classes=10, with "
            f"the sizes of yours."
        )
    content = read_predictor_file(model)
    if content.kind not in POOLS:
        raise InvalidValueError(
            f"`--model` must be a pool of devices, but {str(model)!r} holds one device "
            f"({content.kind}): write a pool with `hwnas predict train --method transfer` or help."
        )
    content.require(space=repr(made))
    return make_predictor(content)


def open_predictors(file: Path, space: str | None) -> dict[str, Any]:
    """Load the predictors of ``FILE`` or ``FILE:COLUMN`` by the name of their column.

    `space` names their search space where that is a class of the user's.
    """
    from hwnas.costs.predictor_source import make_predictor
    from hwnas.files.predictor_columns import read_columns
    from hwnas.spaces.space_text import permit

    if space is not None:
        names_function(space, None)
        permit(space)
    return {name: make_predictor(content) for name, content in read_columns(file).items()}


def open_companion(file: Path, pool: Any) -> Any:
    """Load the predictor that a device's costs may follow, for the networks of the pool."""
    from hwnas.costs.predictor_source import PredictorSource
    from hwnas.costs.source import CostRequest
    from hwnas.errors import InvalidValueError
    from hwnas.tasks.catalogue import get_task

    if pool.kind != "transfer":
        raise InvalidValueError(
            f"`--model` must be a pool of the kind transfer for --beside, but its kind is "
            f"{pool.kind}: train one with `hwnas predict train --method transfer`."
        )
    request = CostRequest(pool.space, None, None, get_task(pool.dataset))
    found = PredictorSource().open(file, request)
    if not hasattr(found, "to_file"):
        raise InvalidValueError(
            f"`--beside` must be a predictor that a file can hold, but {str(file)!r} is none."
        )
    return found
