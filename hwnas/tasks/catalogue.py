"""The tasks that have a name: the data sets of the published benchmarks."""

from __future__ import annotations

from hwnas.errors import unknown_name
from hwnas.tasks.task import Map, Regression, RegressionMap, Task, TensorSpec, image_task

_ROOM = TensorSpec((3, 256, 256))
"""A photograph of a room, as TransNAS-Bench-101 takes them from Taskonomy."""

TASKS = {
    task.name: task
    for task in (
        image_task(10, (3, 32, 32), "cifar10"),
        image_task(100, (3, 32, 32), "cifar100"),
        image_task(120, (3, 16, 16), "ImageNet16-120"),
        image_task(1000, (3, 224, 224), "ImageNet"),
        # The seven tasks of TransNAS-Bench-101 (Duan et al., CVPR 2021).
        image_task(75, _ROOM.shape, "class_object"),
        image_task(47, _ROOM.shape, "class_scene"),
        # Which of 1,000 permutations the 3 x 3 tiles of 64 x 64 pixels are in.
        image_task(1000, (3, 192, 192), "jigsaw"),
        Task("room_layout", _ROOM, Regression(9)),
        Task("segmentsemantic", _ROOM, Map(17)),
        Task("normal", _ROOM, RegressionMap(3)),
        Task("autoencoder", _ROOM, RegressionMap(3)),
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
