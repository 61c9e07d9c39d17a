"""Other machines by name, from a small file of the user: ``remotes.toml``.

A table a machine, whose only duty is ``ssh``::

    [board]
    ssh = "me@192.168.1.7"
    python = "/home/me/venv/bin/python"    # default: python3
    ssh_config = "/home/me/lab.conf"       # default: ssh's own
    provider = "cpu"                       # and precision, batch, threads, seconds, seed, images

The file is the one that ``HWNAS_REMOTES`` names, or ``hwnas/remotes.toml`` in the user's folder of
settings, e.g. ``~/.config``.
"""

from __future__ import annotations

import os
import re
import tempfile
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import platformdirs

from hwnas.bundles.far import Far
from hwnas.bundles.manifest import read_manifest
from hwnas.bundles.results import Row, read_results
from hwnas.bundles.runner import RESULTS
from hwnas.bundles.settings import BundleSettings
from hwnas.bundles.ssh import Ssh
from hwnas.errors import DataFormatError, DataNotFoundError, InvalidValueError, unknown_name
from hwnas.typing import DeviceKey

VARIABLE = "HWNAS_REMOTES"
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,31}")
RUN: Mapping[str, type] = {field.name: type(field.default) for field in fields(BundleSettings)}
"""Settings of a run and their types; a whole number is a number too."""
_TEXTS = ("ssh", "python", "ssh_config")


@dataclass(frozen=True)
class Machine:
    """A machine of the user's file.

    Attributes:
        name: its name there.
        far: what reaches it.
        settings: how networks run there where nothing else is said.
    """

    name: str
    far: Far
    settings: BundleSettings

    @property
    def resource(self) -> str:
        """What two measurements cannot share."""
        return f"ssh:{self.name}"

    def key(self, hardware: Mapping[str, Any]) -> DeviceKey:
        """Name what latencies belong to, where the machine is what it says."""
        run, runtime = self.settings, f"{hardware['runtime']}-{hardware['runtime_version']}"
        return DeviceKey(self.name, runtime, run.precision, run.batch, run.threads)

    def run(
        self,
        write: Callable[[Path], object],
        hardware: Mapping[str, Any],
        seconds: float | None = None,
    ) -> Sequence[Row]:
        """Write a bundle, run it there, read what it gives and delete it.

        Args:
            write: writes the bundle into a folder.
            hardware: what the machine said that it is.
            seconds: longest time; None for what `Far.measure` gives it.

        Raises:
            LostError: the machine cannot be reached.
            FarError: its runner fails.
            InvalidValueError: another machine answers, or as `write`.
            DataFormatError: what comes back is no result of it.
        """
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary) / "bundle"
            write(folder)
            manifest = read_manifest(folder)
            self.far.measure(manifest, seconds, keep=False)
            found = read_results(manifest, folder / RESULTS, self.name)
        if found.hardware != hardware:
            raise InvalidValueError(
                f"`machine` must stay {fingerprint(hardware)}, but {found.hardware['model']} with "
                f"{found.key.runtime} answered: begin a study of its own with it."
            )
        return found.rows


def fingerprint(hardware: Mapping[str, Any]) -> str:
    """Name hardware and software that latencies belong to."""
    names = ("model", "machine", "system", "runtime", "runtime_version", "provider")
    return " | ".join(str(hardware[name]) for name in names)


def machines_file() -> Path:
    """Name the user's file of machines."""
    given = os.environ.get(VARIABLE)
    return Path(given) if given else Path(platformdirs.user_config_dir("hwnas")) / "remotes.toml"


def machine_names() -> list[str]:
    """List the machines of the user's file; none where there is no file.

    Raises:
        DataFormatError: it is not of this form.
    """
    return list(_tables())


def get_machine(name: str, **changes: Any) -> Machine:
    """Find a machine.

    Args:
        name: its name in the file.
        changes: settings of a run that replace those of the file.

    Raises:
        DataNotFoundError: there is no file.
        UnknownNameError: it has no such machine.
        DataFormatError: it is not of this form.
        InvalidValueError: a setting is out of range.
    """
    tables = _tables()
    if not tables:
        raise DataNotFoundError(
            f"`{machines_file()}` must say how {name!r} is reached, but there is no machine in it: "
            f'write [{name}] and ssh = "USER@HOST" into it.'
        )
    if name not in tables:
        raise unknown_name(f"machine of {machines_file()}", name, tables)
    table = tables[name]
    config = table.get("ssh_config")
    ssh = Ssh(table["ssh"], Path(config) if config else None)
    settings = with_changes(BundleSettings(), {k: table[k] for k in RUN if k in table})
    return Machine(name, Far(ssh, table.get("python", Far.python)), with_changes(settings, changes))


def with_changes(settings: BundleSettings, changes: Mapping[str, Any]) -> BundleSettings:
    """Give settings with some replaced; `InvalidValueError` for a value of another type."""
    for name, value in changes.items():
        wanted = (int, float) if RUN[name] is float else RUN[name]
        if isinstance(value, bool) or not isinstance(value, wanted):
            raise InvalidValueError(
                f"`{name}` must be of type {RUN[name].__name__}, but got {value!r}."
            )
    typed: dict[str, Any] = {k: float(v) if RUN[k] is float else v for k, v in changes.items()}
    return replace(settings, **typed)


def _tables() -> dict[str, dict[str, Any]]:
    path = machines_file()
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        raise DataFormatError(
            f"`{path}` must be a TOML file of machines, but it cannot be read: "
            f"{str(error).splitlines()[0][:200]}."
        ) from None
    for name, table in found.items():
        _check(path, name, table)
    return found


def _check(path: Path, name: str, table: Any) -> None:
    if not _NAME.fullmatch(name) or not isinstance(table, dict) or "ssh" not in table:
        raise DataFormatError(
            f'`{path}` must have tables such as [board] with ssh = "USER@HOST", but has {name!r}.'
        )
    for key, value in table.items():
        if key not in (*_TEXTS, *RUN):
            raise unknown_name(f"{name} in {path}", key, (*_TEXTS, *RUN))
        if key in _TEXTS and not isinstance(value, str):
            raise DataFormatError(f"`{key}` of {name} in {path} must be a text, but is {value!r}.")
