"""hwnas inside NNI: a strategy and a tuner that search for a front, evaluators, a profiler.

Nothing of NNI is imported before one of the names below is asked for.
"""

from __future__ import annotations

import importlib
from typing import Any

from hwnas.errors import MissingDependencyError

_HOMES = {
    "FunctionModelSpace": "hwnas_nni.functions",
    "ParetoStrategy": "hwnas_nni.strategy",
    "ObjectivesEvaluator": "hwnas_nni.evaluator",
    "ProxyEvaluator": "hwnas_nni.evaluator",
    "report_metrics": "hwnas_nni.evaluator",
    "CostProfiler": "hwnas_nni.profiler",
    "run_experiment": "hwnas_nni.launch",
    "CostFilter": "hwnas_nni.profiler",
    "HwnasTuner": "hwnas_nni.tuner",
    "codec_of": "hwnas_nni.codec",
    "pareto_set_from_database": "hwnas_nni.results",
    "pareto_set_from_experiment": "hwnas_nni.results",
}

_WITHOUT_LAYERS = {"hwnas_nni.launch", "hwnas_nni.results", "hwnas_nni.tuner"}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    """Import what a name stands for.

    Raises:
        MissingDependencyError: NNI is not installed.
    """
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        if _HOMES[name] not in _WITHOUT_LAYERS:
            importlib.import_module("hwnas_nni.importing").import_layers()
        return getattr(importlib.import_module(_HOMES[name]), name)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != "nni":
            raise
        raise MissingDependencyError(
            f"`hwnas_nni.{name}` needs NNI, which is not installed: pip install 'hwnas[nni]'."
        ) from error
