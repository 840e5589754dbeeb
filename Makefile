# make compare: the main table. make test: the tests. make docs: docs/thread.md anew. All make their own virtual
# environment first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: compare test lint bench docs clean

compare: $(VENV)/installed
	$(BIN)/staleline compare

test: $(VENV)/installed-dev
	$(BIN)/python -m pytest --numprocesses auto --dist worksteal -p no:benchmark

lint: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/installed-dev
	$(BIN)/python -m pytest bench/suite

docs: $(VENV)/installed
	$(BIN)/staleline thread --format page --output docs/thread.md

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis .benchmarks dist

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	touch $@

$(VENV)/installed-dev: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@ $(VENV)/installed
