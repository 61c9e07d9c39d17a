"""Random members of every search space: built, run forward and backward, exported, compared.

Each network gets images of 32 x 32 pixels and seven classes. Its ONNX model is run by ONNX Runtime
on random images, and the largest difference from PyTorch's output is stated as a share of the
largest output::

    python -m benchmarks.spaces.members --members 200
    python -m benchmarks.spaces.members --members 20 --space nds:family=enas,channels=8,cells=6
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from typing import Any

import numpy as np
import torch

from hwnas.onnx_export.export import EXPORTER_KEY, export_onnx
from hwnas.runtimes.agreement import agreement
from hwnas.runtimes.base import OnnxModel, RunSettings
from hwnas.runtimes.onnxruntime_runtime import OnnxRuntime
from hwnas.spaces.space_text import read_space
from hwnas.tasks.task import image_task
from hwnas.typing import SearchSpace

SPACES = (
    "nasbench201",
    "fbnet",
    "mobilenetv3",
    "mobilenetv2",
    "proxylessnas",
    "resnet",
    "autoformer",
    "pit",
    "nasbench101:channels=16,modules=1",
    *(f"nds:family={f},channels=8,cells=6" for f in ("darts", "enas", "amoeba", "nasnet", "pnas")),
    "natsbench-size",
    "nasbench-macro",
    "transnasbench101-micro:channels=16",
    "transnasbench101-macro:channels=16",
)
TASK = image_task(7, (3, 32, 32))
TOLERANCE = 1e-4


def try_member(space: SearchSpace[Any], arch: Any) -> tuple[str, float]:
    """Build, run and export a member; give the exporter's way and the relative difference."""
    model = space.build(arch, TASK)
    model.train()
    loss = torch.nn.functional.cross_entropy(model(torch.randn(4, 3, 32, 32)), torch.arange(4))
    torch.autograd.backward(loss)
    onnx_model = export_onnx(model, TASK.input.shape)
    way = next(entry.value for entry in onnx_model.metadata_props if entry.key == EXPORTER_KEY)
    with OnnxRuntime().prepare(OnnxModel(onnx_model), RunSettings()) as executable:
        return way, agreement(executable, model).relative_error


def main() -> None:
    """Try members of each space and print a row."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--members", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--space", action="append", help="repeatable; all by default")
    given = parser.parse_args()
    print("space | members | written by | largest difference | CPU s a member")
    for text in given.space or SPACES:
        space, rng = read_space(text), np.random.default_rng(given.seed)
        torch.manual_seed(given.seed)
        ways: Counter[str] = Counter()
        worst, start = 0.0, time.process_time()
        for _ in range(given.members):
            arch = space.sample(rng)
            while not space.is_valid(arch):
                arch = space.sample(rng)
            way, error = try_member(space, arch)
            ways[way] += 1
            worst = max(worst, error)
            if not error <= TOLERANCE:
                print(f"  {arch} differs by {error:.1e}")
        each = (time.process_time() - start) / given.members
        how = ", ".join(f"{name} {number}" for name, number in ways.items())
        print(f"{text} | {given.members} | {how} | {worst:.1e} | {each:.2f}", flush=True)


if __name__ == "__main__":
    main()
