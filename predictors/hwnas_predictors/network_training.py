"""Training of small networks on the CPU, equal for equal seeds, and their weights as arrays."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import numpy.typing as npt
import torch
from torch import Tensor, nn

from hwnas.typing import FloatArray

PREDICTION_BATCH = 2048
_WEIGHT = "weight_"
Network = TypeVar("Network", bound=nn.Module)


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
    """Set the weights that `weights_of` gave, in a network without memory of its own.

    Raises:
        RuntimeError: names or shapes are other ones.
    """
    found = {n.removeprefix(_WEIGHT): v for n, v in arrays.items() if n.startswith(_WEIGHT)}
    kinds = {name: value.dtype for name, value in network.state_dict().items()}
    weights = {n: torch.from_numpy(v).to(kinds.get(n, torch.float32)) for n, v in found.items()}
    network.load_state_dict(weights, assign=True)
    network.eval()


def declared(make: Callable[[], Network], arrays: Mapping[str, npt.NDArray[Any]]) -> Network:
    """Make the network of a file, of the weights in it and nothing else.

    Its settings may declare any size: nothing is allocated before the shapes agree.

    Args:
        make: makes the untrained network.
        arrays: arrays of the file.

    Raises:
        RuntimeError: the weights are of another network.
    """
    with torch.device("meta"):
        network = make()
    set_weights(network, arrays)
    return network
