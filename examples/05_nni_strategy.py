"""Search the hub's NasBench201 inside an NNI experiment, training-free, for score against MACs.

Needs `pip install 'hwnas[nni]'`. NNI's sequential engine runs every model in this process; with
`execution_engine="ts"` the same experiment runs them through NNI's training service.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from hwnas.cli.progress import progress

with progress.loading(__name__):  # says that it is alive while PyTorch is imported
    from nni.nas.experiment import NasExperiment
    from nni.nas.experiment.config import NasExperimentConfig
    from nni.nas.hub.pytorch import NasBench201

    from hwnas.pareto import ParetoSet
    from hwnas.tasks.catalogue import get_task
    from hwnas_nni import CostFilter, CostProfiler, ObjectivesEvaluator, ParetoStrategy


def main(n_models: int, out: Path) -> None:
    """Run the experiment, print its front and write it as JSON."""
    space = NasBench201()
    evaluator = ObjectivesEvaluator(objectives=["naswot"], costs=["count:macs"], batch=8)
    # No model above this many parameters is submitted.
    params = CostProfiler(space, "count:params", get_task("cifar10"))
    strategy = ParetoStrategy(
        evaluator.objectives, filters=[CostFilter(params, upper=1e6)], max_trials=n_models
    )
    config = NasExperimentConfig("sequential", "simplified", "local")
    config.experiment_working_directory = tempfile.mkdtemp()
    experiment = NasExperiment(space, evaluator, strategy, config)
    with progress.running("NNI experiment"):  # a line that says that it is alive
        experiment.run()
    front = ParetoSet.from_nni(experiment)
    experiment.stop()
    for member in front.members:
        print(dict(zip(map(str, front.objectives), member.values, strict=True)), member.arch)
    front.save(out)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 30, Path("front.json"))
