"""What a user should hear of a finished search, a line each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hwnas.evaluation.sources import CostValues
from hwnas.pareto import ParetoSet
from hwnas.study.reduction import SAMPLE


def reductions(front: ParetoSet) -> list[str]:
    """Say how well scores of a reduced setting rank networks as those of the full one do."""
    found = front.provenance.get("reduced_agreement")
    if not found:
        return []
    each = ", ".join(f"{name} {rho:.3f}" for name, rho in found.items())
    return [
        f"Ranks of the reduced setting beside the full one's, {SAMPLE} networks, Spearman: {each}."
    ]


if TYPE_CHECKING:
    from hwnas.evaluation.evaluator import Evaluator
    from hwnas.typing import SearchSpace

_REASONS = 5
"""Reasons of which each is said."""


def refusals(front: ParetoSet) -> list[str]:
    """Say how many trials chose what makes no architecture, and why the first one did."""
    if not (count := front.provenance.get("refused")):
        return []
    more = (
        f"{count} trials were infeasible since their choices make no network that runs, the first: "
    )
    return [f"{more}{front.provenance['refusal']}"]


def failures(front: ParetoSet) -> list[str]:
    """Say why trials failed, the most frequent reasons and how often each."""
    found = front.provenance.get("failures", {})
    told = [f"{count} failed, {why}" for why, count in list(found.items())[:_REASONS]]
    more = len(found) - len(told)
    return [*told, *([f"{more} further reasons stand in the study's trials."] if more else [])]


def left_out(space: SearchSpace[Any]) -> list[str]:
    """Say how many choices of a user's function make no network, and each reason once."""
    from hwnas.spaces.functions import FunctionSpace

    if not isinstance(space, FunctionSpace):
        return []
    why: dict[str, list[str]] = {}
    for text in space.refused():
        why.setdefault(text.rpartition(", but ")[2], []).append(text)
    return [
        f"{len(texts)} of the choices that {space.target} was asked for are no architecture, e.g.: "
        f"{texts[0]}"
        for texts in list(why.values())[:_REASONS]
    ]


def shortage(front: ParetoSet) -> list[str]:
    """Say that a search ended before it had its trials."""
    if (there := front.provenance.get("ended_after")) is None:
        return []
    return [
        f"The search ended after {there} trials: no other architecture was found that may be "
        f"proposed."
    ]


def redundancies(front: ParetoSet) -> list[str]:
    """Say which objectives rank the evaluated architectures the same way."""
    import numpy as np

    from hwnas.evaluation.objectives import redundant_pairs

    names = [objective.name for objective in front.objectives]
    # One row a class: repeated architectures would pretend agreement.
    rows = {e.key: e.values for e in front.evaluated if e.status == "complete"}
    values = np.array(list(rows.values()), dtype=np.float64).reshape(-1, len(names))
    return [
        f"{a} and {b} are redundant objectives: Spearman {rho:.3f} over {len(values)} "
        f"architectures."
        for a, b, rho in redundant_pairs(names, values)
    ]


def agreements(front: ParetoSet, evaluator: Evaluator[Any]) -> list[str]:
    """Say of each cost in a lower precision how well the members' outputs agree with float32's.

    What was measured on other hosts is not known here, and not counted.
    """
    found = []
    for objective in evaluator.objectives:
        source = objective.source
        if not isinstance(source, CostValues) or source.cost.device.precision == "float32":
            continue
        results = evaluator.kept(objective, [member.key for member in front.members])
        pairs = [
            (r.detail.get("correlation"), r.detail.get("relative_error")) for r in results.values()
        ]
        known = [(float(c), float(e)) for c, e in pairs if c is not None and e is not None]
        if known:
            found.append(_agreement(objective.name, source.cost.device.precision, known))
    return found


def _agreement(name: str, precision: str, known: list[tuple[float, float]]) -> str:
    from hwnas.runtimes.agreement import LEAST_CORRELATION

    least, poor = min(known)[0], sum(c < LEAST_CORRELATION for c, _ in known)
    largest = max(error for _, error in known)
    text = (
        f"{name}: over {len(known)} members the outputs in {precision} correlate with those in "
        f"float32 by {least:.4f} at least, and differ by {100 * largest:.1f} % of the largest "
        f"at most."
    )
    if not poor:
        return text
    doubt = f"{poor} of them agree poorly, below {LEAST_CORRELATION}: their accuracy is in doubt."
    return f"{text} {doubt}"
