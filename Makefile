# The commands of this project. `make run` and `make test` set up everything that they need.
# The machine must have Python 3.11 or later, a C compiler and make; no command asks for root.

PYTHON ?= python3
VENV ?= .venv
# Worker processes of pytest; 0 runs the tests in one process, for a debugger.
JOBS ?= $(shell nproc 2>/dev/null || echo 2)
# What else to hand to pytest: make test PYTEST_ARGS="-k codec -x"
PYTEST_ARGS ?=
# Which scenarios: make chaos CHAOS_ARGS="killed slow"
CHAOS_ARGS ?=
# How far the C compiler optimises (setup.py says why): g takes half of the time of 1, a third of that of 3.
export QANTARA_OPTIMISE ?= g

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
PYTEST = $(CURDIR)/$(BIN)/python -m pytest -n $(JOBS) --dist loadgroup
TREE := build/interpreted

.DEFAULT_GOAL := help
.PHONY: help run dev test test-compiled test-interpreted lint format bench bench-quick fuzz soak dist clean \
	chaos reliability build run-apps test-all test-sdist venv-run venv-demo venv-dev venv-bench

help:
	@echo "make run          the proxy in front of three demo app servers (http://127.0.0.1:8080)"
	@echo "make run-apps     the same in front of uvicorn, gunicorn and aiohttp"
	@echo "make test         lint, then the whole test suite, compiled and interpreted"
	@echo "make test-all     the same, and an installation from the sdist"
	@echo "make dev          develop: everything installed, the .py files run interpreted"
	@echo "make build        develop: compile in place"
	@echo "make lint         ruff, mypy, hadolint;  make format  ruff's formatter"
	@echo "make bench        compare with nginx, HAProxy, Envoy and others;  make bench-quick  a short run"
	@echo "make reliability  reloads, upgrades, killed workers, supervisors and backends, overload (10 minutes)"
	@echo "make chaos        over a hundred scenarios of what can go wrong, each with a verdict (one minute)"
	@echo "make fuzz         long property tests;  make soak  long leak tests"
	@echo "make dist         sdist and wheel in dist/;  make clean  remove what was built"

run: venv-run
	$(BIN)/qantara demo

run-apps: venv-demo
	$(BIN)/qantara demo --apps

# --- environment -------------------------------------------------------------------------------------

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "Qantara needs Python 3.11 or later. Name one: make PYTHON=/usr/bin/python3.12 ..." >&2; exit 1; }
	@$(PYTHON) -c 'import os, sysconfig; sys_h = sysconfig.get_path("include") + "/Python.h"; raise SystemExit(not os.path.exists(sys_h))' || { \
		echo "Python.h is missing. On Debian: apt-get install python3-dev" >&2; exit 1; }
	@command -v "$${CC:-cc}" >/dev/null || { \
		echo "No C compiler. On Debian: apt-get install gcc" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
		echo "This Python cannot make a virtual environment. On Debian: apt-get install python3-venv" >&2; exit 1; }
	$(PIP) install "pip>=24" "setuptools>=77" "Cython>=3.3"

# pip compiles in a folder of its own, which nothing reuses: it gets nothing to compile, `build` does all of it.
$(VENV)/.ready-%: $(BIN)/python pyproject.toml
	QANTARA_EXTENSIONS=0 $(PIP) install --no-build-isolation --editable "$(if $(filter run,$*),.,.[$*])"
	@touch $@

# pip waits for the network where the compiler does not: both at once.
venv-run venv-demo venv-dev venv-bench: venv-%: $(BIN)/python
	@$(MAKE) --no-print-directory -j2 $(VENV)/.ready-$* build

# Only what changed is compiled: a second when nothing did.
build: $(BIN)/python
	@$(BIN)/python setup.py --quiet build_ext --inplace

# What is measured and what is shipped; kept beside the other (build/O3), so that neither is compiled again.
bench bench-quick reliability soak dist: QANTARA_OPTIMISE = 3

# A compiled module wins over the .py file beside it on import: setup.py removes those that this form does not have.
dev: $(VENV)/.ready-dev
	@QANTARA_INTERPRETED=1 $(BIN)/python setup.py --quiet build_ext --inplace
	@echo "Interpreted form ready; 'make build' compiles it."

# --- checks ------------------------------------------------------------------------------------------

test: lint test-compiled test-interpreted

# What `make test` does, and the build that a user of the sdist goes through: everything is compiled once more.
test-all: test test-sdist

test-compiled: venv-dev
	QANTARA_FORM=compiled $(PYTEST) -m "not soak and not sdist" $(PYTEST_ARGS)

test-sdist: $(VENV)/.ready-dev
	$(CURDIR)/$(BIN)/python -m pytest -m sdist $(PYTEST_ARGS) tests/test_packaging.py

# The same tests once more, in a copy of the checkout in which only what is written in Cython (.pyx) is compiled.
test-interpreted: venv-dev
	@rm -rf $(TREE) && mkdir -p $(TREE)
	@tar -c --exclude-vcs --exclude='.venv*' --exclude='./build' --exclude='./dist' --exclude='*.so' \
		--exclude='__pycache__' --exclude='.*_cache' --exclude='.hypothesis' --exclude='*.egg-info' . | tar -x -C $(TREE)
	@cp proxy/_shared*.so $(TREE)/proxy/
	@cp proxy/http1/codec*.so $(TREE)/proxy/http1/
	@cp proxy/limits/atomic*.so $(TREE)/proxy/limits/
	@cp proxy/sharding/tables*.so $(TREE)/proxy/sharding/
	cd $(TREE) && QANTARA_FORM=interpreted PYTHONPATH=$(CURDIR)/$(TREE) $(PYTEST) $(PYTEST_ARGS)

lint: venv-dev
	$(BIN)/ruff check .
	$(BIN)/mypy
	@if [ -x $(BIN)/hadolint ]; then $(BIN)/hadolint Dockerfile; \
		else echo "hadolint has no wheel for this machine: Dockerfile not linted"; fi

format: venv-dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

fuzz: venv-dev
	$(PYTEST) --hypothesis-profile=fuzz --timeout 3600 tests/fuzz $(PYTEST_ARGS)

soak: venv-bench $(VENV)/.ready-dev
	$(BIN)/python -m pytest -m soak --timeout 3600 $(PYTEST_ARGS)
	$(BIN)/python -m benchmarks.soak

bench: venv-bench
	$(BIN)/python -m benchmarks.run

bench-quick: venv-bench
	$(BIN)/python -m benchmarks.run --quick

# What may not lose a request, under load; each trial ends with an error if one is lost. Needs nginx.
reliability: venv-bench $(VENV)/.ready-dev
	$(BIN)/python -m benchmarks.reliability reload --times 1000 --rate 10000
	$(BIN)/python -m benchmarks.reliability upgrade --times 5
	$(BIN)/python -m benchmarks.reliability kill-worker --times 60
	$(BIN)/python -m benchmarks.reliability kill-supervisor --times 3 --alone 5
	$(BIN)/python -m benchmarks.backends --seconds 30 --requests 200000
	$(BIN)/python -m benchmarks.overload
	$(BIN)/python -m benchmarks.hedging
	$(BIN)/python -m benchmarks.backends --backends 1000 --kill 10 --seconds 120 --requests 1000000

chaos: venv-dev
	$(BIN)/python -m tests.chaos.suite $(CHAOS_ARGS)

# --- release -----------------------------------------------------------------------------------------

dist: $(VENV)/.ready-dev
	rm -rf dist
	$(BIN)/python -m build

clean:
	rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find proxy \( -name '*.so' -o -name '*.c' \) -delete
	find proxy tests benchmarks -path 'benchmarks/.venv*' -prune -o -name __pycache__ -type d -exec rm -rf {} +
