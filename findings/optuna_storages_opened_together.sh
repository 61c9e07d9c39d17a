#!/usr/bin/env bash
# Optuna 5.0.0 with SQLAlchemy 2.1.9: of processes that open one empty data base at the same moment, as
# the workers of a study do on their first start, some fail. `RDBStorage` looks for each table and
# then makes it, and writes its version's row, without a lock between; the others' tables and row are
# there already. Seen with SQLite: in 20 rounds of 4 processes about a fifth of the openings raise
# "OperationalError: table studies already exists" or "IntegrityError: UNIQUE constraint failed:
# alembic_version.version_num". With PostgreSQL 15 it is an IntegrityError about a type's name. A
# second opening succeeds. Expected: that any number of processes may start on one storage.
#
# The script fails if no opening fails any more, or if a failure is another one.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
  optuna==5.0.0 sqlalchemy==2.1.9 alembic==1.20.1
cat > "$folder/opened.py" <<'PYTHON'
import collections
import multiprocessing
import sys
import tempfile

import alembic
import optuna
import sqlalchemy


def opened(url, barrier, answers):
    barrier.wait()
    try:
        optuna.storages.RDBStorage(url)
    except Exception as error:
        answers.put(f"{type(error).__name__}: {str(error).splitlines()[0]}")
    else:
        answers.put("opened")


def main():
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    context, found = multiprocessing.get_context("fork"), collections.Counter()
    for _ in range(20):
        with tempfile.TemporaryDirectory() as folder:
            barrier, answers = context.Barrier(4), context.Queue()
            arguments = (f"sqlite:///{folder}/study.db", barrier, answers)
            processes = [context.Process(target=opened, args=arguments) for _ in range(4)]
            for process in processes:
                process.start()
            found.update(answers.get() for _ in processes)
            for process in processes:
                process.join()
            optuna.storages.RDBStorage(f"sqlite:///{folder}/study.db")  # later it opens
    print(f"Python {sys.version.split()[0]}, optuna {optuna.__version__}, "
          f"SQLAlchemy {sqlalchemy.__version__}, alembic {alembic.__version__}")
    for answer, count in found.most_common():
        print(f"{count:3} {answer}")
    failed = [answer for answer in found if answer != "opened"]
    known = all("already exists" in a or "alembic_version" in a or "version_info" in a for a in failed)
    sys.exit(0 if failed and known else "The behaviour has changed.")


main()
PYTHON
"$folder/venv/bin/python" "$folder/opened.py"
