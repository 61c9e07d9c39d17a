# `make search` and `make test` set up everything they need in one virtual environment.
PYTHON ?= python3
VENV ?= .venv
EXTRAS ?= dev,parquet
# A third of the tests' time is waiting, for limits and for other processes: one more than two cores.
TEST_JOBS ?= 3
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: setup search test lint format docs clean

setup: $(INSTALLED)

# Torch goes first and pinned: an open range brings gigabytes of CUDA packages on Linux.
$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("hwnas needs Python 3.11 or newer: make PYTHON=python3.11" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[$(EXTRAS)]'
	@touch $@

search: $(INSTALLED)
	$(BIN)/hwnas search --jobs 2

# Compiled once, not by each process of the tests where PYTHONDONTWRITEBYTECODE is set.
test: $(INSTALLED)
	$(BIN)/python -m compileall -q hwnas plugins predictors
	$(BIN)/python -m pytest --numprocesses=$(TEST_JOBS) --dist=loadfile --no-loadscope-reorder

lint: $(INSTALLED)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

docs: $(INSTALLED)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[docs]'
	$(BIN)/python -m mkdocs build
	@echo "build/site/index.html"

format: $(INSTALLED)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .benchmarks
