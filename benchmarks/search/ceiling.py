"""The most that a search can find which proposes each class of equal networks once.

The members of a class have accuracies and costs of their own in the tables. If the cheapest member
of every class were evaluated, tight hypervolume and recall of the true front would be these. Needs
HWNAS_DATA::

    python -m benchmarks.search.ceiling
"""

from __future__ import annotations

from benchmarks.search.tasks import COSTS, DATASETS, SPACE, Task


def main() -> None:
    print("| cost | data set | tight hypervolume | recall |")
    print("| --- | --- | --- | --- |")
    for device, metric in COSTS:
        for dataset in DATASETS:
            task = Task(dataset, device, metric)
            cheapest: dict[str, int] = {}
            for row in task.losses[:, 1].argsort().tolist():
                cheapest.setdefault(SPACE.canonical_key(task.population[row]), row)
            found = task.quality(list(cheapest.values()))
            print(
                f"| {device} {metric} | {dataset} | {found.tight_hypervolume:.3f} | "
                f"{found.recall:.2f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
