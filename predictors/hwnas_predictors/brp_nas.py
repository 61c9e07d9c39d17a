"""The latency predictors of BRP-NAS (Dudziak et al., NeurIPS 2020): a GCN and an MLP.

Both learn the logarithm of a device's costs, standardised, so errors are relative, with Huber's
loss, since some measurements are far off; the paper learns costs over their maximum with a squared
loss. The GCN is also told which operations are live, which its paper's has to find out.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from hwnas.errors import InvalidValueError
from hwnas.files.predictor_file import PredictorFile
from hwnas.seeding import seeded
from hwnas.spaces.facets import ExactGraphs, facet
from hwnas.typing import Arch, DeviceKey, Direction, FloatArray, SearchSpace
from hwnas_predictors.device_predictor import (
    ANY_DEVICE,
    DevicePredictor,
    known_costs,
    refuse_std,
)
from hwnas_predictors.encodings import one_hot, one_hot_names
from hwnas_predictors.extra_columns import Scores
from hwnas_predictors.gcn import GraphRegression
from hwnas_predictors.graph_batches import graph_batch, graph_labels, live_flags
from hwnas_predictors.network_training import (
    declared,
    minimise,
    outputs,
    weights_of,
)

_DELTA = 0.2
"""Errors, in standard deviations of the log costs, beyond which the loss is linear."""


class NetworkPredictor(DevicePredictor[Arch]):
    """Predicts a positive cost on one device with a network.

    Args:
        space: search space.
        metric: what is counted.
        unit: unit of the costs.
        direction: which costs are better.
        hidden: width of a layer; 600 in the paper.
        layers: layers before the last one; 4 in the paper.
        epochs: passes over the measurements.
        batch: measurements a step.
        rate: first learning rate.
        seed: seed of weights and order.
        extra: counts and proxies that are features too, see `DevicePredictor`.
        dataset: data set of the networks of these features.
        scores: scores of proxies, see `DevicePredictor`.
        data: text that tells the data, kept in files.
    """

    settings = ("hidden", "layers", "epochs", "batch", "rate", "seed")

    def __init__(
        self,
        space: SearchSpace[Arch],
        metric: str = "latency",
        unit: str = "ms",
        direction: Direction = "minimize",
        *,
        hidden: int = 128,
        layers: int = 4,
        epochs: int = 150,
        batch: int = 16,
        rate: float = 2e-3,
        seed: int = 0,
        extra: Sequence[str] = (),
        dataset: str = "cifar10",
        scores: Scores | None = None,
        data: str = "",
    ) -> None:
        super().__init__(
            space, metric, unit, direction, extra=extra, dataset=dataset, scores=scores, data=data
        )
        self.hidden, self.layers, self.epochs = hidden, layers, epochs
        self.batch, self.rate, self.seed = batch, rate, seed
        self._network: nn.Module | None = None
        self._centre, self._scale = 0.0, 1.0

    @abstractmethod
    def make_network(self) -> nn.Module:
        """Make the untrained network."""

    @abstractmethod
    def encode(self, archs: Sequence[Arch]) -> Sequence[Tensor]:
        """Give the network's inputs, `n` rows each."""

    def fit(self, archs: Sequence[Arch], costs: npt.ArrayLike) -> Self:
        """Learn from `(n,)` positive costs in `unit`, NaN where there is no value.

        Raises:
            InvalidValueError: shapes do not match, or there are fewer than two costs.
        """
        values, known = known_costs(costs, len(archs))
        logs = np.log(values[known])
        centre, scale = float(logs.mean()), float(logs.std()) or 1.0
        there = [arch for arch, flag in zip(archs, known, strict=True) if flag]
        self._note_rows(there)
        self._fit_extra(there)
        inputs = self.encode(there)
        targets = torch.from_numpy((logs - centre) / scale).float()
        with seeded(self.seed):
            network = self.make_network()

            def loss(rows: Tensor) -> Tensor:
                found = network(*(tensor[rows] for tensor in inputs))
                return nn.functional.huber_loss(found, targets[rows], delta=_DELTA)

            minimise(
                network, loss, len(targets), epochs=self.epochs, batch=self.batch, rate=self.rate
            )
        self._network, self._centre, self._scale = network, centre, scale
        self._name_device()
        return self

    def predict(self, archs: Sequence[Arch], return_std: bool = False) -> FloatArray:
        """Give `(n,)` costs in `unit`.

        Raises:
            InvalidValueError: `fit` was not called, or standard deviations are wanted.
        """
        refuse_std(self, return_std)
        network = self._require_network()
        if not len(archs):
            return np.zeros(0)
        found: FloatArray = np.exp(
            self._centre + self._scale * outputs(network, self.encode(archs))
        )
        return found

    def to_file(self) -> PredictorFile:
        """Give the content of a predictor file."""
        return self.with_arrays()

    def with_arrays(self, **arrays: npt.NDArray[Any]) -> PredictorFile:
        """Give the content of a predictor file with further arrays."""
        weights = weights_of(self._require_network())
        target = np.array([self._centre, self._scale])
        return self._file({**weights, "target": target, **arrays})

    @classmethod
    def _of_file(cls, file: PredictorFile) -> Self:
        made = cls._unfitted(file, **file.settings)
        made._centre, made._scale = map(float, file.arrays["target"])
        if not 0 <= made.layers <= len(file.arrays):
            raise ValueError(f"it declares {made.layers} layers")
        made._network = declared(made.make_network, file.arrays)
        return made

    def _name_device(self) -> None:
        """Tell one device, which was learned from, from a pool."""
        if self.device == ANY_DEVICE:
            self.device = DeviceKey("measured")

    def _extra_tensor(self, archs: Sequence[Arch]) -> Tensor:
        return torch.from_numpy(self._extra_columns(archs)).float()

    def _require_network(self) -> nn.Module:
        if self._network is None:
            raise InvalidValueError("`fit` must be called first, or a fitted predictor loaded.")
        return self._network


class GcnPredictor(NetworkPredictor[Arch]):
    """The graph convolutional network, on computation graphs.

    Where a space has exact graphs, architectures are taken exactly, with dead operations, as tables
    of NAS-Bench-201 measured them; those of other spaces are taken as their canonical graphs.
    """

    kind = "brp-nas"

    def make_network(self) -> nn.Module:
        """Make the untrained network."""
        return GraphRegression(node_features(self.space), self.hidden, self.layers, len(self.extra))

    def encode(self, archs: Sequence[Arch]) -> Sequence[Tensor]:
        """Give adjacency, features, mask and extra columns."""
        return [*graph_tensors(self.space, archs), self._extra_tensor(archs)]


class MlpPredictor(NetworkPredictor[Arch]):
    """A multilayer perceptron on one-hot choices and extra columns."""

    kind = "mlp"

    def make_network(self) -> nn.Module:
        """Make the untrained network."""
        features = len(one_hot_names(self.space)) + len(self.extra)
        widths = [features, *[self.hidden] * self.layers]
        parts: list[nn.Module] = []
        for before, after in pairwise(widths):
            parts += [nn.Linear(before, after), nn.ReLU()]
        return nn.Sequential(*parts, nn.Linear(widths[-1], 1), nn.Flatten(0))

    def encode(self, archs: Sequence[Arch]) -> Sequence[Tensor]:
        """Give `(n, f)` flags and extra columns."""
        flags = torch.from_numpy(one_hot(self.space, archs)).float()
        return [torch.cat([flags, self._extra_tensor(archs)], dim=1)]


def graph_tensors(space: SearchSpace[Any], archs: Sequence[Any]) -> list[Tensor]:
    """Give adjacency, features and mask of architectures as tensors.

    In exact graphs the last two features flag live nodes, see `live_flags`.
    """
    exact = facet(space, ExactGraphs)
    batch = graph_batch(space, archs, to_graph=None if exact is None else exact.exact_graph)
    features = batch.features
    if exact is not None:
        zero = features[:, :, 2 + graph_labels(space).index(exact.zero_label)] > 0
        features = np.concatenate([features, live_flags(batch, zero)], axis=2)
    return [torch.from_numpy(array) for array in (batch.adjacency, features, batch.mask)]


def node_features(space: SearchSpace[Any]) -> int:
    """Give the number of features of a node in `graph_tensors`."""
    return len(graph_labels(space)) + (2 if facet(space, ExactGraphs) is None else 4)
