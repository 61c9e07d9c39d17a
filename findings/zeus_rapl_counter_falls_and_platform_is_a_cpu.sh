#!/usr/bin/env bash
# zeus 0.16.0, energy of a CPU by RAPL, on a powercap tree as the kernel writes it:
#
# 1. After the counter of a package wraps around, which a CPU at 65 W does every 67 minutes, the
#    total energy falls by the counter's whole range for up to a second: wraps are counted
#    by a process that looks once a second, and the total is the counter plus the wraps counted so
#    far. A window that ends in that second has a negative energy of minus 262 kJ.
# 2. The zone `psys`, the whole platform of a laptop, which holds the package, is a second CPU: the
#    sum over the CPUs counts the package twice.
#
# Expected: a total that only grows, as its name says, and packages alone among the CPUs.
# The script fails if either is no longer so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
# amdsmi needs a driver that most machines lack, and is not used here.
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check --no-deps zeus==0.16.0
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
  httpx==0.28.1 nvidia-ml-py==13.615.71 pydantic==2.13.5 rich==15.0.0
zones="$folder/powercap/intel-rapl"
zone() {
  mkdir -p "$zones/intel-rapl:$1"
  echo "$2" > "$zones/intel-rapl:$1/name"
  echo "$3" > "$zones/intel-rapl:$1/energy_uj"
  echo 262143328850 > "$zones/intel-rapl:$1/max_energy_range_uj"
}
zone 0 package-0 262143328000
zone 1 psys 5000000
cat > "$folder/read.py" <<'PYTHON'
import sys
import time
from importlib.metadata import version
from pathlib import Path

from zeus.device.cpu import rapl


def main():
    rapl.RAPL_DIR = sys.argv[1]
    print("zeus", version("zeus"))
    cpus = rapl.RAPLCPUs().cpus
    names = [cpu.rapl_file.name for cpu in cpus]
    print("CPUs:", names)
    package = cpus[0]
    before = package.get_total_energy_consumption().cpu_mj
    time.sleep(2)  # the process that counts wraps has started
    (Path(sys.argv[1]) / "intel-rapl:0" / "energy_uj").write_text("150\n")
    at_once = package.get_total_energy_consumption().cpu_mj
    time.sleep(2.5)
    later = package.get_total_energy_consumption().cpu_mj
    print(f"mJ before, at once and 2.5 s after the counter wrapped around: "
          f"{before:.2f} {at_once:.2f} {later:.2f}")
    if names != ["package-0", "psys"]:
        sys.exit("the platform is no CPU any more")
    if not at_once < before:
        sys.exit("the total does not fall any more")


if __name__ == "__main__":
    main()
PYTHON
"$folder/venv/bin/python" "$folder/read.py" "$zones"
