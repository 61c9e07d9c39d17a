"""The accuracy predictor of BRP-NAS (Dudziak et al., NeurIPS 2020): which of two is better.

A network learns the sign of the difference of every pair of measured architectures. An
architecture's score is the share of the measured ones that it is expected to beat, and its value
the quantile of the measured values at that share.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from hwnas.errors import InvalidValueError
from hwnas.files.predictor_file import PredictorFile
from hwnas.seeding import seeded
from hwnas.typing import Arch, Direction, FloatArray, SearchSpace
from hwnas_predictors.brp_nas import NetworkPredictor, graph_tensors, node_features
from hwnas_predictors.device_predictor import known_costs, refuse_std
from hwnas_predictors.gcn import BinaryRelation
from hwnas_predictors.network_training import minimise, outputs


class BinaryRelationPredictor(NetworkPredictor[Arch]):
    """Ranks architectures by how many of the measured ones each is expected to beat.

    Args are those of `NetworkPredictor`; a step compares each of `batch` measured architectures
    with all others in the step.
    """

    kind = "brp-nas-relation"

    def __init__(
        self,
        space: SearchSpace[Arch],
        metric: str = "accuracy",
        unit: str = "percent",
        direction: Direction = "maximize",
        *,
        batch: int = 32,
        **settings: Any,
    ) -> None:
        super().__init__(space, metric, unit, direction, batch=batch, **settings)
        self._values = np.zeros(0)
        self._measured = torch.zeros(0, self.hidden)

    def make_network(self) -> BinaryRelation:
        """Make the untrained network."""
        return BinaryRelation(node_features(self.space), self.hidden, self.layers, len(self.extra))

    def encode(self, archs: Sequence[Arch]) -> Sequence[Tensor]:
        """Give adjacency, features, mask and extra columns."""
        return [*graph_tensors(self.space, archs), self._extra_tensor(archs)]

    def fit(self, archs: Sequence[Arch], costs: npt.ArrayLike) -> BinaryRelationPredictor[Arch]:
        """Learn from `(n,)` positive values in `unit`, NaN where there is no value."""
        values, known = known_costs(costs, len(archs))
        there = [arch for arch, flag in zip(archs, known, strict=True) if flag]
        self._fit_extra(there)
        inputs = self.encode(there)
        targets = torch.from_numpy(values[known])
        with seeded(self.seed):
            network = self.make_network()

            def loss(rows: Tensor) -> Tensor:
                states = network.body(*(tensor[rows] for tensor in inputs))
                i, j = torch.triu_indices(len(rows), len(rows), offset=1)
                gap = torch.sign(targets[rows][i] - targets[rows][j]).float()
                odds = network(states[i], states[j])
                # The sum of no pairs is 0, where a mean would be NaN.
                lost = nn.functional.binary_cross_entropy_with_logits(
                    odds, (gap + 1) / 2, reduction="sum"
                )
                return lost / max(len(i), 1)

            minimise(
                network, loss, len(targets), epochs=self.epochs, batch=self.batch, rate=self.rate
            )
        self._network, self._values = network, np.sort(values[known])
        self._measured = torch.from_numpy(outputs(network.body, inputs)).float()
        self._name_device()
        return self

    def win_share(self, archs: Sequence[Arch]) -> FloatArray:
        """Give `(n,)` expected shares of the measured architectures with a lower value."""
        network = self._require_network()
        assert isinstance(network, BinaryRelation)
        if not len(archs):
            return np.zeros(0)
        states = torch.from_numpy(outputs(network.body, self.encode(archs))).float()
        with torch.no_grad():
            shares = [
                torch.sigmoid(network(s.expand_as(self._measured), self._measured)).mean()
                for s in states
            ]
        return torch.stack(shares).double().numpy()

    def predict(self, archs: Sequence[Arch], return_std: bool = False) -> FloatArray:
        """Give `(n,)` values in `unit`: quantiles of the measured ones.

        Raises:
            InvalidValueError: `fit` was not called, or standard deviations are wanted.
        """
        refuse_std(self, return_std)
        shares = self.win_share(archs)
        found: FloatArray = np.quantile(self._values, shares) if len(shares) else shares
        return found

    def to_file(self) -> PredictorFile:
        """Add the measured values and the descriptions of their architectures."""
        return self.with_arrays(values=self._values, measured=self._measured.numpy())

    @classmethod
    def _of_file(cls, file: PredictorFile) -> Self:
        made = super()._of_file(file)
        made._values = file.arrays["values"]
        made._measured = torch.from_numpy(file.arrays["measured"])
        return made


def select_iteratively(
    predictor: BinaryRelationPredictor[Arch],
    archs: Sequence[Arch],
    measure: Callable[[Sequence[Arch]], npt.ArrayLike],
    *,
    budget: int,
    iterations: int,
    seed: int,
) -> tuple[list[Arch], FloatArray]:
    """Measure architectures where the best ones are expected, and fit to them.

    After a random start, iteration `i` ranks all architectures; half of its share of the budget
    goes to the best ones, the rest to random ones among the best `1 / 2**i`.

    Args:
        predictor: fitted anew in each iteration, last to all measured architectures.
        archs: architectures to choose from.
        measure: gives the values of architectures.
        budget: architectures to measure.
        iterations: shares that the budget is divided into.
        seed: seed of the random choices.

    Returns:
        The measured architectures in order, and their values.

    Raises:
        InvalidValueError: the budget does not give two architectures an iteration, or exceeds
            the architectures.
    """
    if not (iterations >= 1 and 2 * iterations <= budget <= len(archs)):
        raise InvalidValueError(
            f"`budget` must be from {2 * iterations} to {len(archs)} for {iterations} iterations, "
            f"but got {budget}."
        )
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(archs))
    chosen: list[int] = []
    values: list[float] = []
    for i, ends in enumerate(np.array_split(np.arange(budget), iterations)):
        if chosen:
            sign = -1.0 if predictor.direction == "maximize" else 1.0
            order = np.argsort(sign * predictor.win_share(archs), kind="stable")
        new = _share(rng, order, chosen, len(ends), best=bool(chosen), halvings=i)
        values += np.asarray(measure([archs[k] for k in new]), dtype=np.float64).tolist()
        chosen += new
        predictor.fit([archs[k] for k in chosen], values)
    return [archs[k] for k in chosen], np.array(values)


def _share(
    rng: np.random.Generator,
    order: npt.NDArray[np.intp],
    chosen: Sequence[int],
    n: int,
    *,
    best: bool,
    halvings: int,
) -> list[int]:
    """Give `n` new numbers: the first ones, then random ones among the first part."""
    rest = order[~np.isin(order, chosen)]
    first = n // 2 if best else 0
    part = rest[first : max(n, len(order) >> halvings)]
    return [*rest[:first].tolist(), *rng.choice(part, n - first, replace=False).tolist()]
