"""Options that several commands have."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hwnas.errors import InvalidValueError

if TYPE_CHECKING:
    from hwnas.typing import SearchSpace

_ANSWER = re.compile(r"([a-z]+\d{0,9}|\d{1,9})(,\d{1,9})?", re.ASCII)

Images = Annotated[
    str,
    typer.Option(
        help="gaussian; cifar10-sample, see `hwnas data`; or your own: FILE.npz with arrays "
        "images (N,C,H,W), signals (N,C,T), vectors (N,F) or tokens (N,T), and labels, or a folder "
        "of class folders of pictures, FOLDER@HxW where they are to be brought to one size."
    ),
]
Archs = Annotated[
    list[str] | None,
    typer.Option("--arch", "--architecture", help="Architecture string."),
]
ArchsFile = Annotated[
    Path | None,
    typer.Option(
        "--archs",
        "--architectures",
        help="File with one architecture string a line, or a table with a column architecture.",
    ),
]
Dataset = Annotated[
    str | None,
    typer.Option(
        help="Classes, image size and tables: cifar10, cifar100, ImageNet16-120, ImageNet. "
        "[default: cifar10, or what your own --images say]"
    ),
]
Device = Annotated[
    str,
    typer.Option(help="Where proxies run: cpu, cuda, cuda:N or mps. Worker processes share it."),
]
Reduced = Annotated[
    str,
    typer.Option(
        metavar="SIDE[,IMAGES]",
        help="Score proxies on smaller images, and on fewer: pixels of the shorter side, e.g. 64 "
        "or 64,8. Costs and bounds stay those of the data set. [default: its own size]",
    ),
]
Transfer = Annotated[
    list[str] | None,
    typer.Option(
        metavar="SPACE:dataset=NAME",
        help="Trained networks of another data set or space that help the labels, e.g. "
        "nasbench201:dataset=cifar10 or MODULE:CLASS:truth=FILE.csv; also split= and labels=.",
    ),
]
Jobs = Annotated[int, typer.Option(help="Worker processes; -1 for all cores.")]
LimitSeconds = Annotated[
    float | None,
    typer.Option(
        help="Longest time for one network, its building included, before it counts as endless. "
        "[default: 600 for networks of your own and for measurements]"
    ),
]
OwnSpace = Annotated[
    str | None,
    typer.Option(
        "--space",
        "--model",
        help="Its search space where that is your own: MODULE:FUNCTION or MODULE:CLASS.",
    ),
]
Input = Annotated[
    str | None,
    typer.Option(
        "--input",
        help="Shape of what the networks get: C,H,W of an image, C,T of a signal, F of a vector, "
        "T of tokens.",
    ),
]
Classes = Annotated[
    str | None,
    typer.Option(
        help="Classes that they tell apart; of tokens CLASSES,VOCABULARY. Other answers: map5 "
        "(five at every position), numbers3 or numbermap1 (real numbers), next,VOCABULARY, "
        "outputs (all that they return, as detectors)."
    ),
]
Baseline = Annotated[
    str | None,
    typer.Option(
        help="Your present network as MODULE:CALLABLE, which the members are compared with."
    ),
]
Backend = Annotated[
    str,
    typer.Option(help="Where they run: loky (here), ray or dask, each an extra of its name."),
]
Cluster = Annotated[
    str | None,
    typer.Option(help="Address of a ray or dask cluster. [default: one that is started here]"),
]


def chosen_networks(
    space: str,
    dataset: str | None,
    images: str,
    in_shape: str | None = None,
    classes: str | None = None,
    limit_seconds: float | None = None,
) -> tuple[str, str]:
    """Give the space and the data set that options name: what is searched, and what for.

    Args:
        space: registered, or of the user's own, whose module is imported.
        dataset: name of a data set, if one is given; by default it is the space's own.
        images: what proxies see; the user's own say what the networks are for.
        in_shape: shape of an input, if one is given.
        classes: number of classes, or another answer such as ``map5``, and the number of
            different tokens behind a comma, if it is given.
        limit_seconds: what one network may take; importing a module of the user's has 300 s at
            least.

    Raises:
        InvalidValueError: options contradict each other, or say too little.
    """
    from hwnas.data.own_images import OwnImages
    from hwnas.spaces.space_text import named_space, sized_text
    from hwnas.tasks.catalogue import get_task, name_of

    names_function(space, limit_seconds)
    own = OwnImages.parse(images)
    given = {"--dataset": dataset, "--input": in_shape, "--classes": classes}
    names = [name for name, value in given.items() if value is not None]
    if own is not None and not names:
        return sized_text(space, own.task), name_of(own.task)
    if own is not None and dataset is not None and own.says_task:
        raise InvalidValueError(
            f"`--dataset` must not be given with images of your own that say classes and size, but "
            f"got {dataset}: leave it out, or save them without labels."
        )
    in_shape, classes = with_size(in_shape, classes, images)
    if in_shape is not None or classes is not None:
        dataset = sizes_text(in_shape, classes, dataset)
        if own is not None:
            own.insist_on(get_task(dataset))
    text = sized_text(space, None if dataset is None else get_task(dataset))
    if dataset is None:
        with contextlib.suppress(InvalidValueError):
            dataset = name_of(named_space(text).default_task)
    return text, dataset or "cifar10"


def names_function(text: str, limit_seconds: float | None) -> bool:
    """Tell whether the user names a function of a trial, or a list of models.

    A child process imports its module first, which may end its process or never end.

    Args:
        text: what the user names.
        limit_seconds: what one network may take; importing has 300 s at least.

    Raises:
        InvalidValueError: the child ended, or did not end in time.
    """
    from hwnas.measure.in_child import is_child
    from hwnas.measure.isolation import child_with
    from hwnas.measure.limits import EndlessError, Limits
    from hwnas.spaces.space_text import is_function, is_own

    if not is_own(text):
        return False
    if is_child():  # a child of its own would be killed with it, and leave semaphores
        return is_function(text)
    given = Limits() if limit_seconds is None else Limits(limit_seconds)
    limits = Limits(given.import_seconds)
    try:
        return child_with(limits).call(is_function, text)
    except EndlessError as error:
        raise InvalidValueError(
            f"`{text}` must be of a module that can be imported, but importing it did not end "
            f"within {limits.seconds:g} s."
        ) from error


def users_space(text: str) -> SearchSpace[Any]:
    """Make the space that the user names, once a child process has imported its module.

    What a function of a trial asks for and builds to be traced is asked for and built there, too.

    Raises:
        HwnasError: there is no such space, or importing its module ended the child or took too
            long.
    """
    from hwnas.spaces.space_text import named_space
    from hwnas.study.configuration import bounded

    names_function(text, None)
    space = named_space(text)
    bounded(space)
    return space


def sizes_of(images: str, *, built: bool) -> tuple[str | None, str | None]:
    """Give `--input` and `--classes` of images of the user's own, or None where there are none.

    Args:
        images: what proxies see, or what runs.
        built: whether networks are built for them, so that they must say their classes.

    Raises:
        HwnasError: they cannot be read, or do not say their classes.
    """
    from hwnas.data.own_images import OwnImages
    from hwnas.tasks.catalogue import output_text
    from hwnas.tasks.task import Task

    if (own := OwnImages.parse(images)) is None:
        return None, None
    known = own.task if built else own.known
    if isinstance(known, Task):
        answer, spec = str(output_text(known.output)), known.input
    else:  # tokens have their vocabulary beside some number of classes
        answer, spec = "1", known
        if spec.vocabulary is None:
            return ",".join(map(str, spec.shape)), None
    words = "" if spec.vocabulary is None else f",{spec.vocabulary}"
    return ",".join(map(str, spec.shape)), answer + words


def with_size(
    in_shape: str | None, classes: str | None, images: str
) -> tuple[str | None, str | None]:
    """Complete `--classes` by the size of images of the user's own.

    Raises:
        HwnasError: they cannot be read.
    """
    from hwnas.data.own_images import OwnImages
    from hwnas.tasks.task import Task

    if in_shape is not None or classes is None or (own := OwnImages.parse(images)) is None:
        return in_shape, classes
    spec = known.input if isinstance(known := own.known, Task) else known
    if spec.vocabulary is not None and "," not in classes:
        classes = f"{classes},{spec.vocabulary}"
    return ",".join(map(str, spec.shape)), classes


def sizes_text(in_shape: str | None, classes: str | None, dataset: str | None) -> str:
    """Write sizes as the name of a data set.

    Raises:
        InvalidValueError: one of the two is not given, a data set is, or `classes` is no answer.
    """
    from hwnas.networks.importing import parse_sizes
    from hwnas.tasks.task import told_of_volumes

    if in_shape is None or classes is None or dataset is not None:
        got = {"--input": in_shape, "--classes": classes, "--dataset": dataset}
        raise InvalidValueError(
            "`--input` and `--classes` must be given together, and without --dataset, but got "
            + " and ".join(name for name, value in got.items() if value is not None)
            + "."
        )
    shape, parts = parse_sizes(in_shape), [part.strip() for part in classes.split(",")]
    if len(shape) > 3:
        raise InvalidValueError(
            f"`--input` must be C,H,W of an image, C,T of a signal, F of a vector or T of tokens, "
            f"but got {in_shape!r}: leave the batch out{told_of_volumes(shape)}."
        )
    if _ANSWER.fullmatch(",".join(parts)) is None:
        raise InvalidValueError(
            "`--classes` must be a number of classes, map5, numbers3, numbermap1 or outputs, or of "
            f"tokens CLASSES,VOCABULARY or next,VOCABULARY, but got {classes!r}."
        )
    return ":".join(["x".join(map(str, shape)), *parts])
