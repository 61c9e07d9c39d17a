"""An independent check without a pool: published latencies of known models on phones and boards.

Qualcomm's package `qai-hub-models` publishes what 230 models take on 23 devices (BSD-3-Clause).
Those of them that torchvision or timm build for images of 224 x 224, with the published number of
parameters within 3 %, are a space of their own. For each device and runtime ten random models, in
float, are learned from, the others are judged, five times; beside lines over MACs and parameters.
Devices whose rows are copies of others are left out, and so are models that ran on a GPU or a CPU
(`findings/qai_hub_models_devices_are_copies.sh`)::

    pip download --no-deps qai-hub-models==0.65.0
    pip install 'hwnas[timm]'
    python -m benchmarks.predictors.published_models qai_hub_models-0.65.0-py3-none-any.whl
"""

from __future__ import annotations

import argparse
import importlib
import re
import zipfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from benchmarks.predictors.own_space import figures
from hwnas.spaces.functions import FunctionSpace
from hwnas.spaces.model_choice import ModelChoice
from hwnas.typing import FloatArray
from hwnas_predictors.transfer import TransferPredictor

TIMM = {
    "beit": "beit_base_patch16_224",
    "convnext_v2_base": "convnextv2_base",
    "dla102x": "dla102x",
    "efficientformer": "efficientformer_l1",
    "efficientvit_b2_cls": "efficientvit_b2",
    "efficientvit_l2_cls": "efficientvit_l2",
    "levit": "levit_128s",
    "mobile_vit": "mobilevit_s",
    "mobilenet_v4": "mobilenetv4_conv_medium",
    "regnet_y_800mf": "regnety_008",
    "repvit": "repvit_m1_1",
    "sequencer2d": "sequencer2d_s",
}
TORCHVISION = {
    "convnext_base": "convnext_base",
    "convnext_tiny": "convnext_tiny",
    "densenet121": "densenet121",
    "efficientnet_b0": "efficientnet_b0",
    "mnasnet05": "mnasnet0_5",
    "mobilenet_v2": "mobilenet_v2",
    "mobilenet_v3_large": "mobilenet_v3_large",
    "mobilenet_v3_small": "mobilenet_v3_small",
    "regnet": "regnet_x_3_2gf",
    "resnet101": "resnet101",
    "resnet18": "resnet18",
    "resnet50": "resnet50",
    "resnext101": "resnext101_32x8d",
    "resnext50": "resnext50_32x4d",
    "shufflenet_v2": "shufflenet_v2_x0_5",
    "squeezenet1_1": "squeezenet1_1",
    "swin_base": "swin_b",
    "swin_small": "swin_s",
    "swin_tiny": "swin_t",
    "vit": "vit_b_16",
    "wideresnet50": "wide_resnet50_2",
}
FOLDER = "qai_hub_models/models"
yaml: Any = importlib.import_module("yaml")  # has no types


def build(library: str, name: str) -> nn.Module:
    """Build a model without weights of others."""
    if library == "timm":
        made: nn.Module = importlib.import_module("timm").create_model(name, pretrained=False)
        return made
    found: nn.Module = importlib.import_module("torchvision.models").get_model(name, weights=None)
    return found


def same_models(wheel: zipfile.ZipFile) -> dict[str, Any]:
    """Give what makes each model whose published size is that of the library's."""
    found: dict[str, Any] = {}
    for name, library, theirs in [
        *((n, "timm", t) for n, t in TIMM.items()),
        *((n, "torchvision", t) for n, t in TORCHVISION.items()),
    ]:
        told = yaml.safe_load(wheel.read(f"{FOLDER}/{name}/manifest.yaml"))["technical_details"]
        size = re.match(r"([\d.]+)\s*([MB]?)", str(told.get("Number of parameters", "")))
        if size is None or not str(told.get("Input resolution", "")).startswith("224x224"):
            continue
        params = float(size[1]) * {"M": 1e6, "B": 1e9, "": 1.0}[size[2]]
        ours = sum(p.numel() for p in build(library, theirs).parameters())
        if abs(ours / params - 1) <= 0.03:
            found[name] = partial(build, library, theirs)
        else:
            print(f"left out: {name} has {params:.3g} parameters, {theirs} {ours:.3g}")
    return found


def latencies(
    wheel: zipfile.ZipFile, names: list[str], runtime: str
) -> Iterator[tuple[str, FloatArray]]:
    """Yield devices with `(n,)` published latencies in ms, NaN where there is none on the NPU."""
    table: dict[str, dict[str, float]] = {}
    copied = yaml.safe_load(wheel.read("qai_hub_models/similar_devices.yaml"))["devices"]
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    for name in names:
        content = yaml.load(wheel.read(f"{FOLDER}/{name}/perf.yaml"), loader)
        for parts in content["precisions"].get("float", {}).get("components", {}).values():
            for device, by_runtime in parts["performance_metrics"].items():
                row = by_runtime.get(runtime) or {}
                if row.get("primary_compute_unit") == "NPU" and device not in copied:
                    table.setdefault(device, {})[name] = float(row["inference_time_milliseconds"])
    for device, known in sorted(table.items()):
        yield device, np.array([known.get(name, np.nan) for name in names])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("wheel", type=Path)
    parser.add_argument("--runtimes", nargs="+", default=["tflite", "onnx"])
    parser.add_argument("--samples", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    wheel = zipfile.ZipFile(arguments.wheel)
    models = same_models(wheel)
    choice = ModelChoice.of(models, "published:MODELS")
    space = FunctionSpace(choice, (3, 224, 224), 1000, target="published:MODELS")
    archs = list(space.members(100) or [])
    names = [str(next(iter(space.values(arch).values()))) for arch in archs]
    start = TransferPredictor.without_pool(space)
    columns = start._require_prior()[0].network
    assert columns is not None
    shares = (start.power * columns(archs)[0] + 1) ** (1 / start.power)
    lines = {"MACs": shares[:, 0], "parameters": shares[:, 3]}
    print(f"{len(archs)} models: {', '.join(names)}", flush=True)
    print("| runtime | device | models | model | within 10 % | coverage | MACs | parameters |")
    for runtime in arguments.runtimes:
        means = []
        for device, costs in latencies(wheel, names, runtime):
            known = np.flatnonzero(np.isfinite(costs))
            if len(known) < 2 * arguments.samples:
                continue
            kept, values = [archs[i] for i in known], costs[known]
            found = []
            for seed in range(arguments.repeats):
                rng = np.random.default_rng(seed)
                rows = rng.choice(len(kept), arguments.samples, replace=False).tolist()
                model = start.adapt([kept[i] for i in rows], values[rows])
                row = figures(model, kept, rows, values)
                for work in lines.values():
                    fit = np.polyfit(work[known][rows], values[rows], 1)
                    row.append(figures(np.polyval(fit, work[known]), kept, rows, values)[0])
                found.append(row)
            means.append(np.mean(found, axis=0))
            text = " | ".join(f"{value:.3f}" for value in means[-1])
            print(f"| {runtime} | {device} | {len(kept)} | {text} |", flush=True)
        text = " | ".join(f"{value:.3f}" for value in np.mean(means, axis=0))
        print(f"| {runtime} | mean of {len(means)} | | {text} |", flush=True)


if __name__ == "__main__":
    main()
