#!/usr/bin/env bash
# NNI 3.0: `import nni.nas.nn.pytorch` writes a module into the installed package, `_layers.py`, where there
# is none for this version of PyTorch, in place and without a lock. What is there while it is written has
# the lines by which the next import takes it for whole: a process that imports NNI meanwhile, as workers of
# an experiment or of tests do, gets a SyntaxError, and so does every later import if the first was ended in
# the midst. Seen with three processes on a fresh installation; here the writer is held after half of it.
#
# Expected: the file is written elsewhere and renamed, or is part of the package.
# The script fails if this changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
# NNI needs a setuptools that has pkg_resources.
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
  torch==2.13.0 numpy==2.4.6 nni==3.0 pytorch-lightning==2.6.6 torchmetrics==1.9.0 setuptools==81.0.0
package=$("$folder/venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/nni/nas/nn/pytorch
test ! -e "$package/_layers.py"
echo "nni 3.0, torch 2.13.0: no _layers.py after the installation"
cat > "$folder/half.py" <<'PYTHON'
"""Imports NNI, and ends after half of what it writes, as a process does that is killed then."""
import os
import pathlib
import warnings

warnings.simplefilter("ignore")
opened, held = pathlib.Path.open, []


def slowly(path, mode="r", *arguments, **options):
    if path.name != "_layers.py" or mode != "w" or held:
        return opened(path, mode, *arguments, **options)
    held.append(path)

    class Half:
        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def write(self, text):
            half = text[: text.index("(ParametrizedModule", len(text) // 2) + 30]
            path.write_text(half)
            os._exit(0)

    return Half()


pathlib.Path.open = slowly
import nni.nas.nn.pytorch  # noqa: E402, F401
PYTHON
"$folder/venv/bin/python" "$folder/half.py" 2>/dev/null
test -s "$package/_layers.py"
for attempt in 1 2; do
  found=$("$folder/venv/bin/python" -W ignore -c 'import nni.nas.nn.pytorch' 2>&1 | tail -1) || true
  echo "import $attempt behind half a file: $found"
  case $found in
    SyntaxError*) ;;
    *) echo "another outcome" && exit 1 ;;
  esac
done
rm "$package/_layers.py"
"$folder/venv/bin/python" -W ignore -c 'import nni.nas.nn.pytorch' 2>/dev/null
test -s "$package/_layers.py"
echo "import without the file: it is written anew, whole"
