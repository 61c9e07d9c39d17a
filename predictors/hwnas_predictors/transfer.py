"""From a pool of devices and a few measurements to every architecture on a new device.

An empirical Bayes linear model: what devices have in common is learned once from a pool
(`device_prior`), a new device's weights follow in closed form from as few as five measured
architectures (`bayesian_linear`), and so does how sure the predictions are. How much the pool is
trusted, and whether dead operations were run, is weighed by the measurements (`beliefs`). Targets
are costs over their mean on the device, after a power transform (Box and Cox, 1964) that makes a
device's noise more even.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Self, get_args

import numpy as np
import numpy.typing as npt

from hwnas.errors import InvalidValueError
from hwnas.evaluation.sources import Effort
from hwnas.files.predictor_file import PredictorFile
from hwnas.seeding import derive_seed
from hwnas.study.configuration import bounded
from hwnas.tasks.catalogue import get_task, name_of
from hwnas.typing import Arch, DeadOperations, DeviceKey, Direction, FloatArray, SearchSpace
from hwnas_predictors.bayesian_linear import NormalMixture
from hwnas_predictors.belief_file import (
    FIRST_FORMAT,
    belief_arrays,
    prior_arrays,
    read_beliefs,
    read_prior,
)
from hwnas_predictors.beliefs import (
    Belief,
    decided_view,
    left_out,
    mixture,
    observe,
    pool_views,
    weigh,
    wrong_probability,
)
from hwnas_predictors.companion import Beside, Companion
from hwnas_predictors.device_predictor import ANY_DEVICE, device_rows, known_costs
from hwnas_predictors.device_prior import DevicePrior, broad_prior, learn_prior
from hwnas_predictors.distribution_predictor import DistributionPredictor
from hwnas_predictors.encodings import join_columns
from hwnas_predictors.extra_columns import Scores
from hwnas_predictors.features import ArchFeatures
from hwnas_predictors.network_columns import NetworkColumns
from hwnas_predictors.power_transform import Powers, Targets, pool_targets
from hwnas_predictors.support import SupportChoice

CANDIDATES = 1500
"""Architectures that a support set is chosen from, and as many that it is chosen for."""
_CANDIDATES_TO_BUILD = 150
"""As many where their networks must be built to be counted."""
NETWORK_POWER = 0.5
"""Exponent of the transform where networks are looked at."""
_SCALED_BY = 40
"""Random networks that tell the scales of a space without a pool."""
_COMPANION = "companion"
_FEW = 50  # measurements of one device below which the variances are not learned


class TransferPredictor(DistributionPredictor[Arch]):
    """Predicts a cost on a new device from few measurements and a pool of other devices.

    ``fit`` with `(d, n)` costs learns the pool, and ``adapt`` then gives the predictor of a
    further device. ``fit`` with `(n,)` costs learns a single device without a pool.

    Args:
        space: search space.
        metric: what is counted.
        unit: unit of the costs.
        direction: which costs are better.
        power: exponent of the transform; 1 leaves costs as they are, 0 takes logarithms.
        pruned_power: that of devices that prune dead operations, in spaces that tell these.
        components: principal components of the pool.
        sample: architectures of a pool's device that the prior's scales are learned on.
        seed: seed of these samples and of `choose_support`.
        network: look at what the networks do, see `hwnas_predictors.network_columns`, instead of
            choices and graphs alone; each is built and traced.
        extra: counts and proxies that are features too, see `DevicePredictor`.
        dataset: data set of the networks of these features.
        scores: scores of proxies, see `DevicePredictor`.
        data: text that tells the pool's data, kept in files.
    """

    kind = "transfer"
    settings = ("power", "pruned_power", "components", "sample", "seed", "network")

    def __init__(
        self,
        space: SearchSpace[Arch],
        metric: str = "latency",
        unit: str = "ms",
        direction: Direction = "minimize",
        *,
        power: float = 0.75,
        pruned_power: float = 1.0,
        components: int = 6,
        sample: int = 150,
        seed: int = 0,
        network: bool = False,
        extra: Sequence[str] = (),
        dataset: str = "cifar10",
        scores: Scores | None = None,
        data: str = "",
    ) -> None:
        super().__init__(
            space, metric, unit, direction, extra=extra, dataset=dataset, scores=scores, data=data
        )
        self.power, self.pruned_power, self.components = power, pruned_power, components
        self.sample, self.seed, self.network = sample, seed, network
        self._features: ArchFeatures | None = None
        self._prior: DevicePrior | None = None
        self._seen: tuple[DeadOperations, ...] = ()
        self._beliefs: tuple[Belief, ...] | None = None
        self._predicted: tuple[tuple[Arch, ...], NormalMixture] | None = None
        self._companion: Companion[Arch] | None = None
        self._left_out: FloatArray | None = None
        self._wrong: FloatArray | None = None

    def fit(
        self,
        archs: Sequence[Arch],
        costs: npt.ArrayLike,
        dead_operations: Sequence[DeadOperations | None] | None = None,
    ) -> TransferPredictor[Arch]:
        """Learn a pool of devices, or a single device, without the companion of an earlier one.

        Args:
            archs: `(n,)` measured architectures.
            costs: `(d, n)` positive costs in `unit`, NaN where there is no value; or `(n,)` costs
                of one device.
            dead_operations: `(d,)` what each device did with operations without an effect; where
                it is None the costs of at most 150 architectures decide.

        Returns:
            The predictor itself.

        Raises:
            InvalidValueError: shapes do not match, or a device has fewer than two costs.
        """
        archs, rows, single = device_rows(archs, costs)
        targets = pool_targets(rows, [self.power] * len(rows))
        self._features, self._companion = self._make_features(archs), None
        self._fit_extra(archs)
        views = self._views(archs, self._features.views)
        given = dead_operations or [None] * len(rows)
        dead = np.array([self._features.has_dead([arch]) for arch in archs])
        seen = pool_views(views, targets, dead, given, self.seed)
        self._seen = seen
        targets = pool_targets(rows, [self._powers[view] for view in seen])
        if self.network and single and len(archs) < _FEW:
            self._prior = broad_prior(views["executed"])
        else:
            merged = self._features.merged
            self._prior = learn_prior(
                views, seen, targets, self.components, self.sample, self.seed, merged
            )
        self._note_rows(())
        self._left_out = self._wrong = self._predicted = None
        self._beliefs, self.device = None, ANY_DEVICE
        if single:
            self.device = DeviceKey("measured", dead_operations=given[0])
            self._learn(archs, rows[0])
        return self

    def adapt(
        self,
        support: Sequence[Arch],
        costs: npt.ArrayLike,
        device: DeviceKey | None = None,
        companion: Beside[Arch] | None = None,
    ) -> TransferPredictor[Arch]:
        """Give the predictor of a new device.

        Args:
            support: `(s,)` measured architectures, e.g. those of `choose_support`.
            costs: `(s,)` their positive costs in `unit`; NaN where a measurement failed.
            device: key of the device. Where it does not say what the device did with dead
                operations, both are weighed by the costs and by what the pool's devices did; if
                none of the support has any, they are taken as pruned, unless every device of the
                pool executed them.
            companion: predictor of another cost of the same device, e.g. of latency for energy,
                or another one of this cost, e.g. kernel by kernel. What it predicts is a feature,
                as far as the measurements say so: where it knows more of the device, fewer
                measurements are enough.

        Raises:
            InvalidValueError: nothing was fitted, fewer than two costs are given, the device
                is called ``any``, or the companion is of no device yet or another space.
        """
        _, prior = self._require_prior()
        values, known = known_costs(costs, len(support))
        adapted = copy.copy(self)
        adapted.set_device(device or DeviceKey("new device"))
        if companion is not None:
            measured = [arch for arch, flag in zip(support, known, strict=True) if flag]
            adapted._companion = Companion.of(companion, self.space, measured)
            if self._companion is None:  # else the prior has a place for it
                adapted._prior = prior.with_companion()
        adapted._learn(support, values)
        return adapted

    def observe(self, archs: Sequence[Arch], costs: npt.ArrayLike) -> TransferPredictor[Arch]:
        """Give the predictor of the same device that has learned from further measurements too.

        Args:
            archs: `(s,)` measured architectures.
            costs: `(s,)` their positive costs in `unit`.

        Raises:
            InvalidValueError: there is no device yet, or a cost is not positive.
        """
        if self._beliefs is None:
            raise InvalidValueError("`adapt` must be called before `observe`.")
        values, known = known_costs(costs, len(archs), fewest=1)
        learned = [arch for arch, flag in zip(archs, known, strict=True) if flag]
        targets = Targets.of(values[known] / self._centre, self._powers)
        views = self._views(learned, list(dict.fromkeys(b.view for b in self._beliefs)))
        made = copy.copy(self)
        made._left_out = made._wrong = made._predicted = None
        made._beliefs = observe(self._require_prior()[1], self._beliefs, views, targets)
        made._add_rows(learned)
        return made

    @property
    def effort(self) -> Effort:
        """A look-up, unless networks are built to be counted or traced."""
        own = Effort.SCORE if self.network else super().effort
        return own if self._companion is None else max(own, self._companion.effort)

    def unscored(self, archs: Sequence[Arch]) -> list[Arch]:
        """Give the architectures that cannot be predicted, since a proxy has no entry for them."""
        if self._companion is None:
            return super().unscored(archs)
        missing = {*super().unscored(archs), *self._companion.unscored(archs)}
        return [arch for arch in archs if arch in missing]

    @property
    def left_out(self) -> FloatArray | None:
        """`(s,)` costs that were learned from as the other costs say, in `unit`.

        NaN where a cost was missing; None where nothing was learned by this object, as after
        loading.
        """
        return self._left_out

    @property
    def follows(self) -> float:
        """Probability that the cost is a multiple of its companion's and a rest; 0 without one."""
        if self._companion is None or self._beliefs is None:
            return 0.0
        _, prior = self._require_prior()
        beside = (b for b in self._beliefs if prior.scales[b.scales].variances[1] > 0)
        return float(sum(belief.weight for belief in beside))

    @property
    def wrong(self) -> FloatArray | None:
        """`(s,)` probabilities that costs that were learned from are wrong.

        Such a cost is far from what all others say of the device, e.g. taken while something else
        ran, and is left aside by as much. NaN where a cost was missing; None where nothing was
        learned by this object.
        """
        return self._wrong

    def choose_support(
        self,
        n: int,
        seed: int | None = None,
        archs: Sequence[Arch] | None = None,
        dead_operations: DeadOperations | None = None,
    ) -> list[Arch]:
        """Choose the `n` architectures whose measurement says the most about all others.

        No measurement of the new device is needed, so the same ones serve every device.

        Args:
            n: architectures to measure.
            seed: seed of the candidates; that of the predictor if None.
            archs: architectures to choose from, and that are to be predicted; what is there twice
                counts twice. Drawn from the space if None.
            dead_operations: what the device does with operations without an effect. Where they
                are pruned only architectures without any are chosen. If None they are taken as
                pruned, unless every device of the pool executed them.

        Raises:
            InvalidValueError: nothing was fitted, or there are fewer than `n` candidates.
        """
        self._require_prior()
        chosen_seed = self.seed if seed is None else seed
        rng = np.random.default_rng(derive_seed(chosen_seed, repr(self.space), "support"))
        fewest = CANDIDATES if self.effort is Effort.LOOKUP else _CANDIDATES_TO_BUILD
        most = max(fewest, 2 * n)
        population = list(archs) if archs is not None else self._draw(most, rng)
        unscored = set(self.unscored(population))
        population = [arch for arch in population if arch not in unscored]
        features, prior = self._require_prior()
        view = dead_operations if dead_operations in features.views else self._usual_view(features)
        if view == "pruned" and archs is None:
            population = list(map(self.space.representative, population))
        choice = SupportChoice(self.space, features, prior, self._blocks, view, most)
        return choice.choose(population, n, rng, len(unscored))

    def to_file(self) -> PredictorFile:
        """Give the content of a predictor file: prior and beliefs."""
        features, prior = self._require_prior()
        arrays = prior_arrays(prior)
        if features.network is not None:
            arrays |= features.network.to_arrays()
        believed: list[list[Any]] = []
        if self._beliefs is not None:
            parts, believed = belief_arrays(self._beliefs)
            arrays |= {**parts, "centre": np.array(self._centre)}
        beside = {}
        if self._companion is not None:
            beside[_COMPANION], own = self._companion.to_parts(_COMPANION)
            arrays |= own
        return self._file(
            arrays,
            **beside,
            operations=list(features.operations),
            layout=features.layout,
            seen=list(self._seen),
            beliefs=believed,
        )

    @classmethod
    def shipped(cls, space: SearchSpace[Any]) -> TransferPredictor[Any]:
        """Load the pool that comes with the package for a search space.

        Raises:
            DataNotFoundError: there is none for this space with these settings.
        """
        from hwnas_predictors.shipped import shipped_pool

        return cls.from_file(shipped_pool(space))

    @classmethod
    def without_pool(
        cls,
        space: SearchSpace[Any],
        metric: str = "latency",
        unit: str = "ms",
        *,
        seed: int = 0,
    ) -> TransferPredictor[Any]:
        """Make what `adapt` begins from in a space that no device is known of, e.g. one's own.

        Costs are expected to grow with the work of the networks, and measurements say how much
        with which. Random networks of the space are built to know its scales.

        Args:
            space: search space, whose networks are those of its default task.
            metric: what is counted.
            unit: unit of the costs.
            seed: seed of the random networks and of `choose_support`.

        Raises:
            InvalidValueError: the networks do not run, or are to tell no classes apart.
            HwnasError: the user's code ends the child process that it runs in, or does not end.
        """
        bounded(space)
        settings: dict[str, Any] = {"network": True, "power": NETWORK_POWER, "seed": seed}
        made = cls(space, metric, unit, dataset=name_of(space.default_task), **settings)
        rng = np.random.default_rng(derive_seed(seed, repr(space), "scales"))
        archs = [arch for arch in made._draw(_SCALED_BY, rng) if space.is_valid(arch)]
        made._features = made._make_features(archs)
        made._fit_extra(archs)
        made._prior = broad_prior(made._blocks(archs))
        return made

    @classmethod
    def _of_file(cls, file: PredictorFile) -> Self:
        arrays, settings = file.arrays, dict(file.settings)
        operations, layout = settings.pop("operations"), settings.pop("layout", 1)
        settings.setdefault("network", False)
        settings.setdefault("pruned_power", settings["power"])
        believed, seen = settings.pop("beliefs", None), tuple(settings.pop("seen", ()))
        if not set(seen) <= set(get_args(DeadOperations)):
            raise ValueError(f"its devices did {seen} with dead operations")
        companion = settings.pop(_COMPANION, None)
        made = cls._unfitted(file, **settings)
        made._seen = seen
        if companion is not None:
            made._companion, arrays = Companion.from_parts(file, companion, _COMPANION)
        columns = None
        if made.network:
            task = get_task(made.dataset)
            columns = NetworkColumns.from_arrays(made.space, task, arrays, made.power)
        made._features = ArchFeatures(made.space, operations, layout, columns)
        made._prior = read_prior(arrays)
        if believed is None:
            believed = FIRST_FORMAT if "posterior_basis" in arrays else []
        if believed or made.device != ANY_DEVICE:
            made._beliefs = read_beliefs(arrays, believed, len(made._prior.scales))
            made._centre = float(arrays["centre"])
        return made

    def _try(self, archs: Sequence[Arch]) -> FloatArray:
        """Give predictions, or the scaled features where there is no device yet."""
        _, prior = self._require_prior()
        if self._beliefs is not None:
            return super()._try(archs)
        found = [prior.scale(self._blocks(archs), scales) for scales in prior.scales]
        return np.concatenate(found, axis=1)

    def _require_prior(self) -> tuple[ArchFeatures, DevicePrior]:
        if self._features is None or self._prior is None:
            raise InvalidValueError("`fit` must be called first, or a fitted predictor loaded.")
        return self._features, self._prior

    def _blocks(self, archs: Sequence[Arch], view: DeadOperations = "executed") -> list[FloatArray]:
        """Give `(n, p_b)` features of each block, the extra columns before all together."""
        assert self._features is not None
        *parts, every = self._features.blocks(archs, view)
        if self._companion is not None:
            parts = [self._companion(archs, self._powers[view]), *parts]
        if self._extra is None:
            return [*parts, every]
        extra = self._extra_columns(archs)
        return [*parts, extra, join_columns(every, extra)]

    def _views(
        self, archs: Sequence[Arch], views: Sequence[DeadOperations]
    ) -> Mapping[DeadOperations, list[FloatArray]]:
        return {view: self._blocks(archs, view) for view in views}

    def _learn(self, support: Sequence[Arch], costs: FloatArray) -> None:
        """Weigh what the costs say; what was done with dead operations becomes part of the key."""
        features, prior = self._require_prior()
        known = np.isfinite(costs)
        archs = [arch for arch, flag in zip(support, known, strict=True) if flag]
        self._note_rows(archs)
        self._centre = float(costs[known].mean())
        targets = Targets.of(costs[known] / self._centre, self._powers)
        views = self._views(archs, self._possible_views(features, archs))
        self._beliefs, self._predicted = weigh(prior, views, targets, self._seen), None
        if len(features.views) > 1:
            self.device = replace(self.device, dead_operations=decided_view(self._beliefs))
        self._left_out = np.full(len(costs), np.nan)
        others = left_out(prior, self._beliefs, views, targets, self._powers)
        self._left_out[known] = self._centre * others
        self._wrong = np.full(len(costs), np.nan)
        self._wrong[known] = wrong_probability(self._beliefs, len(archs))

    def _possible_views(
        self, features: ArchFeatures, archs: Sequence[Arch]
    ) -> Sequence[DeadOperations]:
        stated = self.device.dead_operations
        if stated is not None and stated in features.views:
            return (stated,)
        # Without a dead operation among them the measurements cannot tell.
        return features.views if features.has_dead(archs) else (self._usual_view(features),)

    def _usual_view(self, features: ArchFeatures) -> DeadOperations:
        """Give what a device did if nothing tells: exported networks have no dead operations."""
        return "executed" if set(self._seen) == {"executed"} else features.views[-1]

    def _mixture(self, archs: Sequence[Arch]) -> NormalMixture:
        _, prior = self._require_prior()
        if self._beliefs is None:
            raise InvalidValueError(
                "`adapt` must be called with measurements of a device before `predict`."
            )
        # Costs and their deviations are mostly wanted of the same ones.
        if self._predicted is not None and self._predicted[0] == tuple(archs):
            return self._predicted[1]
        used = list(dict.fromkeys(belief.view for belief in self._beliefs))
        views = self._views(archs, used)
        found = mixture(prior, self._beliefs, views, self._powers, self._used_power)
        self._predicted = (tuple(archs), found)
        return found

    @property
    def _powers(self) -> Powers:
        return {"executed": self.power, "pruned": self.pruned_power}

    @property
    def _used_power(self) -> float:
        view = decided_view(self._beliefs or ())
        return self.power if view is None else self._powers[view]

    def _draw(self, n: int, rng: np.random.Generator) -> list[Arch]:
        return list(dict.fromkeys(self.space.sample(rng) for _ in range(n)))

    def _make_features(self, archs: Sequence[Arch]) -> ArchFeatures:
        if not self.network:
            return ArchFeatures(self.space)
        task = get_task(self.dataset)
        columns = NetworkColumns.fit(self.space, task, archs[:_CANDIDATES_TO_BUILD], self.power)
        return ArchFeatures(self.space, network=columns)
