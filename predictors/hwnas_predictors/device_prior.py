"""What a pool of devices says about a device that is not in it.

The targets of a device, as a function of the architecture, are a weighted sum of features whose
weights are normal with mean 0: the principal components of the pool's devices, counts of
operations, and all features. The variance of each block's weights and the noise of each device
maximise the evidence (type II maximum likelihood) of every device of the pool in turn, with the
components of the *others* as features: what is learned is how well an unseen device is described.

A device that is like none of the pool is described badly by that, so there are further variances:
the best without the components, broad ones, and broad ones of sums and of counts of operations
alone. Devices that prune dead operations have some more (`of_pruned`), where they can be told from
others: broad ones of fewer sums, with the counts and without them, since what is left to run may
say it all. The measurements of a new device weigh them, see `hwnas_predictors.beliefs`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from hwnas.typing import DeadOperations, FloatArray
from hwnas_predictors.bayesian_linear import NOISE_GRID, LogNormal
from hwnas_predictors.pool_fits import fit_pool

OFFSET_VARIANCE = 10.0
"""Prior variance of a device's mean target: practically free."""
WIDENED = 2.0
"""How much wider the prior of a new device's noise is than the spread over the pool.

A few devices tell that spread poorly, and a prior that is too narrow costs more than one that is
too wide; chosen by benchmarks/predictors/choose_transfer.py.
"""
BROAD = 0.09
"""Mean square of a target by each block of sums in the broad variances, see `broad_variances`.

Targets vary by about 0.3. Where sets say more than that, measurements speak for the pool although
the device is like none of it.
"""
BROAD_ALONE = 16.0
"""How much wider a block of sums is where it is alone, of devices that prune dead operations.

Its few numbers need no narrow prior, and one operation may take most of the time: a pooling fifteen
times that of a convolution, as in int8 of some runtimes, would be drawn to the others.
"""
BROAD_PAIRS = 0.007
"""The same of all features together."""
BROAD_REST = 0.0003
"""The same beside fewer sums, of devices that prune dead operations: no device is a sum exactly."""
NETWORK_SHARES = ((0.25, 0.05, 0.25), (0.25, 0.05, 0.02), (0.25, 0.05, 0.0), (0.25, 0.0, 0.0))
"""Variances of a target by work in all, by its kinds, and by all features with the choices.

Chosen, with the transform, on every second device of HELP's FBNet.
"""
_RESTS, _BROAD_RESTS = (1.0, 0.1), (0.1, 0.0)
"""What a cost has of its own beside another of its device, over what a cost has in all."""
_BROAD_SET = 2
_BROAD_NOISE = 1.0
ANY_NOISE = (-2.5, 1.0)
"""Mean and spread of the logarithm of a device's noise where nothing is known of it."""
_DRAWS = 2
# Without bounds, targets without noise would make the covariance singular.
_VARIANCE_BOUNDS = (-30.0, 12.0)
_NOISE_BOUNDS = (float(np.log(NOISE_GRID[0])), float(np.log(NOISE_GRID[-1])))
_NARROWEST_NOISE_PRIOR = 0.3


@dataclass(frozen=True)
class Scales:
    """How much each block of features may matter to a device, and how noisy it may be.

    Attributes:
        variances: `(1 + blocks,)` prior variances of the weights: components, then blocks.
        noise: prior of the noise level.
        of_pruned: whether they are a hypothesis about devices that prune dead operations, and
            about no others.
    """

    variances: FloatArray
    noise: LogNormal
    of_pruned: bool = False

    def fits(self, view: DeadOperations) -> bool:
        """Tell whether they may hold of a device that did this with dead operations."""
        return view == "pruned" or not self.of_pruned


@dataclass(frozen=True)
class DevicePrior:
    """What turns features into ones with standard normal weights.

    Attributes:
        means: mean of each block's features over the pool.
        components: `(p, k)` weights of the last block's features in the components.
        scales: variances that a new device's measurements weigh; the first trust the pool.
    """

    means: tuple[FloatArray, ...]
    components: FloatArray
    scales: tuple[Scales, ...]

    def scale(self, blocks: Sequence[FloatArray], scales: Scales | None = None) -> FloatArray:
        """Give `(n, p)` features with standard normal weights; the last is constant.

        Args:
            blocks: `(n, p_b)` features of each block.
            scales: variances; those that trust the pool if None. A block without any is left out.
        """
        centred = [block - mean for block, mean in zip(blocks, self.means, strict=True)]
        parts = [centred[-1] @ self.components, *centred]  # (n, k), (n, p_1), …, (n, p)
        variances = (scales or self.scales[0]).variances
        # w ~ N(0, v I) of a block's features X is X w = (sqrt(v) X) u with u ~ N(0, I).
        scaled = [np.sqrt(v) * part for v, part in zip(variances, parts, strict=True) if v > 0]
        offset = np.full((len(centred[-1]), 1), np.sqrt(OFFSET_VARIANCE))
        return np.concatenate([*scaled, offset], axis=1)

    def with_companion(self) -> DevicePrior:
        """Give the prior of a cost that may follow another cost of the same device.

        Its blocks are the other cost's target, one column, before those of this prior. Beside all
        variances of before there are those of a cost that is a multiple of the other one, with a
        large, a small or no rest of its own, and as much noise as the pool's or any (Kennedy and
        O'Hagan, Predicting the output from a complex computer code when fast approximations are
        available, 2000, eq. 1).
        """

        def beside(scales: Scales, rest: float, companion: float = 1.0) -> Scales:
            components, *blocks = rest * scales.variances
            variances = np.array([components, companion, *blocks])
            return replace(scales, variances=variances)

        alone = (beside(scales, 1.0, 0.0) for scales in self.scales)
        broad = self.scales[min(_BROAD_SET, len(self.scales) - 1)]
        together = [beside(self.scales[0], rest) for rest in _RESTS]
        together += [beside(broad, rest) for rest in _BROAD_RESTS]
        return DevicePrior((np.zeros(1), *self.means), self.components, (*alone, *together))


def learn_prior(
    views: Mapping[DeadOperations, Sequence[FloatArray]],
    seen: Sequence[DeadOperations],
    targets: FloatArray,
    components: int,
    sample: int,
    seed: int,
    merged: int | None = None,
) -> DevicePrior:
    """Learn from the targets of a pool.

    Args:
        views: `(n, p_b)` features of each block, the last of which holds all, by the view that a
            device may have of architectures.
        seen: `(d,)` view of each device.
        targets: `(d, n)` targets, NaN where there is no value.
        components: principal components k; fewer if there are fewer devices.
        sample: architectures of a device that the evidence is computed on, twice.
        seed: seed of these samples.
        merged: number of the block that stands in for the first two where equal branches are
            merged; None without one. No variance is learned of it.
    """
    used = {view: views[view] for view in dict.fromkeys(seen)}
    count = len(next(iter(used.values())))
    means = tuple(np.mean([v[b].mean(axis=0) for v in used.values()], axis=0) for b in range(count))
    centred = {
        view: [block - mean for block, mean in zip(blocks, means, strict=True)]
        for view, blocks in used.items()
    }
    smoothed, moved = np.empty((len(means[-1]), len(targets))), np.empty_like(targets)
    for view, blocks in centred.items():
        rows = [i for i, own in enumerate(seen) if own == view]
        smoothed[:, rows], moved[rows] = fit_pool(blocks[-1], targets[rows])
    # (n, d): every device's targets without their noise, had it this view
    fits = {view: blocks[-1] @ smoothed for view, blocks in centred.items()}
    gram = sum((f.T @ f for f in fits.values()), np.zeros((len(targets), len(targets))))
    rng = np.random.default_rng(seed)
    tasks: list[_Task] = []
    for device, row in enumerate(moved):
        others = np.delete(np.arange(len(targets)), device)
        axes = _axes(gram[np.ix_(others, others)], components)
        # (n, k) components of the other devices, then the blocks
        parts = [fits[seen[device]][:, others] @ axes, *centred[seen[device]]]
        known = np.flatnonzero(np.isfinite(row))
        for _ in range(_DRAWS):
            drawn = rng.choice(known, min(sample, len(known)), replace=False)
            kernels = np.stack([part[drawn] @ part[drawn].T for part in parts])  # (b, s, s)
            tasks.append(_Task(device, kernels, row[drawn] - row[drawn].mean()))
    # A single device's own fit is no knowledge from other devices.
    kept = components if len(targets) > 1 else 0
    scales = _scales(tasks, len(targets), broad_variances(centred), len(views) > 1, merged)
    return DevicePrior(means, smoothed @ _axes(gram, kept), scales)


def broad_prior(blocks: Sequence[FloatArray]) -> DevicePrior:
    """Give the prior of devices of which nothing is known but what their networks do.

    Args:
        blocks: `(n, p_b)` features over architectures of the space: work in all, by kind, and all.
    """
    means = tuple(block.mean(axis=0) for block in blocks)
    centred = [block - mean for block, mean in zip(blocks, means, strict=True)]
    sizes = np.array([(block**2).sum(axis=1).mean() for block in centred])
    noise = LogNormal(*ANY_NOISE)
    scales = tuple(
        Scales(np.array([0.0, *np.where(sizes > 0, shares / np.maximum(sizes, 1e-12), 0)]), noise)
        for shares in NETWORK_SHARES
    )
    return DevicePrior(means, np.zeros((blocks[-1].shape[1], 0)), scales)


def broad_variances(centred: Mapping[DeadOperations, Sequence[FloatArray]]) -> FloatArray:
    """Give the `(blocks,)` variances by which each block's targets have the mean square `BROAD`.

    It is a mean over the views, around means that they share. A block that one of two views has as
    zeros is a constant there, minus half of the other's mean, which the offset takes up; so within
    the other view it varies targets by something else than `BROAD`: by up to twice that, and by
    less the larger its mean is beside its spread. The sets of variances that ship were chosen so.

    Args:
        centred: `(n, p_b)` features of each block by view, around means over all views.
    """
    sizes = np.mean([[(b**2).sum(axis=1).mean() for b in v] for v in centred.values()], axis=0)
    shares = np.array([*[BROAD] * (len(sizes) - 1), BROAD_PAIRS])
    found: FloatArray = np.where(sizes > 0, shares / np.maximum(sizes, 1e-12), 0.0)
    return found


def _scales(
    tasks: Sequence[_Task], devices: int, broad: FloatArray, told_apart: bool, merged: int | None
) -> tuple[Scales, ...]:
    """Give the variances that trust the pool, those without it, and the broad ones.

    The broad ones are of all blocks, of all but the last, and of the first, counts of choices.
    Where dead operations can be told apart there are, for devices that prune them, sets between
    these, and the same without the counts: what is left to run is a smaller set. The block
    `merged` is in sets of its own instead of the first two. A block alone is wider.
    """
    usual = [block for block in range(len(broad)) if block != merged]
    columns = [1 + block for block in usual]  # of variances and kernels
    heavy = _learned(tasks, devices, [0, *columns], len(broad))
    free = _learned(tasks, devices, columns, len(broad))
    noise = LogNormal(free.noise.mean, max(_BROAD_NOISE, free.noise.spread))
    last = len(usual) - 1
    sets = [usual, usual[:last], usual[:1]]
    of_pruned = [usual[:end] for end in range(2, last)]
    of_pruned += [usual[1:end] for end in range(2, last + 1)]
    if merged is not None:
        of_pruned += [[*usual[first:last], merged] for first in range(2, last + 1)]
    found = [heavy, free, *(Scales(_part(broad, blocks), noise) for blocks in sets)]
    rest = BROAD_REST / BROAD_PAIRS * _part(broad, usual[-1:])
    for blocks in of_pruned if told_apart else []:
        wider = BROAD_ALONE if len(blocks) == 1 else 1.0
        found.append(Scales(wider * _part(broad, blocks) + rest, noise, of_pruned=True))
    return tuple(found)


def _learned(tasks: Sequence[_Task], devices: int, columns: list[int], blocks: int) -> Scales:
    """Give the variances of some kernels that have the largest evidence, 0 of the others."""
    some = [replace(task, kernels=task.kernels[columns]) for task in tasks]
    found, log_noises = _maximise_evidence(some, devices)
    variances = np.zeros(1 + blocks)
    variances[columns] = found
    return Scales(variances, _noise(log_noises))


def _part(broad: FloatArray, blocks: Sequence[int]) -> FloatArray:
    """Give the variances of some blocks, without components."""
    return np.array([0.0, *np.where(np.isin(np.arange(len(broad)), blocks), broad, 0.0)])


def _noise(log_noises: FloatArray) -> LogNormal:
    spread = max(WIDENED * float(np.std(log_noises)), _NARROWEST_NOISE_PRIOR)
    return LogNormal(float(np.mean(log_noises)), spread)


def _axes(gram: FloatArray, components: int) -> FloatArray:
    """Give `(d, k)` principal axes of fits, from their `(d, d)` products of two devices.

    A component is the fits' product with an axis.
    """
    _, axes = np.linalg.eigh(gram)  # (d, d), the largest eigenvalue last
    first: FloatArray = axes[:, ::-1][:, :components] / np.sqrt(max(len(gram), 1))
    return first


@dataclass(frozen=True)
class _Task:
    """A device's targets and the kernel of each block, `(1 + blocks, s, s)`."""

    device: int
    kernels: FloatArray
    targets: FloatArray


def _maximise_evidence(tasks: Sequence[_Task], devices: int) -> tuple[FloatArray, FloatArray]:
    """Find the blocks' prior variances and the devices' log noise levels."""
    blocks = len(tasks[0].kernels)

    def loss(point: FloatArray) -> tuple[float, FloatArray]:
        # A weak pull to 0 keeps variances of useless blocks finite.
        value, slope = 0.5e-4 * float(point @ point), 1e-4 * point
        for task in tasks:
            log_noise = point[blocks + task.device]
            part, by_variance, by_noise = negative_evidence(
                task.kernels, task.targets, point[:blocks], log_noise
            )
            share = 1 / (len(tasks) * len(task.targets))
            value += part * share
            slope[:blocks] += by_variance * share
            slope[blocks + task.device] += by_noise * share
        return value, slope

    start = np.concatenate([[0.0], np.full(blocks - 1, -4.0), np.full(devices, -2.5)])
    bounds = [_VARIANCE_BOUNDS] * blocks + [_NOISE_BOUNDS] * devices
    from scipy.optimize import minimize  # fitting alone needs it, and it takes long to import

    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds)
    return np.exp(found.x[:blocks]), found.x[blocks:]


def negative_evidence(
    kernels: FloatArray, targets: FloatArray, log_variances: FloatArray, log_noise: float
) -> tuple[float, FloatArray, float]:
    """Give the negative log evidence without its constant, and its derivatives.

    Args:
        kernels: `(b, s, s)` kernel of each block.
        targets: `(s,)` targets.
        log_variances: `(b,)` log prior variances.
        log_noise: log standard deviation of the noise.

    Returns:
        The value, its `(b,)` derivatives by `log_variances`, and that by `log_noise`.
    """
    variances, noise = np.exp(log_variances), np.exp(2 * log_noise)
    # (s, s): C = sum_b v_b K_b + offset + s² I
    covariance = np.tensordot(variances, kernels, axes=1) + OFFSET_VARIANCE
    covariance[np.diag_indices(len(targets))] += noise
    inverse = np.linalg.inv(covariance)
    solved = inverse @ targets  # (s,): C⁻¹ t
    value = 0.5 * float(
        targets @ solved + np.linalg.slogdet(covariance)[1]
    )  # (t' C⁻¹ t + log|C|)/2
    # dvalue/dC = (C⁻¹ - C⁻¹ t t' C⁻¹) / 2, then dC/dlog v_b = v_b K_b and dC/dlog s = 2 s² I
    change = inverse - np.outer(solved, solved)
    by_variance = 0.5 * variances * np.tensordot(kernels, change, axes=2)
    return value, by_variance, float(noise * np.trace(change))
