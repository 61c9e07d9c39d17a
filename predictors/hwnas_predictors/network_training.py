"""Training of small networks on the CPU, equal for equal seeds, and their weights as arrays."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from hwnas.errors import InvalidValueError
from hwnas.typing import FloatArray

PREDICTION_BATCH = 2048
_WEIGHT = "weight_"


@contextmanager
def seeded(seed: int) -> Iterator[torch.Generator]:
    """Seed what draws from torch's global state, and leave that state as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield torch.default_generator


def minimise(
    network: nn.Module,
    loss: Callable[[Tensor], Tensor],
    n: int,
    *,
    epochs: int,
    batch: int,
    rate: float,
) -> None:
    """Train with AdamW and a learning rate that falls to 0 along a cosine.

    Args:
        network: what is trained, left in evaluation mode.
        loss: gives the mean loss of samples by their numbers.
        n: number of samples.
        epochs: passes over the samples.
        batch: samples a step.
        rate: first learning rate.
    """
    optimizer = torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=5e-4)
    steps = epochs * -(-n // batch)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    network.train()
    for _ in range(epochs):
        for rows in torch.split(torch.randperm(n), batch):
            optimizer.zero_grad()
            torch.autograd.backward(loss(rows))
            optimizer.step()
            schedule.step()
    network.eval()


@torch.no_grad()
def outputs(network: nn.Module, inputs: Sequence[Tensor]) -> FloatArray:
    """Give the outputs for all rows of the inputs as float64."""
    chunks = zip(*(torch.split(tensor, PREDICTION_BATCH) for tensor in inputs), strict=True)
    found = [network(*chunk) for chunk in chunks]
    return torch.cat(found).double().numpy()


def weights_of(network: nn.Module) -> dict[str, npt.NDArray[Any]]:
    """Give the weights as arrays for a predictor file."""
    return {_WEIGHT + name: value.numpy() for name, value in network.state_dict().items()}


def set_weights(network: nn.Module, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
    """Set the weights that `weights_of` gave."""
    found = {n.removeprefix(_WEIGHT): v for n, v in arrays.items() if n.startswith(_WEIGHT)}
    network.load_state_dict({name: torch.from_numpy(value) for name, value in found.items()})
    network.eval()


def known_costs(costs: npt.ArrayLike, n: int) -> tuple[FloatArray, npt.NDArray[np.bool_]]:
    """Give costs of one device as `(n,)`, and which of them are there.

    Raises:
        InvalidValueError: the shape differs, a cost is not positive, or fewer than two are there.
    """
    values = np.asarray(costs, dtype=np.float64)
    if values.shape != (n,):
        raise InvalidValueError(
            f"`costs` must have one value an architecture, ({n},), but got {values.shape}."
        )
    known = ~np.isnan(values)
    if known.sum() < 2 or not (np.isfinite(values[known]) & (values[known] > 0)).all():
        raise InvalidValueError(
            f"`costs` must be positive and at least two, but got {values[known].tolist()[:5]}."
        )
    return values, known
