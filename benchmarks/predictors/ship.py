"""Make the pools of devices that come with hwnas: one file a search space.

Usage: python -m benchmarks.predictors.ship [SPACE ...]

Learns from HELP's published latencies (all devices of a space; MIT licence), in NAS-Bench-201 from
those of BRP-NAS as well (Apache-2.0 licence), and writes
``predictors/hwnas_predictors/shipped/SPACE.npz``. The file states the checksum of the data.
"""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.predictors.methods import extra_of, power_of
from benchmarks.predictors.row_order import to_learn_from
from hwnas.data.device_pool import cell_pool, device_pool
from hwnas.data.help import HELP_SPACES, help_dataset
from hwnas_predictors.transfer import TransferPredictor

FOLDER = Path(__file__).parents[2] / "predictors/hwnas_predictors/shipped"
SEED = 0


def main() -> None:
    for name in sys.argv[1:] or HELP_SPACES:
        pool = to_learn_from(cell_pool() if name == "nasbench201" else device_pool(name))
        source = "HELP+BRP-NAS" if name == "nasbench201" else "HELP"
        predictor = TransferPredictor(
            pool.space,
            pool.metric,
            pool.unit,
            power=power_of(name),
            extra=extra_of(name),
            dataset=help_dataset(name),
            seed=SEED,
            data=f"{source} {name} {pool.fingerprint}",
        )
        predictor.fit(pool.archs, pool.costs, [key.dead_operations for key in pool.devices])
        predictor.save(FOLDER / f"{name}.npz")
        size = (FOLDER / f"{name}.npz").stat().st_size
        print(f"{name}: {len(pool.names)} devices, {len(pool.archs)} architectures, {size} bytes")


if __name__ == "__main__":
    main()
