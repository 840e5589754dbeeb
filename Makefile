# make compare: the main table. make check: the linters and the fast tests. make test: all tests. make versions: the fast
# tests with every Python that is here. make aarch64: the tests of machine code on AArch64, emulated. make bench: how
# fast, as a table of goals, against peers, which make bench-peers installs; make bench-all: everything that is measured.
# make docs: the documentation as a site, in build/site. make record: what docs/ keeps of the program's answers anew. All
# make their own virtual environment first.

# Tests and benchmarks start the command hundreds of times: it is compiled to bytecode once, wherever this is set.
unexport PYTHONDONTWRITEBYTECODE

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

# The benchmarks run in an environment of their own where make bench-peers has made one. A peer of theirs, musil, needs
# Python 3.12 or later.
BENCH_PYTHON ?= $(shell for python in python3.13 python3.12; do \
	$$python -c pass 2>/dev/null && echo $$python && exit; done; echo $(PYTHON))
BENCH_VENV := .venv-bench
BENCH_BIN = $(if $(wildcard $(BENCH_VENV)/installed),$(BENCH_VENV),$(VENV))/bin

.PHONY: compare check test kernels lint versions aarch64 bench bench-all bench-peers docs record clean

compare: $(VENV)/installed
	$(BIN)/staleline compare

PYTEST := $(BIN)/python -m pytest --numprocesses auto --dist worksteal -p no:benchmark

check: lint
	$(PYTEST) -m 'not slow'

test: $(VENV)/installed-dev
	$(PYTEST) --durations=30

versions: $(VENV)/installed-dev
	$(BIN)/nox

# What most tests need compiled: .ci/run does it beside the linters, and no two processes compile the same.
kernels: $(VENV)/installed-dev
	STALELINE_RESULTS= $(BIN)/staleline compare user-threads --host cortex-a9 --strategy unfixed,idempotent > /dev/null
	STALELINE_RESULTS= $(BIN)/staleline risk user-threads --host cortex-a9 --strategy unfixed > /dev/null

lint: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

aarch64: $(VENV)/installed-dev
	bench/tools/aarch64.sh $(BIN)/python

bench bench-all: $(if $(wildcard $(BENCH_VENV)/installed),,$(VENV)/installed-dev)
	$(BENCH_BIN)/python -m pytest bench/suite --benchmark-quiet $(if $(filter bench,$@),-m goal)

bench-peers:
	$(BENCH_PYTHON) -m venv $(BENCH_VENV)
	$(BENCH_VENV)/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[bench]'
	@command -v spin || { command -v apt-get && apt-get update -qq && apt-get install -qq spin; } || \
		echo "SPIN is not here and could not be installed; on Debian it is the package spin"
	touch $(BENCH_VENV)/installed

docs: $(VENV)/installed-dev
	$(BIN)/python -m mkdocs build --quiet --strict

record: $(VENV)/installed-dev
	$(BIN)/staleline thread --format page --output docs/thread.md
	$(BIN)/staleline explain flush-on-retranslation --scenario user --plot docs/run.svg > /dev/null; test $$? -eq 1
	$(BIN)/staleline compare --plot docs/tradeoff.svg --charts trade-off > /dev/null
	$(BIN)/staleline sweep --host all --strategy all --scenario all --hazard all --plot docs/matrix.svg > /dev/null
	$(PYTEST) tests/test_readme.py tests/test_site.py --record

clean:
	rm -rf $(VENV) $(BENCH_VENV) build .nox .mypy_cache .pytest_cache .ruff_cache .hypothesis .benchmarks dist

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	touch $@

$(VENV)/installed-dev: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@ $(VENV)/installed
