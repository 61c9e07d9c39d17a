#!/usr/bin/env bash
# NNI 3.0, local training service, two trials at once: the manager makes each trial for one set of parameters,
# but hands parameters out in the order in which trials ask for them. Where the second trial starts faster,
# each runs the parameters of the other. Then
#
# - the table of trials (web page, REST, `Experiment.list_trial_jobs`) shows for both of them the parameters that
#   the other one ran beside its own result, marked as SUCCEEDED;
# - a tuner, and the engine of NNI's NAS, hear `trial_end` of a trial whose parameters nobody has reported of yet,
#   as if it had failed: the report comes later.
#
# `parameterId` of a metric is right. Expected: a trial runs the parameters that it was made for.
# The script fails if this changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
# NNI needs a setuptools that has pkg_resources.
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
  numpy==2.4.6 nni==3.0 setuptools==81.0.0
cat > "$folder/trial.py" <<'PYTHON'
import os
import time

import nni

if os.environ["NNI_TRIAL_SEQ_ID"] == "0":
    time.sleep(6)  # The first trial starts slowly.
nni.report_final_result(float(nni.get_next_parameter()["x"]))
PYTHON
cat > "$folder/tuner.py" <<'PYTHON'
import os

from nni.tuner import Tuner


class Listed(Tuner):
    def update_search_space(self, search_space):
        self.left = list(search_space["x"]["_value"])

    def write(self, line):
        with open(os.environ["HEARD"], "a") as heard:
            heard.write(line + "\n")

    def generate_parameters(self, parameter_id, **_):
        return {"x": self.left.pop(0)}

    def receive_trial_result(self, parameter_id, parameters, value, **_):
        self.write(f"result of parameters {parameter_id}: {value}")

    def trial_end(self, parameter_id, success, **_):
        self.write(f"end of parameters {parameter_id}")
PYTHON
cat > "$folder/run.py" <<'PYTHON'
import json
import os
import socket
import sys
from importlib.metadata import version
from pathlib import Path

from nni.experiment import Experiment
from nni.experiment.config import CustomAlgorithmConfig

folder = Path(sys.argv[1])
os.environ["HEARD"] = str(folder / "heard.txt")
experiment = Experiment("local")
experiment.config.trial_command = f"{sys.executable} trial.py"
experiment.config.trial_code_directory = folder
experiment.config.search_space = {"x": {"_type": "choice", "_value": [10, 20]}}
experiment.config.tuner = CustomAlgorithmConfig(code_directory=folder, class_name="tuner.Listed")
experiment.config.max_trial_number = 2
experiment.config.trial_concurrency = 2
experiment.config.experiment_working_directory = folder / "experiments"
with socket.socket() as probe:
    probe.bind(("", 0))
    port = probe.getsockname()[1]
experiment.run(port, wait_completion=True)
shown = [
    (job.status, job.hyperParameters[0].parameters["x"], float(job.finalMetricData[0].data))
    for job in experiment.list_trial_jobs()
]
experiment.stop()
heard = (folder / "heard.txt").read_text().splitlines()
print(f"nni {version('nni')}")
for status, x, result in shown:
    print(f"a trial is shown as {status} with x = {x} and reported x = {result}")
print(*heard, sep="\n")
if sorted(shown) != [("SUCCEEDED", 10, 20.0), ("SUCCEEDED", 20, 10.0)]:
    sys.exit("Changed: each trial is shown with what it ran.")
if heard.index("end of parameters 1") > heard.index("result of parameters 1: 20.0"):
    sys.exit("Changed: no end is told before its parameters are reported of.")
print("Each trial ran the other's parameters, and the end of one was told before its result.")
PYTHON
PATH="$folder/venv/bin:$PATH" "$folder/venv/bin/python" "$folder/run.py" "$folder" 2> "$folder/log.txt" |
  grep -v '^\[' || { cat "$folder/log.txt" >&2; exit 1; }
