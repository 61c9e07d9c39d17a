#!/usr/bin/env bash
# Optuna 5.0.0: trials whose constraints (`trial.set_constraint`) are violated are left out by `best_trial`,
# `best_trials`, samplers and the plots of history, front and hypervolume. They still count, silently, in
#
# - `get_param_importances` (default evaluator and fANOVA): the best tenth is that of trials that one may
#   not take, so the parameter that breaks the bound is named as the one that matters, and the only one
#   that matters below the bound has the rest.
# - `get_all_study_summaries`: its `best_trial` is infeasible where `study.best_trial` is another trial.
#
# A study of networks below a latency is such a study. Trials that are pruned instead are left out by both.
# Expected: both leave out what `best_trial` leaves out, or say that they do not.
# The script fails if one of them does, or if pruned trials count.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
  optuna==5.0.0 numpy==2.4.6 scikit-learn==1.9.1
cat > "$folder/bounds.py" <<'PYTHON'
import sys
import warnings

import optuna
from optuna.importance import FanovaImportanceEvaluator, get_param_importances
from optuna.samplers import RandomSampler
from optuna.storages import InMemoryStorage

warnings.simplefilter("ignore")
optuna.logging.set_verbosity(optuna.logging.ERROR)


def study_with(pruned):
    def objective(trial):
        width = trial.suggest_int("width", 1, 8)
        kernel = trial.suggest_categorical("kernel", [3, 5, 7])
        latency = float(width)
        trial.set_constraint("latency", latency - 4)  # at most 4 ms
        if pruned and latency > 4:
            raise optuna.TrialPruned
        return 60.0 + kernel + (20 if width > 4 else 0)

    study = optuna.create_study(
        storage=InMemoryStorage(), direction="maximize", sampler=RandomSampler(seed=0)
    )
    study.optimize(objective, n_trials=200)
    return study


def main():
    print(f"Python {sys.version.split()[0]}, optuna {optuna.__version__}")
    first = {}
    for pruned in (False, True):
        study = study_with(pruned)
        (summary,) = optuna.get_all_study_summaries(study._storage)
        told = summary.best_trial.constraints["latency"] <= 0
        names = []
        for text, values in {
            "default": get_param_importances(study),
            "fANOVA": get_param_importances(study, evaluator=FanovaImportanceEvaluator(seed=0)),
        }.items():
            names.append(next(iter(values)))
            print(f"  {text}: {', '.join(f'{k} {v:.2f}' for k, v in values.items())}")
        first[pruned] = (told, *names)
        how = "pruned" if pruned else "complete"
        print(
            f"infeasible trials {how}: best {study.best_value:.2f}, summary's best "
            f"{summary.best_trial.value:.2f} is {'feasible' if told else 'infeasible'}"
        )
    if first != {False: (False, "width", "width"), True: (True, "kernel", "kernel")}:
        sys.exit("Changed: see above.")
    print("Importances and summaries count trials that break a constraint.")


main()
PYTHON
"$folder/venv/bin/python" "$folder/bounds.py"
