"""What is searched for, in words, as a study keeps it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from hwnas.data.own_images import OwnImages
from hwnas.errors import DataFormatError, InvalidValueError
from hwnas.files.pinned import pinned_file
from hwnas.pareto.provenance import plain
from hwnas.spaces.functions import FunctionSpace
from hwnas.typing import Arch, SearchSpace

DEFAULT_SCORE = "jacob_cov+params"
DEFAULT_COST = "onnxruntime:cpu:latency"
LEARNED = "hwnas-model"
"""Objective that is the accuracy expected by labels."""
_LEARNED_VERSION = 4
"""Counts up whenever equal labels promise other accuracies, as `Recipe.version` does."""
_FREE = ("trials", "measure", "measure_budget")
_SCORES = "scores"
"""What the identity calls the versions of ready-made scores."""
FRONT_SCORES = "score_versions"
"""What a front's provenance calls them."""
_LATER = ("reduced", "labels", "transfer")
"""Settings that stand in the identity only where they are used, so that older studies go on."""


@dataclass(frozen=True)
class SearchSettings:
    """What is searched for; two searches with equal settings give equal fronts.

    Measured costs are the exception: their noise differs, unless both read one cache.

    Attributes:
        space: search space by name.
        dataset: classes, image size and published tables.
        objectives: proxies and ready-made scores by name; none for `default_score`.
        costs: ``SOURCE:DEVICE:METRIC``.
        constraints: ``NAME<=NUMBER`` or ``NAME>=NUMBER``.
        sampler: sampler of the host by name.
        trials: trials in the end.
        measure: what measures the candidates that a predicted cost leaves open, as a cost, or
            where they are asked for, see `hwnas.study.measured_elsewhere`; empty for nothing.
        measure_budget: most candidates to measure.
        reduced: smaller setting that proxies score in, see `Reduced`; empty for the task's own.
        labels: file with the accuracies of trained networks, which the objective `LEARNED` and the
            front's expected accuracies are learned from; empty for none.
        transfer: networks trained for other data sets or of other spaces that help, each as
            `hwnas.study.labels.Elsewhere` reads it.
        batch: images that the proxies see.
        images: which: ``gaussian``, ``cifar10-sample`` or the user's own, see `EvaluationSetup`;
            the user's own say classes and image size, whatever `dataset` is.
        seed: seed of everything random.
    """

    space: str = "nasbench201"
    dataset: str = "cifar10"
    objectives: tuple[str, ...] = (DEFAULT_SCORE,)
    costs: tuple[str, ...] = (DEFAULT_COST,)
    constraints: tuple[str, ...] = ()
    sampler: str = "hardware-aware"
    trials: int = 64
    batch: int = 32
    images: str = "gaussian"
    seed: int = 0
    measure: str = ""
    measure_budget: int = 0
    reduced: str = ""
    labels: str = ""
    transfer: tuple[str, ...] = ()

    @classmethod
    def from_identity(cls, identity: Mapping[str, Any]) -> SearchSettings:
        """Read what `identity` gave; the number of trials is the default one.

        Raises:
            InvalidValueError: it is what another version of hwnas gave, or damaged.
        """
        values: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in identity.items()
            if name != _SCORES
        }
        try:
            found = cls(**values)
        except TypeError:
            raise InvalidValueError(
                f"`settings` must be of this version of hwnas, but got {', '.join(identity)}."
            ) from None
        for name, value in vars(found).items():
            usual = getattr(cls, name)
            texts = not isinstance(value, tuple) or all(isinstance(v, str) for v in value)
            if type(value) is not type(usual) or not texts:
                kind = "a list of texts" if isinstance(usual, tuple) else type(usual).__name__
                raise InvalidValueError(
                    f"`settings` must have {kind} as {name}, but got {value!r}: the study is "
                    f"damaged."
                )
        return found

    def pinned(self, space: SearchSpace[Arch]) -> SearchSettings:
        """Name the user's own images by place and checksum, and the data set by them.

        A function of the user's gets the fingerprint of its code, a file of labels or of accuracies
        to be transferred its checksum.
        """
        pinned = replace(self, space=repr(space)) if isinstance(space, FunctionSpace) else self
        if self.labels:
            pinned = replace(pinned, labels=pinned_file(self.labels, "labels"))
        if self.transfer:
            from hwnas.study.labels import pinned_transfer

            pinned = replace(pinned, transfer=tuple(map(pinned_transfer, self.transfer)))
        own = OwnImages.parse(self.images)
        if own is None:
            return pinned
        name = own.task_for(self.dataset).name
        return replace(pinned, images=own.pinned(self.batch), dataset=name)

    def identity(self) -> dict[str, Any]:
        """Give what must stay the same when a study goes on.

        That is everything but the trials, and what is measured when they are done. A setting of
        `_LATER` is there where it is used, and so are the versions of ready-made scores that have
        changed: a study of one that has not goes on.
        """
        found = {k: v for k, v in plain(asdict(self)).items() if k not in _FREE}
        if scores := score_versions(self.objectives):
            found[_SCORES] = scores
        return {k: v for k, v in found.items() if k not in _LATER or v}

    def insist_on_scores_of(self, identity: Mapping[str, Any]) -> None:
        """Insist that ready-made scores are today what they were for a study.

        Args:
            identity: what `identity` gave for it.

        Raises:
            InvalidValueError: one of them has changed.
        """
        _insist(identity.get(_SCORES, {}), score_versions(self.objectives), "study")

    def insist_on_scores_of_front(self, provenance: Mapping[str, Any]) -> None:
        """Insist that ready-made scores are today what they were for a front.

        Args:
            provenance: the front's.

        Raises:
            InvalidValueError: one of them has changed.
        """
        _insist(_front_scores(provenance), score_versions(self.objectives), "front")


def _front_scores(provenance: Mapping[str, Any]) -> Mapping[str, int]:
    """Give the versions that a front tells; one read from a storage tells them as its study does.

    A study's identity holds them, and the front of a storage or of NNI's models has it as its
    settings; the front of a search has the settings without them.
    """
    settings = provenance.get("settings")
    in_study = settings.get(_SCORES, {}) if isinstance(settings, Mapping) else {}
    found: Mapping[str, int] = provenance.get(FRONT_SCORES, in_study)
    return found


def _insist(there: Mapping[str, int], now: Mapping[str, int], what: str) -> None:
    if there != now:
        anew = "search again" if what == "front" else "start another study"
        raise InvalidValueError(
            f"`{what}` must have the scores of this version of hwnas, but their versions are "
            f"{there} there and {now} here: {anew}, or use the version of hwnas that made the "
            f"{what}."
        )


def score_versions(objectives: Sequence[str]) -> dict[str, int]:
    """Give the versions above 1 of the ready-made scores that objectives are, or begin with."""
    from hwnas.ranking.recipes import RECIPES
    from hwnas.study.sample import BEGINNING

    used = [BEGINNING if o == LEARNED else RECIPES.get(o) for o in objectives]
    known = {r.name: r.version for r in used if r is not None and r.version > 1}
    return known | ({LEARNED: _LEARNED_VERSION} if LEARNED in objectives else {})


def read_stored(text: object, what: str) -> dict[str, Any]:
    """Read what a study keeps of its search as JSON text.

    Args:
        text: what the storage gave.
        what: what it is, for the error.

    Raises:
        DataFormatError: it is no text of a JSON object: the study is damaged.
    """
    try:
        found = json.loads(text) if isinstance(text, str) else None
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise DataFormatError(
            f"`study` must keep its {what} as a JSON object, but has {str(text)[:60]!r}: it is "
            f"damaged."
        )
    return found
