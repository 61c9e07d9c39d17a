"""A strategy for NNI's NAS experiments that searches for a front under thresholds."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from nni.nas.execution import ExecutionEngine, TrainingServiceExecutionEngine
from nni.nas.execution.event import FinalMetricEvent, ModelEventType, TrainingEndEvent
from nni.nas.space import ExecutableModelSpace, ModelStatus
from nni.nas.strategy import Strategy

from hwnas import registry
from hwnas.errors import InvalidValueError
from hwnas.evaluation.origin import difference
from hwnas.strategies import AskTell, Knowledge, Problem, make_proposer
from hwnas.strategies.problem import BoolArray
from hwnas.typing import Direction
from hwnas_nni.checkpoint import Record, read_state, write_state
from hwnas_nni.codec import Codec, Key, codec_of
from hwnas_nni.ends import Ends
from hwnas_nni.evaluator import ObjectivesEvaluator, ProxyEvaluator
from hwnas_nni.metrics import check_directions, complaint, has_default, losses_of
from hwnas_nni.results import pareto_set_of

if TYPE_CHECKING:
    from hwnas.pareto import ParetoSet
    from hwnas_nni.profiler import CostFilter

_logger = logging.getLogger(__name__)


class ParetoStrategy(Strategy):
    """Run a search algorithm of hwnas over any model space of NNI.

    Each class of equal architectures is submitted once, those beyond a threshold never. A trial
    reports a dict of metrics with the key `default` besides the objectives
    (`hwnas_nni.report_metrics`); one that fails or lacks an objective counts as failed.

    Args:
        objectives: direction of each metric that is searched for. A trial that reports one
            number reports `default`.
        strategy: algorithm by name, as in `hwnas.registry`.
        filters: thresholds that are checked before a model is submitted.
        knowledge: cheap knowledge that guides the search.
        key: gives a text that is equal for samples whose networks are equal, where the user knows
            more of the space than `hwnas_nni.codec_of` does.
        seed: equal seeds and results give equal proposals.
        max_trials: trials in the end, those before a resumption included; None leaves the budget
            to the experiment, which counts killed trials too.
        checkpoint: JSON file that is written after every result and read when an experiment
            starts: a search that was killed goes on exactly, in a new experiment or in a resumed
            one. NNI itself saves a strategy's state only when an experiment stops in good order.

    Raises:
        InvalidValueError: no objectives, or a direction is misspelt.
        UnknownNameError: no such algorithm.

    In an experiment::

        strategy = ParetoStrategy({"accuracy": "maximize", "latency_ms": "minimize"})
        NasExperiment(model_space, evaluator, strategy).run()
        strategy.pareto_set().save("front.json")
    """

    def __init__(
        self,
        objectives: Mapping[str, Direction],
        *,
        strategy: str = "pareto-evolution",
        filters: Sequence[CostFilter] = (),
        knowledge: Knowledge[Any] | None = None,
        key: Key | None = None,
        seed: int = 0,
        max_trials: int | None = None,
        checkpoint: str | Path | None = None,
    ) -> None:
        super().__init__()
        self.objectives = check_directions(objectives)
        self.strategy = strategy
        self.filters = tuple(filters)
        self.seed = seed
        self.max_trials = max_trials
        registry.load("strategies", strategy)
        self._knowledge = knowledge
        self._key = key
        self._checkpoint = None if checkpoint is None else Path(checkpoint)
        self._codec: Codec[Any] | None = None
        self._search: AskTell[Any] | None = None
        # Results arrive in a thread of the engine. The engine keeps models weakly: these do not.
        self._lock = threading.RLock()
        self._running: dict[int, tuple[ExecutableModelSpace, Any]] = {}
        self._reported: dict[int, Any] = {}
        self._ends: Ends[int] = Ends()
        self._records: list[Record] = []
        self._provenance: Mapping[str, Any] = {}
        self._complaints: set[str] = set()

    def extra_repr(self) -> str:
        """State the settings; see `nni.nas.strategy.Strategy`."""
        return f"{dict(self.objectives)}, strategy={self.strategy!r}, seed={self.seed}"

    def pareto_set(self) -> ParetoSet:
        """Make the Pareto set of the trials that have ended."""
        assert self._codec is not None, "the strategy has not been initialized"
        with self._lock:
            return pareto_set_of(
                self._records, self.objectives, self._codec.space, self._provenance
            )

    def state_dict(self) -> dict[str, Any]:
        """Give everything that `load_state_dict` needs, as JSON values."""
        assert self._search is not None, "the strategy has not been initialized"
        with self._lock:
            return {
                "decisive": self._decisive,
                "search": self._search.state(),
                "records": [record.as_dict() for record in self._records],
            }

    @property
    def _decisive(self) -> dict[str, Any]:
        return {"objectives": self.objectives, **self._provenance}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on where `state_dict` was taken; trials that ran then are run again.

        A state that is older than the checkpoint file's is left alone.

        Raises:
            InvalidValueError: NNI resumes an experiment on a training service, which it cannot; or
                the state is of other objectives, or of an evaluator with other settings.
        """
        if isinstance(self.engine, TrainingServiceExecutionEngine):
            # Its listener ends at the first command of a resumed manager, which it does not know.
            raise InvalidValueError(
                "`resume` must not be used on a training service: the engine of NNI 3.0 would wait "
                "for ever. Run a new experiment, whose ParetoStrategy has the same `checkpoint`."
            )
        self._restore(state_dict)

    def _restore(self, state_dict: Mapping[str, Any]) -> None:
        assert self._search is not None, "the strategy has not been initialized"
        assert self._codec is not None
        # Files of older versions do not say it.
        found = difference(state_dict.get("decisive", self._decisive), self._decisive)
        if found:
            raise InvalidValueError(
                f"`checkpoint` must be continued with what its trials were evaluated by, but "
                f"{found}: use that, or another file."
            )
        with self._lock:
            if len(state_dict["records"]) < len(self._records):
                return
            self._search.restore(state_dict["search"])
            parse = self._codec.space.parse
            self._records = [Record.from_dict(r, parse) for r in state_dict["records"]]

    def _initialize(
        self, model_space: ExecutableModelSpace, engine: ExecutionEngine
    ) -> ExecutableModelSpace:
        self._codec = codec_of(model_space, key=self._key)
        space = self._codec.space
        if isinstance(model_space.evaluator, ObjectivesEvaluator | ProxyEvaluator):
            self._provenance = model_space.evaluator.origin(space)
        problem = Problem(space, self._feasible if self.filters else None, self._knowledge)
        self._search = AskTell(make_proposer(self.strategy, problem), space, self.seed)
        if self._checkpoint is not None and self._checkpoint.exists():
            self._restore(read_state(self._checkpoint))
        engine.register_model_event_callback(ModelEventType.FinalMetric, self._on_metric)
        engine.register_model_event_callback(ModelEventType.TrainingEnd, self._on_end)
        return model_space

    def _run(self) -> None:
        assert self._search is not None
        assert self._codec is not None
        interrupted = [self._codec.space.parse(a) for a in self._search.state()["pending"]]
        while self._wanted() and self.wait_for_resource():
            with self._lock:
                archs = [interrupted.pop(0)] if interrupted else self._search.ask(1)
            if not archs:
                self._end_early()
                break
            self._submit(archs[0])
        self.engine.wait_models()

    def _wanted(self) -> bool:
        with self._lock:
            begun = len(self._records) + len(self._running)
            return self.max_trials is None or begun < self.max_trials

    def _end_early(self) -> None:
        if not self._records and not self._running:
            raise InvalidValueError(
                "`filters` must leave a model to be submitted, but no valid one that keeps them "
                "was found: raise the bounds."
            )
        _logger.info("Every architecture was proposed: the search is complete.")

    def _cleanup(self) -> None:
        self.engine.unregister_model_event_callback(ModelEventType.FinalMetric, self._on_metric)
        self.engine.unregister_model_event_callback(ModelEventType.TrainingEnd, self._on_end)

    def _submit(self, arch: Any) -> None:
        assert self._codec is not None
        model = self.model_space.freeze(self._codec.to_sample(arch))
        with self._lock:
            self._running[id(model)] = (model, arch)
            self._ends.begin(id(model))
            self._save()
        self.engine.submit_models(model)

    def _on_metric(self, event: FinalMetricEvent) -> None:
        # A model keeps the key `default` alone. Where there is none NNI would raise in the thread
        # that hears from the trials, and the experiment would wait for ever.
        if not has_default(event.metric):
            event.prevent_default()
        with self._lock:
            if self._ends.report(id(event.model)):
                self._finish(id(event.model), event.metric)
            else:
                self._reported[id(event.model)] = event.metric

    def _on_end(self, event: TrainingEndEvent) -> None:
        with self._lock:
            ended = id(event.model)
            if ended not in self._running:
                return
            lost = self._ends.end(ended)
            if event.status is ModelStatus.Interrupted:
                return  # Run again after a resumption.
            if ended in self._reported:
                metrics = self._reported.pop(ended)
                self._finish(ended, metrics if event.status is ModelStatus.Trained else None)
            for silent in lost:
                self._finish(silent, None)

    def _finish(self, model: int, metrics: Any) -> None:
        assert self._search is not None
        _, arch = self._running.pop(model)
        losses = losses_of(metrics, self.objectives)
        self._complain(metrics)
        self._search.tell([arch], [losses])
        self._records.append(Record(arch, metrics))
        self._save()

    def _complain(self, metrics: Any) -> None:
        """Warn once of each set of names that is not what the objectives are called."""
        text = complaint(metrics, self.objectives)
        names = str(sorted(map(str, metrics)) if isinstance(metrics, Mapping) else ())
        if text is not None and names not in self._complaints:
            self._complaints.add(names)
            _logger.warning(text)

    def _save(self) -> None:
        if self._checkpoint is not None:
            write_state(self._checkpoint, self.state_dict())

    def _feasible(self, archs: Sequence[Any]) -> BoolArray:
        assert self._codec is not None
        samples = [self._codec.to_sample(arch) for arch in archs]
        return np.array([all(f.accepts(s) for f in self.filters) for s in samples], dtype=np.bool_)
