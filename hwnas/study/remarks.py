"""What a user should hear of a finished search, a line each."""

from __future__ import annotations

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


def refusals(front: ParetoSet) -> list[str]:
    """Say how many trials chose what makes no architecture, and why the first one did."""
    if not (count := front.provenance.get("refused")):
        return []
    more = (
        f"{count} trials were infeasible since their choices make no network that runs, the first: "
    )
    return [f"{more}{front.provenance['refusal']}"]


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
