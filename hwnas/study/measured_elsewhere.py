"""Measurements that are made elsewhere, round by round, between runs of the same search.

A round is a number below a folder: ``FOLDER/1`` is a bundle, whose runner leaves its results there,
and ``FOLDER/1.csv`` a table of architectures and costs that is to be filled in. What a round asks
for is written once; what came back is read at each run, so the folder is all that is remembered.
A round may be answered by a table in either case, e.g. one that `hwnas profile import` wrote.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import count, takewhile
from pathlib import Path
from typing import Any

import numpy as np

from hwnas.bundles.manifest import read_manifest
from hwnas.bundles.results import read_results
from hwnas.bundles.runner import RESULTS
from hwnas.bundles.settings import RUNTIMES, BundleSettings
from hwnas.errors import InvalidValueError, unknown_name
from hwnas.files.atomic import write_text
from hwnas.files.csv_table import ARCHITECTURE, as_cell
from hwnas.files.grammar import read_component
from hwnas.pareto.same_device import UNNAMED, check_same_device
from hwnas.spaces.networks import Networks
from hwnas.tables.measurements import column_name, read_measurements
from hwnas.typing import DeviceKey, UncertainCostModel

BUNDLE, TABLE = "bundle", "csv"
_SETTINGS = re.compile(r"(.*?):(\w+=.*)", re.DOTALL)
"""A folder and what follows it; the name of a folder may have a colon or an equals sign, too."""
ROUNDS = 3
"""Parts of the budget, since somebody carries each there and back."""


@dataclass(frozen=True)
class Answers:
    """What came back of the rounds so far.

    Attributes:
        rounds: how many have been asked for.
        known: costs by canonical key, NaN where a measurement failed.
        waiting: networks of the last round that have no answer yet.
        remarks: what is to be known of the measurements, a line each.
    """

    rounds: int
    known: Mapping[str, float]
    waiting: int
    remarks: Sequence[str] = ()


@dataclass(frozen=True)
class Rounds:
    """A folder of rounds of measurements that are made elsewhere.

    Attributes:
        folder: where they are.
        networks: space and task of the networks.
        predictor: whose device and cost are measured.
        settings: how the networks of bundles are run; None for tables.
    """

    folder: Path
    networks: Networks[Any]
    predictor: UncertainCostModel[Any]
    settings: BundleSettings | None

    def answers(self) -> Answers:
        """Read what came back.

        Raises:
            HwnasError: a file is not of its form, of another space or of another device.
        """
        numbers = list(takewhile(lambda n: any(p.exists() for p in self._paths(n)), count(1)))
        known: dict[str, float] = {}
        remarks: list[str] = []
        waiting = 0
        for number in numbers:
            bundle, table = self._paths(number)
            found, waiting, told = self._table(table) if table.exists() else self._bundle(bundle)
            known |= found
            remarks += told
        return Answers(len(numbers), known, waiting, list(dict.fromkeys(remarks)))

    def ask(self, archs: Sequence[Any], number: int) -> None:
        """Write a round.

        Raises:
            InvalidValueError: it cannot be written, or a network cannot be exported.
        """
        bundle, table = self._paths(number)
        if self.settings is None:
            stream = io.StringIO()
            writer = csv.writer(stream, lineterminator="\n")
            writer.writerow([ARCHITECTURE, self._column])
            writer.writerows([as_cell(str(arch)), ""] for arch in archs)
            write_text(table, stream.getvalue())
        else:
            from hwnas.bundles.writing import write_bundle

            write_bundle(bundle, self.networks, archs, self.settings)

    def next_step(self, number: int, networks: int) -> str:
        """Say what is to be done with a round."""
        bundle, table = self._paths(number)
        again = "then give the same command again"
        if self.settings is None:
            return f"{table}: fill in {self._column} ({networks} to measure), {again}."
        return (
            f"{bundle}: {networks} to measure. Copy it to the device, run `python3 run.py` in it "
            f"and copy {RESULTS} back, or write {table.name} beside it, {again}."
        )

    @property
    def _column(self) -> str:
        return column_name(self.predictor.metric, self.predictor.unit)

    def _paths(self, number: int) -> tuple[Path, Path]:
        return self.folder / str(number), self.folder / f"{number}.csv"

    def _table(self, path: Path) -> tuple[dict[str, float], int, list[str]]:
        """Read a table; where nothing is filled in all of it waits, else what is empty failed."""
        space = self.networks.space
        table = read_measurements(path, space)
        costs = table.of(self.predictor.metric, self.predictor.unit)
        if not np.isfinite(costs).any():
            return {}, len(costs), []
        told = [] if table.key is None else self._same_device(table.key)
        keys = map(space.canonical_key, table.archs)
        return dict(zip(keys, costs.tolist(), strict=True)), 0, told

    def _bundle(self, folder: Path) -> tuple[dict[str, float], int, list[str]]:
        """Read a bundle's results; networks that its runner has not come to wait."""
        space, manifest = self.networks.space, read_manifest(folder)
        wanted = (repr(space), str(self.networks.task.settings))
        for what, got in zip(wanted, (manifest.space, manifest.task), strict=True):
            if got != what:
                raise InvalidValueError(
                    f"`measure` must name a folder for {what}, but {folder} is of {got}: name "
                    f"another one."
                )
        if not (results := folder / RESULTS).exists():
            return {}, len(manifest.networks), []
        device = self.predictor.device.device
        found = read_results(manifest, results, None if device in UNNAMED else device)
        told = [*self._same_device(found.key), *found.remarks()]
        run = [row for row in found.rows if row.was_run]
        key_of = {
            row.network.arch: space.canonical_key(space.parse(row.network.arch)) for row in run
        }
        costs = {key_of[r.network.arch]: math.nan if r.reason else r.latency_ms for r in run}
        return costs, len(found.rows) - len(run), told

    def _same_device(self, key: DeviceKey) -> list[str]:
        return check_same_device(self.predictor.device, key, "measure")


def is_elsewhere(spec: str) -> bool:
    """Whether a text asks for rounds in a folder: ``bundle:FOLDER`` or ``csv:FOLDER``."""
    return spec.partition(":")[0] in (BUNDLE, TABLE)


def split_elsewhere(spec: str) -> tuple[str, Path, Mapping[str, Any]]:
    """Read ``bundle:FOLDER[:SETTING=VALUE,…]`` or ``csv:FOLDER``.

    Raises:
        InvalidValueError: there is no folder, or a table has settings.
    """
    kind, _, rest = spec.partition(":")
    found = _SETTINGS.fullmatch(rest)
    folder, said = found.groups() if found else (rest, "")
    if not folder or (said and kind == TABLE):
        raise InvalidValueError(
            f"`measure` must be bundle:FOLDER, bundle:FOLDER:SETTING=VALUE,… or csv:FOLDER, but "
            f"got {spec!r}."
        )
    return kind, Path(folder), read_component(f"{kind}:{said}", "measure").settings if said else {}


def bundle_settings(given: Mapping[str, Any], key: DeviceKey) -> BundleSettings:
    """Run bundles as what was predicted ran, where the settings do not say otherwise.

    Args:
        given: settings of `BundleSettings` by name.
        key: device of the predictor.

    Raises:
        InvalidValueError: a value is of another type or out of range, or it is another run than
            that of the key.
        UnknownNameError: there is no such setting.
    """
    usual = asdict(BundleSettings())
    for name, value in given.items():
        if name not in usual:
            raise unknown_name("setting of bundle", name, usual)
        kind = (int, float) if isinstance(usual[name], float) else type(usual[name])
        if not isinstance(value, kind) or isinstance(value, bool):
            raise InvalidValueError(f"`{name}` must be like {usual[name]!r}, but got {value!r}.")
    runtime = next((name for name in RUNTIMES if key.runtime.startswith(name)), "onnxruntime")
    own = {"runtime": runtime, "precision": key.precision, "batch": key.batch}
    own |= {"threads": key.threads} if key.threads else {}
    settings = BundleSettings(**{**own, **given})
    run = DeviceKey(
        key.device, settings.runtime, settings.precision, settings.batch, settings.threads
    )
    check_same_device(key, run, "measure")
    return settings
