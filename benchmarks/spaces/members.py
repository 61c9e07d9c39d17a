"""Random members of every search space: built, run forward and backward, exported, compared.

Each network gets images of 32 x 32 pixels, or of `--side`, and seven classes, or eight tokens of
fifty. Its ONNX model is run by ONNX Runtime on random inputs, and the largest difference from
PyTorch's output is stated as a share of the largest output. A member that differs by more than 1e-4
is named, and so is one that is refused, with the reason; the command then exits with 1, unless the
reason is that no ONNX file holds its weights. Those whose numbers overflow in PyTorch are counted
apart. With ``--out`` each member is kept in
a file, and the same command goes on where it was interrupted::

    python -m benchmarks.spaces.members --members 200 --out members.jsonl
    python -m benchmarks.spaces.members --members 20 --space nds:family=enas,channels=8,cells=6
    python -m benchmarks.spaces.members --members 200 --space resnet --side 16 --out members.jsonl
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

from hwnas.errors import InvalidValueError
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
WORDS = Task("words", TensorSpec((8,), "tokens", 50), NextToken(50))
TOLERANCE = 1e-4
TOO_LARGE = "less than 2 GiB of weights"
"""Stands in the one refusal that is no fault: see `hwnas.onnx_export.export`."""
Row = Mapping[str, Any]


def try_member(
    space: SearchSpace[Any], arch: Any, task: Task, seed: int
) -> tuple[str, float | None]:
    """Build, run and export a member; give the exporter's way and the relative difference.

    There is no difference where PyTorch's output is not finite.
    """
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
    largest = max(float(np.abs(array).max()) for array in expected)
    return way, difference / largest if np.isfinite(largest) else None


def draw(space: SearchSpace[Any], seed: int) -> Any:
    """Draw a valid member; each seed has its own."""
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    arch = space.sample(rng)
    while not space.is_valid(arch):
        arch = space.sample(rng)
    return arch


def members(text: str, numbers: Iterator[int], side: int) -> Iterator[Row]:
    """Try the members of these seeds."""
    space = read_space(text)
    task = WORDS if text == TOKENS else image_task(7, (3, side, side))
    for number in numbers:
        arch = draw(space, number)
        start = time.process_time()
        try:
            found: dict[str, Any] = {}
            found["way"], found["error"] = try_member(space, arch, task, number)
        except InvalidValueError as refusal:
            found = {"refused": str(refusal)}
        found["seconds"] = time.process_time() - start
        yield {"space": text, "side": side, "seed": number, "arch": str(arch), **found}


def known(file: Path | None) -> dict[tuple[str, int, int], Row]:
    """Read the members that were tried, by space, side and seed."""
    lines = file.read_text().splitlines() if file is not None and file.exists() else []
    rows = [json.loads(line) for line in lines]
    return {(row["space"], row["side"], row["seed"]): row for row in rows}


def main() -> None:
    """Try members of each space and print a row."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--members", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--side", type=int, default=32, help="pixels")
    parser.add_argument("--space", action="append", help="repeatable; all by default")
    parser.add_argument("--out", type=Path, help="file of the members, to go on from")
    given = parser.parse_args()
    torch.set_num_threads(1)
    done, wrong, side = known(given.out), 0, given.side
    print("| space | side | members | written by | largest difference | CPU s a member |")
    print("| --- | --- | --- | --- | --- | --- |")
    for text in given.space or SPACES:
        wanted = range(given.seed, given.seed + given.members)
        absent = (seed for seed in wanted if (text, side, seed) not in done)
        for row in members(text, absent, side):
            done[text, side, row["seed"]] = row
            if given.out is not None:
                with given.out.open("a") as file:
                    print(json.dumps(row), file=file)
        wrong += tell(text, side, [done[text, side, seed] for seed in wanted])
    sys.exit(1 if wrong else 0)


def tell(text: str, side: int, rows: list[Row]) -> int:
    """Print the row of a space; give how many of its members differ or are refused."""
    refused = [row for row in rows if "refused" in row]
    for row in refused:
        print(f"{row['arch']} of seed {row['seed']} is refused: {row['refused']}")
    if overflow := sum("way" in row and row["error"] is None for row in rows):
        print(f"{overflow} of `{text}` overflow in PyTorch, and are not compared.")
    rows = [row for row in rows if row.get("error") is not None]
    bad = [row for row in rows if not row["error"] <= TOLERANCE]
    for row in bad:
        print(f"{row['arch']} of seed {row['seed']} differs by {row['error']:.1e}")
    ways = ", ".join(f"{way} {n}" for way, n in Counter(row["way"] for row in rows).items())
    worst = max((row["error"] for row in rows), default=float("nan"))
    each = sum(row["seconds"] for row in rows) / max(1, len(rows))
    print(f"| `{text}` | {side} | {len(rows)} | {ways} | {worst:.1e} | {each:.2f} |", flush=True)
    return len(bad) + sum(TOO_LARGE not in row["refused"] for row in refused)


if __name__ == "__main__":
    main()
