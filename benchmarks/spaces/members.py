"""Random members of every search space: built, run forward and backward, exported, compared.

Each network gets images of 32 x 32 pixels and seven classes, or eight tokens of fifty. Its ONNX
model is run by ONNX Runtime on random inputs, and the largest difference from PyTorch's output is
stated as a share of the largest output. A member that differs by more than 1e-4 is named, and the
command then exits with 1. With ``--out`` each member is kept in a file, and the same command goes
on where it was interrupted::

    python -m benchmarks.spaces.members --members 200 --out members.jsonl
    python -m benchmarks.spaces.members --members 20 --space nds:family=enas,channels=8,cells=6
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hwnas.onnx_export.export import EXPORTER_KEY, export_onnx
from hwnas.runtimes.agreement import largest_difference, torch_outputs
from hwnas.runtimes.base import OnnxModel, RunSettings, TorchNetwork
from hwnas.runtimes.onnxruntime_runtime import OnnxRuntime
from hwnas.spaces.space_text import read_space
from hwnas.tasks.task import NextToken, Task, TensorSpec, image_task
from hwnas.typing import SearchSpace

TOKENS = "nasbench-nlp:channels=32"
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
    TOKENS,
)
IMAGES = image_task(7, (3, 32, 32))
WORDS = Task("words", TensorSpec((8,), "tokens", 50), NextToken(50))
TOLERANCE = 1e-4
Row = Mapping[str, Any]


def try_member(space: SearchSpace[Any], arch: Any, task: Task, seed: int) -> tuple[str, float]:
    """Build, run and export a member; give the exporter's way and the relative difference."""
    model = space.build(arch, task)
    network = TorchNetwork(model, task.input)
    model.train()
    answers = model(torch.from_numpy(network.draw(4, seed)))
    rows = answers.reshape(-1, answers.shape[-1])
    classes = torch.arange(len(rows)) % rows.shape[-1]
    torch.autograd.backward(torch.nn.functional.cross_entropy(rows, classes))
    onnx_model = export_onnx(model, task.input)
    way = next(entry.value for entry in onnx_model.metadata_props if entry.key == EXPORTER_KEY)
    inputs = [network.draw(1, seed)]
    expected = torch_outputs(model, inputs)
    with OnnxRuntime().prepare(OnnxModel(onnx_model), RunSettings()) as executable:
        difference = largest_difference(executable.outputs(*inputs), expected)
    return way, difference / max(float(np.abs(array).max()) for array in expected)


def draw(space: SearchSpace[Any], seed: int) -> Any:
    """Draw a valid member; each seed has its own."""
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    arch = space.sample(rng)
    while not space.is_valid(arch):
        arch = space.sample(rng)
    return arch


def members(text: str, numbers: Iterator[int], seed: int) -> Iterator[Row]:
    """Try the members of these numbers."""
    space, task = read_space(text), WORDS if text == TOKENS else IMAGES
    for number in numbers:
        arch = draw(space, seed + number)
        start = time.process_time()
        way, error = try_member(space, arch, task, seed + number)
        seconds = time.process_time() - start
        row = {"space": text, "seed": seed + number, "arch": str(arch), "way": way}
        yield row | {"error": error, "seconds": seconds}


def known(file: Path | None) -> dict[tuple[str, int], Row]:
    """Read the members that were tried, by space and seed."""
    lines = file.read_text().splitlines() if file is not None and file.exists() else []
    rows = [json.loads(line) for line in lines]
    return {(row["space"], row["seed"]): row for row in rows}


def main() -> None:
    """Try members of each space and print a row."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--members", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--space", action="append", help="repeatable; all by default")
    parser.add_argument("--out", type=Path, help="file of the members, to go on from")
    given = parser.parse_args()
    torch.set_num_threads(1)
    done, wrong = known(given.out), 0
    print("| space | members | written by | largest difference | CPU s a member |")
    print("| --- | --- | --- | --- | --- |")
    for text in given.space or SPACES:
        wanted = [given.seed + number for number in range(given.members)]
        absent = (seed - given.seed for seed in wanted if (text, seed) not in done)
        for row in members(text, absent, given.seed):
            done[text, row["seed"]] = row
            if given.out is not None:
                with given.out.open("a") as file:
                    print(json.dumps(row), file=file)
        rows = [done[text, seed] for seed in wanted]
        wrong += tell(text, rows)
    sys.exit(1 if wrong else 0)


def tell(text: str, rows: list[Row]) -> int:
    """Print the row of a space; give how many of its members differ."""
    bad = [row for row in rows if not row["error"] <= TOLERANCE]
    for row in bad:
        print(f"{row['arch']} of seed {row['seed']} differs by {row['error']:.1e}")
    ways = ", ".join(f"{way} {n}" for way, n in Counter(row["way"] for row in rows).items())
    worst = max(row["error"] for row in rows)
    each = sum(row["seconds"] for row in rows) / len(rows)
    print(f"| `{text}` | {len(rows)} | {ways} | {worst:.1e} | {each:.2f} |", flush=True)
    return len(bad)


if __name__ == "__main__":
    main()
