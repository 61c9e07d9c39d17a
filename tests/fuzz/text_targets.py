"""Readers of texts that users write: settings, architectures, spaces, costs, the command line."""

from __future__ import annotations

import contextlib
import io
import re
import shlex
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from hwnas.errors import DataFormatError, InvalidArchitectureError

ARCH = "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|skip_connect~0|none~1|nor_conv_1x1~2|"

STORED = (
    '{"space": "nasbench201:cells=1", "dataset": "cifar10", "objectives": ["params", "layers"],'
    ' "costs": ["count:macs"], "constraints": ["params<=1e6"], "sampler": "hardware-aware",'
    ' "batch": 8, "images": "gaussian", "seed": 0}'
)


def read_settings(text: str) -> None:
    from hwnas.study.search import make_evaluator
    from hwnas.study.settings import SearchSettings, read_stored
    from hwnas.study.worker import check_requirements

    with contextlib.suppress(DataFormatError):
        check_requirements(read_stored(text, "requirements"), {"versions": {}, "costs": {}})
    settings = SearchSettings.from_identity(read_stored(text, "settings"))
    names = {"params", "layers"}
    if names.issuperset(settings.objectives):  # others may be scores, which take long
        assert make_evaluator(settings).objectives
    assert SearchSettings.from_identity(settings.identity()) == settings


def texts(*texts: str) -> Callable[[Path], list[bytes]]:
    return lambda _: [text.encode() for text in texts]


def text(read: Callable[[str], object]) -> Callable[[Path], object]:
    return lambda path: read(path.read_bytes().decode("utf-8", "replace"))


def read_arch(text: str) -> None:
    from hwnas import registry

    for name in ("nasbench201", "fbnet", "mobilenetv3"):
        space: Any = registry.load("spaces", name)()
        with contextlib.suppress(InvalidArchitectureError):
            arch = space.parse(text)
            assert space.parse(str(arch)) == arch


def read_space(text: str) -> None:
    from hwnas.spaces.space_text import read_space

    space = read_space(text)
    assert read_space(repr(space)) == space


def read_component(text: str) -> None:
    from hwnas.files.grammar import read_component

    read_component(text, "proxy", words=2)


def read_constraint(text: str) -> None:
    from hwnas.files.grammar import split_constraint

    name, _, bound = split_constraint(text)
    assert name
    assert np.isfinite(bound)


def read_cost(text: str) -> None:
    from hwnas.costs.source import parse_cost_spec

    parse_cost_spec(text)


def read_shape(text: str) -> None:
    from hwnas.networks.importing import parse_in_shape

    assert all(size > 0 for size in parse_in_shape(text))


MOBILENET = "r224|k3e3,k3e3|k5e4,k5e4|k3e6,k7e6|k3e3,k3e3|k5e6,k5e6"
_SETTINGS = ("--sample", "--trials", "--jobs", "-n", "--max", "--batch", "--seed", "--cluster")
COMMANDS = (
    f"score --arch '{ARCH}' --proxy params --json",
    f"score --arch '{ARCH}' --proxy layers --proxy flops --dataset cifar100",
    "score --arch x --proxy naswot:batch=2 --images cifar10-sample",
    "pareto show FILE --json",
    "pareto show journal:FILE --study other",
    "predict adapt --measurements FILE --out OUT.npz",
    "predict evaluate FILE --measurements FILE",
    "predict support -n 2 --space nasbench201",
    "rank --scores FILE --split test",
    "worker --storage sqlite:///FILE --study hwnas",
    "data verify brp-nas",
    "costs --space nasbench201",
    "search --space nasbench201:cells=1 --cost count:macs --constraint params<=x --trials 1",
    "search --space fbnet --objective layers --cost count:macs --constraint layers<=9 --trials 1",
)


def read_command(text: str) -> None:
    try:
        argv = shlex.split(text)
    except ValueError:
        argv = text.split()
    if any(option.startswith(_SETTINGS) and len(word) > 2 for option, word in _pairs(argv)):
        return  # a large number is a long run, and no fault
    if argv[:1] == ["search"] and "--objective" not in argv:
        return  # so are the default scores
    code, err = run(*(word.replace("\x00", "") for word in argv))
    assert code in (0, 1, 2), code
    assert "Traceback" not in err
    assert not {"\x1b", "\u202e"} & set(err), err
    # A password is what stands in an address; elsewhere these are letters as any other.
    assert not re.search(r"://[^\s/@]*:secret@", err), err


def run(*argv: str) -> tuple[object, str]:
    """Run the command line in this process; a single text is split at spaces."""
    from hwnas.cli import main

    out, err = io.StringIO(), io.StringIO()
    code: object = None
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main(argv[0].split() if len(argv) == 1 else list(argv))
        except SystemExit as end:
            code = end.code
    return code, err.getvalue()


def _pairs(argv: list[str]) -> list[tuple[str, str]]:
    return [*pairwise(argv), *(tuple(a.partition("=")[::2]) for a in argv)]  # type: ignore[list-item]
