"""A kernel-level predictor built on this host against whole networks that it never saw.

One predictor is built from kernels of NAS-Bench-201, FBNet and MobileNetV3 networks. Then unseen
networks of each space are measured beside the reference network, each before and after all others
of its space, and predicted: share within 10 %, Spearman correlation, and the same two figures
between the two passes of measurements, which is what no predictor can beat.

    python benchmarks/predictors/kernel_level.py [--max-seconds 1200] [--networks 50] [--seed 0]
        [--runtime onnxruntime] [--precision float32]

What is measured of kernels is kept in the cache, and an interrupted build goes on from there.
"""

from __future__ import annotations

import argparse
import os
import time
from functools import partial
from typing import Any

import numpy as np
import onnx
from scipy import stats

from hwnas import registry
from hwnas.errors import InvalidValueError
from hwnas.evaluation.cache import ResultCache
from hwnas.measure.host import host_fingerprint, package_versions
from hwnas.measure.isolation import child_with
from hwnas.measure.limits import Limits
from hwnas.measure.measuring import measure
from hwnas.measure.resource_lock import hold
from hwnas.runtimes.base import THIS_CPU, OnnxModel
from hwnas.tasks.catalogue import get_task
from hwnas.typing import FloatArray
from hwnas_predictors.kernels.build import Build
from hwnas_predictors.kernels.predictor import Family, KernelPredictor
from hwnas_predictors.kernels.target import Target

SPACES = {"nasbench201": "cifar10", "fbnet": "cifar100", "mobilenetv3": "ImageNet"}


def unseen(family: Family[Any], number: int, seed: int) -> list[onnx.ModelProto]:
    """Draw networks by a stream of random numbers that no build uses."""
    rng = np.random.default_rng([seed, 10_000])
    found: dict[str, Any] = {}
    while len(found) < number:
        arch = family.space.sample(rng)
        if family.space.is_valid(arch):
            found.setdefault(family.space.canonical_key(arch), arch)
    return [family.network(arch) for arch in found.values()]


def measure_all(models: list[onnx.ModelProto], target: Target, max_seconds: float) -> FloatArray:
    """Measure each beside the reference network, `(n,)` ms; NaN where that is refused."""
    found = []
    for model in models:
        with hold(THIS_CPU):
            network = OnnxModel(model.SerializeToString())
            made, settings = target.made(), target.settings
            how = partial(measure, max_seconds=max_seconds, reference=True, isolate=False)
            try:
                found.append(child_with(Limits()).call(how, network, made, settings).value)
            except InvalidValueError as error:  # e.g. outputs of int8 that are far off
                print(f"left out: {error}", flush=True)
                found.append(np.nan)
    return np.array(found)


def within(predicted: FloatArray, measured: FloatArray) -> float:
    return float(np.mean(np.abs(predicted / measured - 1) <= 0.1))


def spearman(a: FloatArray, b: FloatArray) -> float:
    return float(stats.spearmanr(a, b).statistic)


def print_build(made: Build, seconds: float, cached: int) -> None:
    measured = sum(len(sample.latencies) for sample in made.samples.values())
    print(f"built in {seconds:.0f} s, {cached} measurements were in the cache; {measured} kernels")
    print("  kernel, measured, regressor, held out within 10 %, mean |log error|")
    for kind, choice in sorted(made.choices.items()):
        error = choice.errors.get(choice.method, float("nan"))
        number = 0 if kind in made.by_bytes else len(made.samples[kind].latencies)
        share = choice.within_10_percent
        print(f"  {kind:>28} {number:4d} {choice.method:>17} {share:5.2f} {error:.3f}")
    print(f"  {made.predictor.calibration}, {made.predictor.relative_std:.3f} spread")


def print_agreement(
    name: str,
    predictor: KernelPredictor[Any],
    models: list[onnx.ModelProto],
    target: Target,
    max_seconds: float,
) -> tuple[FloatArray, FloatArray]:
    first = measure_all(models, target, max_seconds)
    start = time.process_time()
    predicted = np.array([predictor.predict_model(model) for model in models])
    cpu_ms = 1e3 * (time.process_time() - start) / len(models)
    again = measure_all(models, target, max_seconds)
    known = np.isfinite(first) & np.isfinite(again)
    first, again, predicted = first[known], again[known], predicted[known]
    truth = np.sqrt(first * again)
    print(
        f"{name:>12}, {len(truth)} unseen: within 10 % {within(predicted, truth):.2f}, Spearman "
        f"{spearman(predicted, truth):.3f}, mean of predicted / measured "
        f"{np.mean(predicted / truth):.3f}; measured twice: within 10 % "
        f"{within(first, again):.2f}, Spearman {spearman(first, again):.3f}; "
        f"{truth.min():.2f} to {truth.max():.2f} ms; a prediction takes {cpu_ms:.0f} CPU ms",
        flush=True,
    )
    return predicted, truth


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--max-seconds", type=float, default=1200.0, help="time of the build")
    parser.add_argument("--networks", type=int, default=50, help="unseen networks in all")
    parser.add_argument("--used", type=int, default=40, help="networks a space to build from")
    parser.add_argument("--held-out", type=int, default=12, help="networks a space to calibrate by")
    parser.add_argument("--kernel-seconds", type=float, default=0.5)
    parser.add_argument("--network-seconds", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--runtime", default="onnxruntime")
    parser.add_argument("--precision", default="float32")
    arguments = parser.parse_args()
    target = Target(arguments.runtime, arguments.precision)
    packages = target.made().packages
    print(f"machine: {host_fingerprint(packages)}; load {os.getloadavg()[0]:.1f}")
    print(f"versions: {package_versions(('onnx', 'scikit-learn', 'numpy', *packages))}")
    print(f"{target}, seed {arguments.seed}")
    families = [(registry.load("spaces", s)(), get_task(d)) for s, d in SPACES.items()]
    start = time.monotonic()
    with ResultCache.default() as cache:
        cached = len(cache)
        made = KernelPredictor.build(
            families,
            cache=cache,
            max_seconds=arguments.max_seconds,
            networks=arguments.used,
            held_out=arguments.held_out,
            kernel_seconds=arguments.kernel_seconds,
            network_seconds=arguments.network_seconds,
            seed=arguments.seed,
            runtime=target.runtime,
            precision=target.precision,
        )
    print_build(made, time.monotonic() - start, cached)
    number = np.diff(np.linspace(0, arguments.networks, len(families) + 1).astype(int))
    pairs = [
        print_agreement(
            space.name,
            made.predictor,
            unseen(Family(space, dataset), int(n), arguments.seed),
            target,
            arguments.network_seconds,
        )
        for (space, dataset), n in zip(families, number, strict=True)
    ]
    predicted, truth = (np.concatenate(values) for values in zip(*pairs, strict=True))
    print(
        f"all {len(truth)}: within 10 % {within(predicted, truth):.2f}, Spearman "
        f"{spearman(predicted, truth):.3f}; load at the end {os.getloadavg()[0]:.1f}"
    )


if __name__ == "__main__":
    main()
