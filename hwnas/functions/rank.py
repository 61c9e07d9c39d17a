"""`hwnas.rank`: how well proxies and ready-made scores rank networks of known accuracy."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from hwnas.evaluation.cache import ResultCache
from hwnas.evaluation.evaluator import Report
from hwnas.rank_study.study import Ranked, RankSettings, RankStudy
from hwnas.spaces.space_text import written_space
from hwnas.typing import Arch, SearchSpace

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Rankings(Sequence[Ranked]):
    """What was found for each data set.

    Attributes:
        found: population and rows of each data set.
    """

    found: tuple[Ranked, ...]

    @property
    def rows(self) -> list[dict[str, Any]]:
        """A row a score and data set, with every rank metric by name."""
        return [dict(row) for ranked in self.found for row in ranked.rows]

    def to_dataframe(self) -> pd.DataFrame:
        """Give `rows` as a table, which pandas can sort and plot."""
        import pandas as pd

        return pd.DataFrame(self.rows)

    def __len__(self) -> int:
        """Count the data sets."""
        return len(self.found)

    def __iter__(self) -> Iterator[Ranked]:
        """Iterate over the data sets."""
        return iter(self.found)

    @overload
    def __getitem__(self, index: int) -> Ranked: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Ranked]: ...
    def __getitem__(self, index: int | slice) -> Ranked | Sequence[Ranked]:
        """Give a data set by its place."""
        return self.found[index]


def rank(
    space: SearchSpace[Arch] | str = "nasbench201",
    dataset: str | Sequence[str] = (),
    proxies: str | Sequence[str] = "all",
    *,
    split: str | None = None,
    truth: str | os.PathLike[str] | None = None,
    scores: str | os.PathLike[str] | None = None,
    population: str | None = None,
    sample: int | None = None,
    labels: int | Sequence[int] = (),
    transfer: str | Sequence[str] = (),
    ndcg: int = 1000,
    bootstrap: int = 0,
    against: str | None = None,
    cost: str | None = None,
    seed: int = 0,
    second_seed: int | None = None,
    images: str = "gaussian",
    batch_size: int = 16,
    reduced: str = "",
    jobs: int = 1,
    data_folder: Path | None = None,
    report: Report | None = None,
    note: Callable[[str], None] = warnings.warn,
) -> Rankings:
    """Compare proxies and ready-made scores with known accuracies.

    Args:
        space: a search space, or its text as ``hwnas rank --space`` takes it.
        dataset: data sets by name; none for the one that the space is usually for.
        proxies: proxies and ready-made scores by name; ``all`` for every one. Of `scores` also
            columns of your own, as ``-NAME`` where less is better.
        split: which accuracies; the first that the data set has if None.
        truth: table with the columns `architecture` and `accuracy` in percent, or `loss`, of which
            less is better, instead of the space's own.
        scores: table of ``hwnas score --out``, instead of the shipped scores.
        population: of the shipped scores: ``live``, ``all`` or ``networks``.
        sample: different networks to score now, instead of the shipped scores.
        labels: architectures to learn rankings from; several numbers give a curve.
        transfer: trained networks of other data sets or spaces that help the labels, as in
            `hwnas.search`.
        ndcg: P of nDCG@P.
        bootstrap: resamples for 95 % intervals; 0 for none.
        against: a score that the others' Kendall coefficients are compared with, with paired
            resamples.
        cost: a cost as `hwnas.search` takes it; the front that each score has with it alone,
            without an evaluation, is rated by the known accuracies.
        seed: seed of everything random.
        second_seed: score the sample with this seed too, to compare the ranks.
        images: what proxies see, as in `hwnas.search`.
        batch_size: images that proxies see.
        reduced: the smaller setting that a sample is scored in, as in `hwnas.search`.
        jobs: worker processes.
        data_folder: folder of published data; None for ``HWNAS_DATA``.
        report: called with (label, finished, total), e.g. by a progress bar.
        note: is told, a line each, what was left out.

    Raises:
        HwnasError: a name, a value or the data is not usable, or they do not go together.

    Example:
        >>> import hwnas, pandas, tempfile
        >>> cells = [str(cell) for cell in hwnas.NasBench201()][:100]
        >>> file = tempfile.mkdtemp() + "/accuracies.csv"
        >>> known = pandas.DataFrame({"architecture": cells, "accuracy": range(100)})
        >>> known.to_csv(file, index=False)
        >>> found = hwnas.rank(truth=file, proxies="synflow", population="all", note=print)
        15525 architectures without a known accuracy were left out.
        >>> found.rows[0]["score"], found.rows[0]["n"]
        ('synflow', 100)
    """
    settings = RankSettings(
        space=space if isinstance(space, str) else written_space(space),
        datasets=_several(dataset),
        split=split,
        truth=None if truth is None else Path(truth),
        scores=None if scores is None else Path(scores),
        population=population,
        proxies=_several(proxies),
        sample=sample,
        labels=(labels,) if isinstance(labels, int) else tuple(labels),
        transfer=_several(transfer),
        ndcg=ndcg,
        resamples=bootstrap,
        against=against,
        cost=cost,
        seed=seed,
        second_seed=second_seed,
        batch=batch_size,
        images=images,
        data=data_folder,
        reduced=reduced,
    )
    study = RankStudy.prepare(settings, None if isinstance(space, str) else space)
    with ExitStack() as stack:
        scores_now = sample is not None or transfer
        cache = None if not scores_now else stack.enter_context(ResultCache.default())
        return Rankings(tuple(study.run(note, cache=cache, jobs=jobs, report=report)))


def _several(names: str | Sequence[str]) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else tuple(names)
