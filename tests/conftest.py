"""Fixtures of all tests: isolated folders, one thread, and published data where it is present."""

from __future__ import annotations

import contextlib
import gc
import itertools
import os
import runpy
import sys
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

# Before numpy and torch are imported: tests must not fight for cores.
for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

# Interpreters that tests start find `sitecustomize` there.
_SELDOM = str(Path(__file__).parent / "seldom")
if _SELDOM not in (_found := os.environ.get("PYTHONPATH", "").split(os.pathsep)):
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [_SELDOM, *_found]))

import numpy as np  # noqa: E402
import pytest  # noqa: E402
import typer.main  # noqa: E402

from tests.programs import Programs  # noqa: E402

_MEMORY = Path("/dev/shm")
_NEEDED_BYTES = 4 * 2**30

_DATA = os.environ.get("HWNAS_DATA")


def _is_suitable(folder: Path) -> bool:
    """Tell whether a folder has room, may be written, and programs in it may be run."""
    try:
        system = os.statvfs(folder)
    except (OSError, AttributeError):
        return False
    free = system.f_bavail * system.f_frsize
    return free >= _NEEDED_BYTES and not system.f_flag & os.ST_NOEXEC and os.access(folder, os.W_OK)


# Studies, caches and journals wait for the disk at each of their thousands of commits. What is
# tested of them is the death of processes, not that of machines.
if _is_suitable(_MEMORY) and "TMPDIR" not in os.environ:
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(_MEMORY))


@pytest.fixture(scope="session")
def _users(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Give folders that nobody has made yet, without a look at those of all earlier tests."""
    folder = tmp_path_factory.mktemp("users")
    return (folder / str(number) for number in itertools.count())


@pytest.fixture(autouse=True)
def _own_folders(_users: Iterator[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep every test away from the user's cache and from published data it does not ask for."""
    folder = next(_users)
    monkeypatch.setenv("HWNAS_CACHE", str(folder / "cache"))
    monkeypatch.setenv("HWNAS_DATA", str(folder / "data"))
    # Tables are as wide as a terminal says, and some runners of tests say one.
    monkeypatch.delenv("COLUMNS", raising=False)


@pytest.fixture(scope="session", autouse=True)
def _optunas_revisions() -> Iterator[None]:
    """Let Optuna read the history of its tables once a process, not three times a data base."""
    from optuna.storages._rdb.storage import _VersionManager

    read, kept = _VersionManager._create_alembic_script, list[Any]()

    def once(manager: _VersionManager) -> Any:
        if not kept:
            kept.append(read(manager))
        return kept[0]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_VersionManager, "_create_alembic_script", once)
        yield


@pytest.fixture(scope="session", autouse=True)
def _optunas_seeds() -> Iterator[None]:
    """Let Optuna make a generator of a seed, without the entropy that the seed replaces."""
    from optuna.samplers._lazy_random_state import LazyRandomState

    class NoEntropy(np.random.bit_generator.ISeedSequence):
        def generate_state(self, n_words: int, dtype: Any = np.uint32) -> Any:
            return np.zeros(n_words, dtype)

    none: Any = NoEntropy()

    def start(state: LazyRandomState, seed: int | None = None) -> None:
        state._rng = None
        if seed is not None:
            state._rng = np.random.RandomState(np.random.MT19937(none))
            state._rng.seed(seed)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LazyRandomState, "__init__", start)
        yield


@pytest.fixture(scope="session", autouse=True)
def _typers_commands() -> Iterator[None]:
    """Let Typer make the commands of its functions once, as in a process that runs one command."""
    make = typer.main.get_command

    @cache
    def once(app: typer.Typer, groups: int, commands: int) -> Any:
        del groups, commands  # more of them are registered when they are asked for
        return make(app)

    def command_of(app: typer.Typer) -> Any:
        return once(app, len(app.registered_groups), len(app.registered_commands))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(typer.main, "get_command", command_of)
        yield


@pytest.fixture(autouse=True)
def _own_silence() -> None:
    """Count a command's silence from its test on: in a process of its own none came before."""
    if (module := sys.modules.get("hwnas.cli.progress")) is not None:
        module.progress._told = time.monotonic()


@pytest.fixture(scope="session")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Programs]:
    """Give what starts programs in processes of their own."""
    with contextlib.closing(Programs(tmp_path_factory.mktemp("programs"))) as made:
        yield made


@pytest.fixture
def data_folder(monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the folder of published data, and make it the default one; skip where it is absent."""
    if not _DATA:
        pytest.skip("HWNAS_DATA names no folder of published benchmark data")
    folder = Path(_DATA).absolute()
    if not folder.is_dir():
        pytest.fail(f"HWNAS_DATA names {folder}, which is no folder")
    monkeypatch.setenv("HWNAS_DATA", str(folder))
    return folder


@pytest.fixture(scope="session")
def conditional_space() -> Any:
    """Give the space of the example: nested conditions, ordered integers and floats.

    One for all tests: it is a value, and is listed once.
    """
    example = Path(__file__).parents[1] / "examples/04_own_space.py"
    return runpy.run_path(str(example))["SmallNets"]()


# Each takes half a minute or more, most of which is waiting; a file is run by one process.
_LONGEST = ("test_real_runs", "test_limits", "test_own_network_guide", "test_docs", "test_search")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start with the longest files: test processes end at about one time."""
    place = {name: number for number, name in enumerate(_LONGEST)}
    items.sort(key=lambda item: place.get(item.path.stem, len(_LONGEST)))


def pytest_collectstart() -> None:
    """Look for no garbage while tests are imported."""
    gc.disable()


def pytest_collection_finish() -> None:
    """Look for garbage seldom, and never among what was imported, which is most there is."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)
    gc.enable()


def pytest_sessionfinish() -> None:
    """Let the end of the process find everything, as without `pytest_collection_finish`."""
    gc.unfreeze()
