"""Options that several commands have."""

from __future__ import annotations

from typing import Annotated

import typer

from hwnas.errors import InvalidValueError

Images = Annotated[
    str,
    typer.Option(
        help="gaussian; cifar10-sample, see `hwnas data`; or your own: FILE.npz with arrays "
        "images (N,C,H,W) and labels, or a folder of class folders of pictures."
    ),
]
Dataset = Annotated[
    str | None,
    typer.Option(
        help="Classes, image size and tables: cifar10, cifar100, ImageNet16-120, ImageNet. "
        "\\[default: cifar10, or what your own --images say]"
    ),
]
Jobs = Annotated[int, typer.Option(help="Worker processes; -1 for all cores.")]
OwnSpace = Annotated[
    str | None,
    typer.Option(
        "--space", help="Its search space where that is a class of your own: MODULE:CLASS."
    ),
]
Backend = Annotated[
    str,
    typer.Option(help="Where they run: loky (here), ray or dask, each an extra of its name."),
]
Cluster = Annotated[
    str | None,
    typer.Option(help="Address of a ray or dask cluster. \\[default: one that is started here]"),
]


def named_dataset(dataset: str | None, images: str) -> str:
    """Give the data set, `cifar10` by default; the user's own images take its place."""
    from hwnas.data.own_images import OwnImages

    if dataset is None:
        return "cifar10"
    if OwnImages.parse(images) is not None:
        raise InvalidValueError(
            f"`--dataset` must not be given with images of your own, which say classes and size, "
            f"but got {dataset}."
        )
    return dataset
