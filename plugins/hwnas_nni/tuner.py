"""A tuner for plain NNI experiments that searches for a front."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, SupportsIndex

import nni
from nni.tuner import Tuner

from hwnas import registry
from hwnas.errors import InvalidValueError
from hwnas.spaces.assignments import Assignment
from hwnas.strategies import AskTell, Problem, make_proposer
from hwnas.typing import Direction
from hwnas_nni.checkpoint import Record, read_state, write_state
from hwnas_nni.ends import Ends
from hwnas_nni.metrics import DEFAULT, check_directions, complaint, losses_of
from hwnas_nni.search_space import LEVELS, JsonSpace

_logger = logging.getLogger(__name__)
_FILE = "hwnas.json"


class HwnasTuner(Tuner):
    """Run a search algorithm of hwnas over NNI's `searchSpace`.

    A trial reports a dict of metrics with the key `default` besides the objectives
    (`hwnas_nni.report_metrics`). No configuration is proposed twice. Continuous parameters have
    `levels` values, at equal steps of their quantiles.

    Args:
        objectives: direction of each metric that is searched for.
        optimize_mode: NNI's short form for the one objective `default`.
        strategy: algorithm by name, as in `hwnas.registry`.
        seed: equal seeds and results give equal proposals.
        levels: values of a parameter with more than so many.

    Raises:
        InvalidValueError: neither or both of `objectives` and `optimize_mode` are given, or a
            direction is misspelt.
        UnknownNameError: no such algorithm.

    Example:
        In `config.yml`::

            tuner:
              codeDirectory: .
              className: hwnas_nni.tuner.HwnasTuner
              classArgs:
                objectives: {accuracy: maximize, latency_ms: minimize}
    """

    def __init__(
        self,
        objectives: Mapping[str, Direction] | None = None,
        optimize_mode: Literal["minimize", "maximize"] | None = None,
        strategy: str = "pareto-evolution",
        seed: int = 0,
        levels: SupportsIndex = LEVELS,
    ) -> None:
        super().__init__()
        if (objectives is None) == (optimize_mode is None):
            raise InvalidValueError(
                f"`objectives` or `optimize_mode` must be given, and not both, but got "
                f"{objectives!r} and {optimize_mode!r}."
            )
        self.objectives = check_directions(
            {DEFAULT: optimize_mode} if optimize_mode is not None else objectives or {}
        )
        registry.load("strategies", strategy)
        self.strategy = strategy
        self.seed = seed
        self.levels = levels
        self._space: JsonSpace | None = None
        self._search: AskTell[Assignment] | None = None
        self._running: dict[int, Assignment] = {}
        self._ends: Ends[int] = Ends()
        self._records: list[Record] = []
        self._saved: Path | None = None

    def update_search_space(self, search_space: dict[str, Any]) -> None:
        """Start a search over a space, or go on with the one of the checkpoint."""
        self._space = JsonSpace(search_space, self.levels)
        problem = Problem(self._space.space)
        self._search = AskTell(make_proposer(self.strategy, problem), self._space.space, self.seed)
        self._records = []
        if self._saved is not None:
            state = read_state(self._saved)
            self._search.restore(state["search"])
            parse = self._space.space.parse
            self._records = [Record.from_dict(r, parse) for r in state["records"]]
            self._saved = None

    def generate_parameters(self, parameter_id: int, **kwargs: Any) -> dict[str, Any]:
        """Propose a configuration.

        Raises:
            nni.NoMoreTrialError: every configuration was proposed.
        """
        del kwargs
        search, space = self._ready()
        archs = search.ask(1)
        if not archs:
            raise nni.NoMoreTrialError("every configuration was proposed")
        self._running[parameter_id] = archs[0]
        self._ends.begin(parameter_id)
        self._save()
        return space.to_parameters(archs[0])

    def receive_trial_result(
        self, parameter_id: int, parameters: dict[str, Any], value: Any, **kwargs: Any
    ) -> None:
        """Learn what a trial reported."""
        del parameters, kwargs
        self._ends.report(parameter_id)
        arch = self._running.pop(parameter_id, None)
        if arch is not None:
            self._tell(arch, value)

    def trial_end(self, parameter_id: int, success: bool, **kwargs: Any) -> None:
        """Count what will be reported of no more as failed."""
        del success, kwargs
        for lost in self._ends.end(parameter_id):
            arch = self._running.pop(lost, None)
            if arch is not None:
                self._tell(arch, None)

    def import_data(self, data: Sequence[Mapping[str, Any]]) -> None:
        """Learn from trials of an earlier experiment, or from one that was running then.

        What is known already, and what has no place in the search space, is left alone.
        """
        _, space = self._ready()
        for trial in data:
            arch = space.from_parameters(trial["parameter"])
            known = {record.arch for record in self._records}
            if arch is None:
                _logger.warning("Left out, as it is not in the search space: %s", trial)
            elif arch not in known:
                self._tell(arch, trial["value"])

    def load_checkpoint(self) -> None:
        """Remember to go on with the state of an experiment that is resumed."""
        folder = self.get_checkpoint_path()
        if folder is not None and (Path(folder) / _FILE).exists():
            self._saved = Path(folder) / _FILE

    def save_checkpoint(self) -> None:
        """Do nothing: the state is saved after every proposal and every result."""

    def _tell(self, arch: Assignment, value: Any) -> None:
        search, _ = self._ready()
        text = complaint(value, self.objectives)
        if text is not None:
            _logger.warning(text)
        losses = losses_of(value, self.objectives)
        search.tell([arch], [losses])
        self._records.append(Record(arch, value))
        self._save()

    def _save(self) -> None:
        search, _ = self._ready()
        folder = self.get_checkpoint_path()
        if folder is not None:
            records = [record.as_dict() for record in self._records]
            write_state(Path(folder) / _FILE, {"search": search.state(), "records": records})

    def _ready(self) -> tuple[AskTell[Assignment], JsonSpace]:
        assert self._search is not None, "NNI gives the search space first"
        assert self._space is not None
        return self._search, self._space
