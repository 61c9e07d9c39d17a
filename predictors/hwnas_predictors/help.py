"""HELP: a latency predictor that learns to adapt to devices (Lee et al., NeurIPS 2021).

A device is described by its costs of ten reference architectures. A network of the one-hot
choices is meta-learned over a pool (MAML; Finn et al., ICML 2017): from the description, a second
network scales the units of its initialisation and the step size of each tensor, and a few gradient
steps on the measured architectures follow. HELP draws the scales from a learned normal
distribution and averages over draws; here they are its mean. On a new device a step that would
raise the error is halved until it does not, since steps that were learned on the pool can be too
long for an unusual device; and the mean error is taken off. Steps over all measured architectures
follow those over the references, which alone are what the steps were learned for.
"""

from __future__ import annotations

import copy
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
from hwnas.typing import Arch, DeviceKey, Direction, FloatArray, SearchSpace
from hwnas_predictors.device_predictor import (
    DevicePredictor,
    device_rows,
    known_costs,
    refuse_std,
)
from hwnas_predictors.encodings import join_columns, one_hot, one_hot_names
from hwnas_predictors.extra_columns import Scores
from hwnas_predictors.network_training import declared, weights_of

Weights = list[Tensor]
_REFINING = 30
"""Steps over all measured architectures, where there are more than the references."""
_DRAWS = 1000
"""Draws an architecture that is to be measured."""
_HALVINGS = 14
"""A step that raises the error even at 1/8192 of its length is left out."""


class MetaNetwork(nn.Module):
    """Initial weights, and what a device's description changes of them and of the steps.

    Args:
        features: inputs f of an architecture.
        references: numbers that describe a device.
        hidden: width of the two hidden layers.
    """

    def __init__(self, features: int, references: int, hidden: int) -> None:
        super().__init__()
        widths = [features, hidden, hidden, 1]
        self.body = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(widths))
        self.log_rates = nn.Parameter(torch.full((6,), -3.0))
        self.sizes = [2 * hidden, 6]
        last = nn.Linear(hidden, sum(self.sizes))
        # No device changes anything before training.
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.conditioning = nn.Sequential(nn.Linear(references, hidden), nn.ReLU(), last)

    def start(self, description: Tensor) -> tuple[Weights, Tensor]:
        """Give a device's initial weights and the `(6,)` step sizes of its tensors."""
        scales, rates = self.conditioning(description).split(self.sizes)  # (2 * hidden,), (6,)
        weights: Weights = list(self.body.parameters())
        # W_l (1 + z_l) and b_l (1 + z_l), row by row, for both hidden layers; rates exp(a + b)
        for layer, scale in enumerate(scales.chunk(2)):
            weights[2 * layer] = weights[2 * layer] * (1 + scale[:, None])
            weights[2 * layer + 1] = weights[2 * layer + 1] * (1 + scale)
        return weights, torch.exp(self.log_rates + rates)


def evaluate(weights: Weights, features: Tensor) -> Tensor:
    """Give `(n,)` outputs for `(n, f)` features."""
    states = features
    for layer in range(2):
        # (n, hidden): max(0, h W^T + b)
        states = torch.relu(states @ weights[2 * layer].T + weights[2 * layer + 1])
    return (states @ weights[4].T + weights[5]).squeeze(-1)


def descend(
    weights: Weights, rates: Tensor, features: Tensor, targets: Tensor, steps: int
) -> Weights:
    """Take differentiable gradient steps on the squared error."""
    for _ in range(steps):
        loss = nn.functional.mse_loss(evaluate(weights, features), targets)
        slopes = torch.autograd.grad(loss, weights, create_graph=True)
        weights = _step(weights, rates, slopes)
    return weights


def descend_safely(
    weights: Weights, rates: Tensor, features: Tensor, targets: Tensor, steps: int
) -> Weights:
    """Take gradient steps, none of which raises the squared error, and take off the mean error."""
    for _ in range(steps):
        weights = [weight.detach().requires_grad_() for weight in weights]
        with torch.enable_grad():
            loss = nn.functional.mse_loss(evaluate(weights, features), targets)
            slopes = torch.autograd.grad(loss, weights)
        weights = [weight.detach() for weight in weights]
        for halving in range(_HALVINGS):
            moved = _step(weights, rates / 2**halving, slopes)
            if nn.functional.mse_loss(evaluate(moved, features), targets) <= loss:
                weights = moved
                break
    return [*weights[:-1], weights[-1] + (targets - evaluate(weights, features)).mean()]


def _step(weights: Weights, rates: Tensor, slopes: Sequence[Tensor]) -> Weights:
    moves = zip(weights, rates, slopes, strict=True)
    # θ - α ∂L/∂θ with a rate α of each tensor
    return [weight - rate * slope for weight, rate, slope in moves]


class HelpPredictor(DevicePredictor[Arch]):
    """Predicts a cost on a new device that is described by reference architectures.

    ``fit`` with `(d, n)` costs learns the pool, and ``adapt`` gives the predictor of a new device.
    ``fit`` with `(n,)` costs learns one device.

    Args:
        space: search space.
        metric: what is counted.
        unit: unit of the costs.
        direction: which costs are better.
        references: architectures that describe a device; ten of those in `fit`, drawn by `seed`,
            if None. They must be in every support set.
        hidden: width of a layer.
        rounds: steps of meta-training, each over all devices.
        query: architectures of a round that the adapted weights are judged on.
        steps: gradient steps of an adaptation over the references.
        seed: seed of everything random.
        extra: counts and proxies that are features too, see `DevicePredictor`.
        dataset: data set of the networks of these features.
        scores: scores of proxies, see `DevicePredictor`.
        data: text that tells the pool's data, kept in files.
    """

    kind = "help"
    settings = ("hidden", "rounds", "query", "steps", "seed")

    def __init__(
        self,
        space: SearchSpace[Arch],
        metric: str = "latency",
        unit: str = "ms",
        direction: Direction = "minimize",
        *,
        references: Sequence[Arch] | None = None,
        hidden: int = 100,
        rounds: int = 800,
        query: int = 256,
        steps: int = 3,
        seed: int = 0,
        extra: Sequence[str] = (),
        dataset: str = "cifar10",
        scores: Scores | None = None,
        data: str = "",
    ) -> None:
        super().__init__(
            space, metric, unit, direction, extra=extra, dataset=dataset, scores=scores, data=data
        )
        self.references = references
        self.hidden, self.rounds, self.query = hidden, rounds, query
        self.steps, self.seed = steps, seed
        self._chosen: list[Arch] = []
        self._network: MetaNetwork | None = None
        self._adapted: Weights | None = None
        self._centre = 0.0

    def fit(self, archs: Sequence[Arch], costs: npt.ArrayLike) -> HelpPredictor[Arch]:
        """Learn a pool from `(d, n)` positive costs in `unit`, or one device from `(n,)`.

        NaN is a missing value; a device without a reference's cost, or fewer than two costs, is
        an `InvalidValueError`, and so is a pool without an architecture that every device has.
        """
        archs, rows, single = device_rows(archs, costs)
        rng = np.random.default_rng(self.seed)
        if self.references is None:
            complete = np.flatnonzero(np.isfinite(rows).all(axis=0))
            drawn = rng.permutation(complete)[:10]
            chosen = list(dict.fromkeys(archs[i] for i in drawn))
        else:
            chosen = list(self.references)
        if not chosen:
            raise InvalidValueError(
                "`references` must be architectures that every device has a cost of, but there is "
                "none: their costs describe a device."
            )
        logs = np.log(rows)  # (d, n)
        at = _rows_of(chosen, archs, np.asarray(np.isfinite(logs).all(axis=0)))
        # log cost less its mean over the references: what is learned knows no device's scale.
        logs -= logs[:, at].mean(axis=1, keepdims=True)
        self._fit_extra(archs)
        self._chosen = chosen
        with seeded(self.seed):
            self._network = self._make_network()
            self._train(self._encode(archs), torch.from_numpy(logs).float(), at, rng)
        self._adapted = None
        if single:
            self._learn(archs, rows[0])
            self.device = DeviceKey("measured")
        return self

    def adapt(
        self, support: Sequence[Arch], costs: npt.ArrayLike, device: DeviceKey | None = None
    ) -> HelpPredictor[Arch]:
        """Give the predictor of a device from `(s,)` costs, those of the references among them."""
        self._require_network()
        adapted = copy.copy(self)
        adapted.set_device(device or DeviceKey("new device"))
        adapted._learn(support, costs)
        return adapted

    def choose_support(self, n: int, seed: int | None = None) -> list[Arch]:
        """Give `n` architectures to measure: the references, then some drawn by `seed`.

        `InvalidValueError` if nothing was fitted, `n` is less than the number of references, or too
        few architectures have scores.
        """
        self._require_network()
        if n < len(self._chosen):
            raise InvalidValueError(
                f"`n` must be at least {len(self._chosen)}, the references of this pool, but got "
                f"{n}."
            )
        rng = np.random.default_rng(self.seed if seed is None else seed)
        found = dict.fromkeys(self._chosen)
        for _ in range(_DRAWS * n):
            if len(found) == n:
                return list(found)
            arch = self.space.sample(rng)
            if self.space.is_valid(arch) and not self.unscored([arch]):
                found.setdefault(arch)
        raise InvalidValueError(
            f"`n` must be at most {len(found)}, the architectures with scores that were found, but "
            f"got {n}."
        )

    def predict(self, archs: Sequence[Arch], return_std: bool = False) -> FloatArray:
        """Give `(n,)` costs in `unit`.

        Raises:
            InvalidValueError: nothing was adapted to, or standard deviations are wanted.
        """
        refuse_std(self, return_std)
        self._require_network()
        if self._adapted is None:
            raise InvalidValueError(
                "`adapt` must be called with measurements of a device before `predict`."
            )
        with torch.no_grad():
            found = evaluate(self._adapted, self._encode(archs)).double().numpy()
        costs: FloatArray = np.exp(self._centre + found)  # (n,): e^(mean over references + f(x))
        return costs

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Give the arguments of the constructor, as scikit-learn's estimators do."""
        return {**super().get_params(deep), "references": self.references}

    def to_file(self) -> PredictorFile:
        """Give the content of a predictor file: weights and references."""
        arrays = {**weights_of(self._require_network()), "centre": np.array(self._centre)}
        for i, weight in enumerate(self._adapted or ()):
            arrays[f"adapted_{i}"] = weight.numpy()
        return self._file(arrays, references=[str(arch) for arch in self._chosen])

    @classmethod
    def _of_file(cls, file: PredictorFile) -> Self:
        settings = dict(file.settings)
        texts = settings.pop("references")
        made = cls._unfitted(file, **settings)
        made._chosen = [made.space.parse(text) for text in texts]
        made.references = made._chosen
        made._network = declared(made._make_network, file.arrays)
        made._centre = float(file.arrays["centre"])
        if "adapted_0" in file.arrays:
            made._adapted = [torch.from_numpy(file.arrays[f"adapted_{i}"]) for i in range(6)]
        return made

    def _train(
        self, features: Tensor, targets: Tensor, at: list[int], rng: np.random.Generator
    ) -> None:
        network = self._require_network()
        optimizer = torch.optim.Adam(network.parameters(), lr=2e-3)
        known = [np.flatnonzero(row.isfinite().numpy()) for row in targets]
        for _ in range(self.rounds):
            optimizer.zero_grad()
            total = torch.zeros(())
            for row, there in zip(targets, known, strict=True):
                asked = rng.choice(there, min(self.query, len(there)), replace=False)
                # θ_0 and α of the device, θ after `steps` on the references, and
                # the loss of θ on the query set, whose gradient goes through those steps.
                weights, rates = network.start(row[at])
                weights = descend(weights, rates, features[at], row[at], self.steps)
                found = evaluate(weights, features[asked])
                total = total + nn.functional.mse_loss(found, row[asked])
            torch.autograd.backward(total / len(targets))
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()

    def _learn(self, support: Sequence[Arch], costs: npt.ArrayLike) -> None:
        values, known = known_costs(costs, len(support))
        at = _rows_of(self._chosen, support, known)
        self._note_rows([arch for arch, flag in zip(support, known, strict=True) if flag])
        self._centre = float(np.log(values[at]).mean())
        logs = torch.from_numpy(np.log(values) - self._centre).float()
        there = torch.from_numpy(known)
        with torch.no_grad():
            weights, rates = self._require_network().start(logs[at])
            features = self._encode(support)
            weights = descend_safely(weights, rates, features[at], logs[at], self.steps)
            if {arch for arch, flag in zip(support, known, strict=True) if flag} > {*self._chosen}:
                weights = descend_safely(weights, rates, features[there], logs[there], _REFINING)
        self._adapted = [weight.detach() for weight in weights]

    def _try(self, archs: Sequence[Arch]) -> FloatArray:
        """Give predictions, or those of the start where there is no device yet."""
        if self._adapted is not None:
            return super()._try(archs)
        weights, _ = self._require_network().start(torch.zeros(len(self._chosen)))
        return evaluate(weights, self._encode(archs)).detach().double().numpy()

    def _make_network(self) -> MetaNetwork:
        features = len(one_hot_names(self.space)) + len(self.extra)
        return MetaNetwork(features, len(self._chosen), self.hidden)

    def _encode(self, archs: Sequence[Arch]) -> Tensor:
        columns = join_columns(one_hot(self.space, archs), self._extra_columns(archs))
        return torch.from_numpy(columns).float()

    def _require_network(self) -> MetaNetwork:
        if self._network is None:
            raise InvalidValueError("`fit` must be called first, or a fitted predictor loaded.")
        return self._network


def _rows_of(
    references: Sequence[Arch], archs: Sequence[Arch], known: npt.NDArray[np.bool_]
) -> list[int]:
    """Find the references among the architectures with known costs."""
    number = {archs[i]: i for i in np.flatnonzero(known).tolist()}
    missing = [str(arch) for arch in references if arch not in number]
    if missing:
        raise InvalidValueError(
            f"`costs` must have every reference's cost, but {len(missing)} of {len(references)} "
            f"are missing, e.g. of {missing[0]}: measure them too."
        )
    return [number[arch] for arch in references]
