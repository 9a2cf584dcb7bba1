# The commands of this project. `make run` and `make test` set up everything that they need.
# The machine must have Python 3.11 or later, a C compiler and make; no command asks for root.

PYTHON ?= python3
VENV ?= .venv
# Worker processes of pytest: one more than there are cores, since most tests wait. 0 runs the tests in one process, for
# a debugger.
JOBS ?= $(shell echo $$(($$(nproc 2>/dev/null || echo 2) + 1)))
# What else to hand to pytest: make test PYTEST_ARGS="-k codec -x"
PYTEST_ARGS ?=
# Which scenarios: make chaos CHAOS_ARGS="killed slow"
CHAOS_ARGS ?=
# How far the C compiler optimises (setup.py says why): g takes half of the time of 1, a third of that of 3.
export QANTARA_OPTIMISE ?= g

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
# Hundreds of processes are started: each would compile the .py files that it imports if none may leave what it compiled.
PYTHON_OF_TESTS = env -u PYTHONDONTWRITEBYTECODE $(CURDIR)/$(BIN)/python
PYTEST = $(PYTHON_OF_TESTS) -m pytest -n $(JOBS) --dist loadgroup
TREE := build/interpreted
# What the interpreted form is tested with by `make test`: all that has a compiled module, and the path of a request.
ON_PATH = $(wildcard tests/balancing tests/cache tests/downstream tests/features tests/http tests/http1 tests/limits \
	tests/server tests/sharding tests/stages tests/telemetry tests/upstream tests/e2e tests/test_deadlines.py \
	tests/test_errors.py tests/test_exchange.py tests/test_metrics.py tests/test_pipeline.py tests/test_plan.py tests/test_routing.py \
	tests/test_runtime.py tests/test_scoreboard.py)

.DEFAULT_GOAL := help
.PHONY: help run dev test test-all test-compiled test-interpreted test-sdist lint \
	.with-lint .compiled .tree .interpreted .interpreted-all .lint format bench bench-quick fuzz soak dist clean \
	chaos reliability build run-apps venv-run venv-demo venv-dev venv-bench

help:
	@echo "make run          the proxy in front of three demo app servers (http://127.0.0.1:8080)"
	@echo "make run-apps     the same in front of uvicorn, gunicorn and aiohttp"
	@echo "make test         lint, the whole test suite compiled, and what is on the path of a request interpreted"
	@echo "make test-all     lint, the whole test suite in both forms, and an installation from the sdist"
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

# Lint runs beside the tests, which mostly wait; what it says stands behind them, in one piece.
test: venv-dev
	@$(MAKE) --no-print-directory WITH_LINT=".compiled .interpreted" .with-lint

# What `make test` leaves out: the rest in the interpreted form, and the build that a user of the sdist goes through.
test-all: venv-dev
	@$(MAKE) --no-print-directory WITH_LINT=".compiled .interpreted-all test-sdist" .with-lint

.with-lint:
	@mkdir -p build; $(MAKE) --no-print-directory .lint >build/lint.log 2>&1 & lint=$$!; \
		$(MAKE) --no-print-directory $(WITH_LINT); tests=$$?; \
		wait $$lint; lint=$$?; echo; cat build/lint.log; \
		test $$lint -eq 0 || echo "lint: FAILED"; exit $$((tests + lint > 0))

test-compiled: venv-dev
	@$(MAKE) --no-print-directory .compiled

test-interpreted: venv-dev
	@$(MAKE) --no-print-directory .interpreted

lint: venv-dev
	@$(MAKE) --no-print-directory .lint

.compiled:
	QANTARA_FORM=compiled $(PYTEST) -m "not sdist and not soak" $(PYTEST_ARGS)

# In a copy of the checkout in which only what is written in Cython (.pyx) is compiled, with what that shares.
.tree:
	@rm -rf $(TREE) && mkdir -p $(TREE)
	@tar -c --exclude-vcs --exclude='.venv*' --exclude='./build' --exclude='./dist' --exclude='*.so' \
		--exclude='.*_cache' --exclude='.hypothesis' --exclude='*.egg-info' . | tar -x -C $(TREE)
	@for source in $$(find proxy -name '*.pyx') proxy/_shared.; do \
		for module in $${source%.*}.*.so; do test ! -e $$module || cp $$module $(TREE)/$$module; done; done

# It measures what the tests run of each package, and fails if that is not enough; not if PYTEST_ARGS choose tests.
.interpreted: .tree
	cd $(TREE) && QANTARA_FORM=interpreted PYTHONPATH=$(CURDIR)/$(TREE) $(PYTHON_OF_TESTS) -m coverage run -m pytest \
		-n $(JOBS) --dist loadgroup -m "not processes and not long and not packaging and not sdist and not soak" \
		$(ON_PATH) $(PYTEST_ARGS)
	cd $(TREE) && $(PYTHON_OF_TESTS) -m coverage combine --quiet
	@cd $(TREE) && $(PYTHON_OF_TESTS) -m tests.coverage_law $(if $(PYTEST_ARGS),|| echo "PYTEST_ARGS: not judged")

.interpreted-all: .tree
	cd $(TREE) && QANTARA_FORM=interpreted PYTHONPATH=$(CURDIR)/$(TREE) $(PYTEST) $(PYTEST_ARGS)

test-sdist: $(VENV)/.ready-dev
	$(CURDIR)/$(BIN)/python -m pytest -m sdist $(PYTEST_ARGS) tests/test_packaging.py

.lint:
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
