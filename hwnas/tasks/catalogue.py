"""The tasks that have a name: the data sets of the published benchmarks."""

from __future__ import annotations

from hwnas.errors import unknown_name
from hwnas.tasks.task import Task, image_task

TASKS = {
    task.name: task
    for task in (
        image_task(10, (3, 32, 32), "cifar10"),
        image_task(100, (3, 32, 32), "cifar100"),
        image_task(120, (3, 16, 16), "ImageNet16-120"),
        image_task(1000, (3, 224, 224), "ImageNet"),
    )
}


def get_task(name: str) -> Task:
    """Find a task by the official name of its data set.

    Raises:
        UnknownNameError: there is no such data set; suggests the closest name.
    """
    if name not in TASKS:
        raise unknown_name("dataset", name, TASKS)
    return TASKS[name]
