#!/usr/bin/env bash
# qai-hub-models 0.65.0 publishes 19,310 latencies of 230 models on "23 devices" (`perf.yaml` of each model).
#
# 1. Six of the devices were not measured: their rows are another device's, number by number and with its
#    `job_id`. Dragonwing Q-8750 is the Galaxy S25, XR2 Gen 2 the Galaxy S22, IQ-X7181 the X Elite, Q-7790 the
#    7 Gen 4, SA8255P and SA8650P are the SA8775P. A quarter of the numbers are copies. `perf.yaml` does
#    not say so, a file `similar_devices.yaml` of the package does. Who trains on some devices and tests on the
#    others, or counts devices, finds agreement that nobody measured.
# 2. Where the NPU does not take a model the same table has its latency on the GPU or the CPU: 279 rows, of LiteRT
#    6 %. `primary_compute_unit` says so. It is not one device for all models.
# 3. int8 (w8a8) is slower than float for one pair in twelve, up to 48 times.
#
# Expected: a mark at each copied row, and one unit a column.
# The script fails if devices of a group have numbers of their own, others agree, or these shares change.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check PyYAML==6.0.3
"$folder/venv/bin/pip" download --quiet --disable-pip-version-check --no-deps --dest "$folder" \
  qai-hub-models==0.65.0
cat > "$folder/copies.py" <<'PYTHON'
import itertools
import sys
import zipfile
from collections import Counter

import yaml

GROUPS = {
    ("Dragonwing IQ-X7181", "Snapdragon X Elite CRD"),
    ("Dragonwing Q-7790", "Snapdragon 7 Gen 4 QRD"),
    ("Dragonwing Q-8750", "Samsung Galaxy S25"),
    ("SA8255P ADP", "SA8650P ADP"),
    ("SA8255P ADP", "SA8775P ADP"),
    ("SA8650P ADP", "SA8775P ADP"),
    ("Samsung Galaxy S22 5G", "Snapdragon XR2 Gen 2"),
}


def rows(wheel):
    """Yield model, precision, component, device, runtime and what is published of it."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    for name in wheel.namelist():
        if not name.endswith("/perf.yaml"):
            continue
        content = yaml.load(wheel.read(name), loader)
        for precision, told in (content.get("precisions") or {}).items():
            for part, values in told["components"].items():
                for device, runtimes in (values.get("performance_metrics") or {}).items():
                    for runtime, row in runtimes.items():
                        if isinstance(row, dict) and "inference_time_milliseconds" in row:
                            yield (name, precision, part, runtime), device, row


def main():
    wheel = zipfile.ZipFile(sys.argv[1])
    table = {}
    for what, device, row in rows(wheel):
        table.setdefault(device, {})[what] = row
    every = [row for of_device in table.values() for row in of_device.values()]
    copies = len(every) - len({row["job_id"] for row in every})
    models = len({name for of_device in table.values() for name, *_ in of_device})
    print(f"{len(every)} latencies of {models} models, {len(table)} devices, {copies} copies of another device's row")
    found = set()
    for a, b in itertools.combinations(sorted(table), 2):
        both = table[a].keys() & table[b].keys()
        equal = sum(table[a][key] == table[b][key] for key in both)
        if equal == len(both) > 0:
            print(f"  {a} = {b}: {equal} of {len(both)} rows")
            found.add((a, b))
        elif equal:
            sys.exit(f"Changed: {a} and {b} share {equal} of {len(both)} rows.")
    units = Counter(row["primary_compute_unit"] for row in every)
    litert = Counter(
        row["primary_compute_unit"] == "NPU"
        for of_device in table.values()
        for (*_, runtime), row in of_device.items()
        if runtime == "tflite"
    )
    print(f"computed on: {dict(units)}; of LiteRT's {litert[False]} of {litert.total()} not on the NPU")
    pairs = [
        row["inference_time_milliseconds"] / floats["inference_time_milliseconds"]
        for of_device in table.values()
        for (name, precision, *rest), row in of_device.items()
        if precision == "w8a8" and (floats := of_device.get((name, "float", *rest)))
    ]
    share = sum(ratio > 1 for ratio in pairs) / len(pairs)
    print(f"w8a8 slower than float: {share:.3f} of {len(pairs)} pairs, up to {max(pairs):.1f} times")
    counted = (len(every), models, len(table), copies, len(every) - units["NPU"])
    shares = (round(litert[False] / litert.total(), 2), round(1 / share), int(max(pairs)))
    if found != GROUPS or counted != (19310, 230, 23, 4992, 279) or shares != (0.06, 12, 48):
        sys.exit("Changed: see above.")
    print("Six of the devices are others by another name; rows of one device are of several units.")


main()
PYTHON
"$folder/venv/bin/python" "$folder/copies.py" "$folder"/qai_hub_models-*.whl
