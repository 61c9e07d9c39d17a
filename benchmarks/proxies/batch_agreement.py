"""How small batches of VKDNW rank networks, compared with 64 images.

Usage: ``python benchmarks/proxies/batch_agreement.py --networks 120``.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch
from scipy.stats import spearmanr

from hwnas.cli.output import note, print_table
from hwnas.proxies.engine.scoring import score_network
from hwnas.proxies.vkdnw import FimDecile, Vkdnw, VkdnwEntropy
from hwnas.seeding import derive_seed
from hwnas.spaces.nasbench201 import Cell, NasBench201
from hwnas.typing import Proxy

IN_SHAPE = (3, 32, 32)
SIZES = (4, 8, 16, 32)
REFERENCE = 64


def draw_cells(space: NasBench201, networks: int, seed: int) -> list[Cell]:
    """Draw different representatives of cells with a path from input to output."""
    rng = np.random.default_rng(seed)
    cells: dict[Cell, None] = {}
    while len(cells) < networks:
        cell = space.sample(rng)
        if space.is_valid(cell):
            cells.setdefault(space.representative(cell))
    return list(cells)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", type=int, default=120)
    parser.add_argument("--seed", type=int, default=7)
    args = parser.parse_args()
    torch.set_num_threads(1)
    space = NasBench201()
    entropies = [VkdnwEntropy(batch_size=size) for size in (*SIZES, REFERENCE)]
    families: dict[str, list[Proxy]] = {
        "vkdnw": [Vkdnw(entropy) for entropy in entropies],
        "vkdnw_entropy": list(entropies),
        **{f"fim_decile.{d}": [FimDecile(d, e) for e in entropies] for d in range(1, 10)},
    }
    values: dict[str, list[list[float]]] = {name: [] for name in families}
    cells = draw_cells(space, args.networks, args.seed)
    for number, cell in enumerate(cells, start=1):
        note(f"{number}/{len(cells)} {cell}")
        seed = derive_seed(0, space.canonical_key(cell))
        torch.manual_seed(seed)
        proxies = [proxy for family in families.values() for proxy in family]
        scores = score_network(space.build(cell), IN_SHAPE, proxies, seed=seed)
        for name, family in families.items():
            values[name].append([scores[proxy.name].value for proxy in family])
    rows = []
    for name, table in values.items():
        columns = np.array(table).T
        agreement = [spearmanr(column, columns[-1]).statistic for column in columns[:-1]]
        rows.append((name, *map(float, agreement)))
    print_table(
        ["proxy", *(f"{size} images" for size in SIZES)],
        rows,
        f"Spearman correlation with {REFERENCE} images, {args.networks} different networks",
    )


if __name__ == "__main__":
    main()
