"""Accuracies that a search learns from: the user's file, and those of other data sets or spaces."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Unpack

import numpy as np

from hwnas.data.own_images import OwnImages
from hwnas.errors import DataFormatError, HwnasError, InvalidValueError, unknown_name
from hwnas.evaluation.evaluator import EvaluatorOptions
from hwnas.evaluation.sources import ProxyValues
from hwnas.files.grammar import Component, read_component
from hwnas.files.pinned import pinned_file, unpinned_file
from hwnas.process_state import unwarned
from hwnas.proxies import make_proxies, proxy_names
from hwnas.ranking.metrics import seed_stability
from hwnas.ranking.trained_classes import TrainedClasses
from hwnas.seeding import derive_seed
from hwnas.spaces.facets import SlowTruth, Truth, facet, quantity_of, require_facet
from hwnas.spaces.space_text import named_space
from hwnas.study.configuration import EvaluationSetup, bounded
from hwnas.study.sample import Labelled, Sample
from hwnas.study.stability import scores_of, seed_agreement
from hwnas.tables.accuracy_file import COLUMN, AccuracyFile
from hwnas.tables.shipped import ShippedScores, shipped_scores
from hwnas.typing import Arch, SearchSpace

MOST_ELSEWHERE = 512
"""Labels of another data set or space that are learned from, unless its text says how many."""
MOST_PUBLISHED = 20_000
"""Published accuracies that are all put into classes to state those of a few networks."""
_OWN = ("dataset", "split", "labels", "truth")


def pinned_transfer(text: str) -> str:
    """Give the text that finds trained networks again, and no other ones.

    A file of accuracies is named by its place and checksum; published ones need none.

    Raises:
        HwnasError: the text has another form, there is no such file, or it has changed.
    """
    component = read_component(text, "transfer", words=1)
    if "truth" not in component.settings:
        return text
    return _with_truth(component, pinned_file(str(component.settings["truth"]), "truth"))


def read_labels(text: str, space: SearchSpace[Arch]) -> dict[str, float]:
    """Read accuracies in percent by the text of the architecture.

    Args:
        text: a file with the columns `architecture` and `accuracy`, with or without ``#CHECKSUM``.
        space: search space.

    Raises:
        DataNotFoundError: there is no such file.
        InvalidValueError: it is not the file of the checksum, or a column is absent.
        DataFormatError: a value is no accuracy.
    """
    return AccuracyFile.read(unpinned_file(text, "labels"), space).known


def published_classes(
    space: SearchSpace[Arch],
    dataset: str,
    folder: Path | None = None,
    members: Sequence[str] = (),
) -> tuple[TrainedClasses, str] | None:
    """Find the published accuracies of a space's networks on a data set, if they are at hand.

    Of more than `MOST_PUBLISHED`, and of those that are read one by one, there are the members'
    alone, as they are written; a `SlowTruth` is not read.

    Args:
        space: search space.
        dataset: what the networks are for.
        folder: data folder; None for the default one.
        members: texts of the architectures that are asked about.

    Returns:
        Trainings by canonical key, and which split they are of; None where there are none, or
        where they are losses. A file that is not the published one is warned of.
    """
    truth = facet(space, Truth)
    if truth is None or isinstance(truth, SlowTruth):
        return None
    if quantity_of(truth, dataset) != COLUMN:
        return None
    split, trainings = truth.splits[0], dict[str, list[float]]()
    try:
        with unwarned():  # another source of them will do
            known = truth.accuracies(dataset, split, folder)
        whole = isinstance(known, dict) and len(known) <= MOST_PUBLISHED
        # A mapping of another kind reads each value from a file.
        for text in known if whole else [text for text in members if text in known]:
            trainings.setdefault(space.canonical_key(space.parse(text)), []).append(known[text])
    except DataFormatError as error:
        warnings.warn(f"Published accuracies are not stated: {error}", stacklevel=2)
        return None
    except HwnasError:
        return None
    return (TrainedClasses.of(trainings), split) if trainings else None


@dataclass(frozen=True)
class Elsewhere:
    """Networks trained for another data set, or of another space.

    Attributes:
        text: how the user names them, whatever folder a file of theirs is in.
        space: their space.
        dataset: their data set.
        split: which accuracies.
        accuracies: by the text of the exact architecture.
        labels: how many of them are learned from at most.
    """

    text: str
    space: SearchSpace[Any]
    dataset: str
    split: str
    accuracies: Mapping[str, float]
    labels: int = MOST_ELSEWHERE

    @classmethod
    def read(cls, text: str, folder: Path | None = None) -> Elsewhere:
        """Read ``SPACE[:dataset=NAME,split=NAME,labels=N]``, or ``truth=FILE.csv`` for a data set.

        A file may be named with its checksum, see `pinned_transfer`.

        Args:
            text: what the user wrote.
            folder: data folder; None for the default one.

        Raises:
            HwnasError: there is no such space, data set or file, or the file has changed.
        """
        component = read_component(text, "transfer", words=1)
        own = {name: component.settings[name] for name in _OWN if name in component.settings}
        rest = [f"{n}={v}" for n, v in component.settings.items() if n not in own]
        name = ":".join((component.name, *component.words))
        space = named_space(":".join([name, ",".join(rest)]) if rest else name)
        dataset = str(own.get("dataset", space.default_task.name))
        labels = own.get("labels", MOST_ELSEWHERE)
        if isinstance(labels, bool) or not isinstance(labels, int) or labels < 2:
            raise InvalidValueError(
                f"`labels` of {text!r} must be a number from 2 on, but got {labels!r}."
            )
        truth: Truth
        if "truth" in own:
            path = unpinned_file(str(own["truth"]), "truth")
            text = _with_truth(component, path.name)
            truth = AccuracyFile.read(path, space, losses=True)
        else:
            truth = require_facet(space, Truth)
        split = str(own.get("split", truth.splits[0]))
        if split not in truth.splits:
            raise unknown_name("split", split, truth.splits)
        return cls(text, space, dataset, split, truth.accuracies(dataset, split, folder), labels)

    def labelled(
        self,
        setup: EvaluationSetup[Any],
        names: Sequence[str],
        **options: Unpack[EvaluatorOptions],
    ) -> Labelled[Any]:
        """Give a random choice of these networks with their scores.

        Scores that ship with hwnas are taken where there are any of the space; else the networks
        are scored now, at the space's own task. The user's own images are of another task: here
        Gaussian ones take their place.

        Args:
            setup: batch, images, seed, device and limit of the search that learns from them.
            names: columns that are wanted; those that are scored now are proxies' names.
            options: how networks are scored; the limits are those of the setup.
        """
        images = setup.images if OwnImages.parse(setup.images) is None else "gaussian"
        shipped = shipped_scores(self.space.name, self.space.default_task.name, images)
        known = shipped if shipped is not None and _all_of(shipped, self.space) else None
        archs = self._chosen(setup.seed, known)
        if known is not None:
            sample = _shipped(known, self.space, archs, names)
        else:
            task = self.space.default_task
            own = replace(setup, space=self.space, task=task, images=images)
            source = own.proxies(make_proxies([n for n in names if n in proxy_names()]))
            options["limits"] = bounded(self.space, setup.limit_seconds)
            options["task"] = task
            sample = _scored(source, archs, **options)
        values = np.array([self.accuracies[str(arch)] for arch in archs])
        about = f"{len(archs)} of {self.space.name}, {self.dataset}, {self.split}"
        return Labelled(sample, values, about)

    def _chosen(self, seed: int, known: ShippedScores | None) -> list[Any]:
        """Choose different networks whose accuracies are known, connected ones."""
        texts = sorted(self.accuracies)
        order = np.random.default_rng(derive_seed(seed, self.text, "elsewhere")).permutation(
            len(texts)
        )
        found: dict[str, Any] = {}
        for i in order:
            arch = self.space.parse(texts[i])
            if len(found) == self.labels:
                break
            if self.space.is_valid(arch):
                key = self.space.canonical_key(arch)
                if known is None or key in known.table.rows:
                    found.setdefault(key, arch)
        return list(found.values())


def _with_truth(component: Component, file: str) -> str:
    """Write a component with another file of accuracies."""
    settings = {**component.settings, "truth": file}
    written = ",".join(f"{name}={value!r}" for name, value in settings.items())
    return ":".join((component.name, *component.words, written))


def _all_of(scores: ShippedScores, space: SearchSpace[Arch]) -> bool:
    """Tell whether shipped scores are of this space with just these settings."""
    return all(column.is_of(space) for column in scores.about.values())


def _shipped(
    scores: ShippedScores, space: SearchSpace[Arch], archs: Sequence[Arch], names: Sequence[str]
) -> Sample[Any]:
    there = [name for name in names if name in scores.table.columns]
    keys = [space.canonical_key(arch) for arch in archs]
    columns = {name: scores.table.values(name, keys) for name in there}
    again = scores.again.keys or ()
    alike = {
        name: seed_stability(scores.table.values(name, again), scores.again.columns[name])
        for name in there
    }
    return Sample(space, archs, columns, alike)


def _scored(
    source: ProxyValues[Arch], archs: Sequence[Arch], **options: Unpack[EvaluatorOptions]
) -> Sample[Arch]:
    columns = scores_of(source, archs, **options)
    return Sample(source.space, archs, columns, seed_agreement(source, **options))
