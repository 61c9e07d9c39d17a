"""Write the table of equal cells of NAS-Bench-201 that ships with the package.

python -m benchmarks.structure.cell_classes
"""

from __future__ import annotations

import argparse

from hwnas.spaces.nasbench201.classes import PATH, CellClasses


def main() -> None:
    """Work the classes out and write the file."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    found = CellClasses.worked_out()
    found.write()
    print(f"{len(found.keys)} classes, {sum(found.live)} live cells: {PATH}")


if __name__ == "__main__":
    main()
