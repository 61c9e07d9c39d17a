"""How far to trust the scores that labels begin with: several beliefs, weighed by the labels.

Five labels cannot tell whether a score ranks a space well, and a process that holds one belief of
it either forgets a good score for five labels or keeps a bad one. So processes of several beliefs
are fitted, and each counts as its marginal likelihood says, at the settings that maximise it
(Rasmussen and Williams, Gaussian Processes for Machine Learning, 2006, Sec. 5.2).
"""

from __future__ import annotations

import numpy as np
from scipy.special import softmax

from hwnas.ranking.label_process import LabelProcess, Points, Trust
from hwnas.typing import FloatArray

ODDS = {0.0: 1.0, 0.5: 2.0, 0.8: 3.0, 0.93: 4.0}
"""How likely each weight of the scores is before a label, from worth nothing to nearly all. Ready-
made scores are made to rank, so that the larger ones are likelier."""
TRUSTS = tuple(Trust(weight, smooth) for weight in ODDS for smooth in (0.1, 0.9))
"""Beliefs that are weighed; what a score leaves is mostly noise, or mostly what inputs tell."""
_LEAST = 0.02


class LabelMixture:
    """The mixture of `LabelProcess`es of different beliefs, given labels of a few architectures.

    Example:
        Two labels that agree with a score leave its order as it is.

        >>> score = np.linspace(-1, 1, 5)[:, None]
        >>> pool = Points([np.zeros((5, 0))], score)
        >>> mixture = LabelMixture().fit(pool.take(np.array([1, 3])), np.array([-0.5, 0.5]))
        >>> bool(np.all(np.diff(mixture.predict(pool)[0]) > 0))
        True
    """

    _processes: list[LabelProcess]
    _weights: FloatArray

    def fit(self, labelled: Points, targets: FloatArray) -> LabelMixture:
        """Learn from `(k,)` labels around 0 whose variance is about 1, k >= 1."""
        scored = labelled.scores.shape[1] > 0
        trusts = [trust for trust in TRUSTS if scored or not trust.weight]
        settled = [LabelProcess(trust).settle(labelled, targets) for trust in trusts]
        prior = np.log([ODDS[trust.weight] for trust in trusts])
        weights = softmax(prior - [process.misfit for process in settled])
        # Only they are given all labels: each keeps (k, k) numbers.
        kept = np.flatnonzero(weights >= _LEAST)
        self._processes = [settled[i].condition(labelled, targets) for i in kept]
        self._weights = weights[kept] / weights[kept].sum()
        return self

    def predict(self, points: Points) -> tuple[FloatArray, FloatArray]:
        """Give `(n,)` means and standard deviations of a label, its noise included."""
        told = np.array([process.predict(points) for process in self._processes])
        means, deviations = told[:, 0], told[:, 1]
        mean = self._weights @ means
        # The variance of a mixture: the mean of the variances and the variance of the means.
        variance = self._weights @ (deviations**2 + (means - mean) ** 2)
        return mean, np.sqrt(variance)
