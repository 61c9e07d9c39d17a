"""What ONNX Runtime's profiler adds to each kernel of a network: the same for all of them?

Networks of spaces that `kernel_level.py` does not test are run with the profiler and without it:
latency without it, the sum over the profile's kernels, and the microseconds that this is too much
for each kernel.

    python benchmarks/predictors/kernel_sums.py [--networks 4] [--seed 0]
"""

from __future__ import annotations

import argparse
import os

import numpy as np

from hwnas import registry
from hwnas.evaluation.cache import ResultCache
from hwnas.measure.host import host_fingerprint
from hwnas.tasks.catalogue import get_task
from hwnas_predictors.kernels.predictor import Family
from hwnas_predictors.kernels.profiled_networks import profile
from hwnas_predictors.kernels.target import Target
from hwnas_predictors.kernels.whole_networks import WholeTimer

SPACES = {
    "transnasbench101-micro": "cifar10",
    "natsbench-size": "cifar10",
    "nds": "cifar10",
    "mobilenetv2": "ImageNet",
    "resnet": "ImageNet",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--networks", type=int, default=4, help="networks a space")
    parser.add_argument("--seconds", type=float, default=0.5, help="time for each of two runs")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    target = Target()
    print(f"{host_fingerprint(target.made().packages)}; load {os.getloadavg()[0]:.1f}")
    whole = WholeTimer(target, arguments.seconds, ResultCache(None))
    print("space, kernels, ms, sum over the profile / ms, added a kernel")
    for name, dataset in SPACES.items():
        family = Family(registry.load("spaces", name)(), get_task(dataset))
        rng = np.random.default_rng(arguments.seed)
        for _ in range(arguments.networks):
            model = family.network(family.space.sample(rng))
            times, _ = profile(target.profiler(model), target, arguments.seconds)
            ms = whole(model)
            added = 1e3 * (times.sum() - ms) / len(times)
            print(
                f"{name:>22} {len(times):4d} {ms:7.3f} {times.sum() / ms:5.2f} {added:6.2f} us",
                flush=True,
            )


if __name__ == "__main__":
    main()
