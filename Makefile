# stream-rec: `make demo` shows it, `make test` tests it; both set up what is missing.
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= $(shell for found in python3.11 python3.12 python3.13 python3; do \
  $$found -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
  && echo $$found && break; done)
BIN := .venv/bin
STAMP := .venv/.stream-rec
TESTS ?=
# Most tests wait for a broker, so two files at a time take little more than half as long.
AT_ONCE ?= 2
PAGES := tests/test_readme.py tests/test_security_docs.py \
  tests/consumers/test_options_docs.py tests/consumers/telemetry/test_metrics_docs.py \
  tests/consumers/commands/test_policy_fields.py

.PHONY: help
help: ## what can be made
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /\1\t/' | expand -t 10

.PHONY: setup
setup: $(STAMP)/broker $(STAMP)/warm ## the environment, the broker and the compiled kernels, whatever is missing

$(STAMP)/python:
	@[ -n "$(PYTHON)" ] || { echo "stream-rec needs Python 3.11 or newer: none found" >&2; exit 2; }
	$(PYTHON) -m venv .venv
	@mkdir -p $(STAMP) && touch $@

$(STAMP)/libraries: requirements.lock | $(STAMP)/python
	@echo "Libraries: the first time this fetches about 3 GB, most of it torch with CUDA"
	$(BIN)/python -m pip install --disable-pip-version-check --require-hashes -r requirements.lock
	@touch $@

$(STAMP)/project: pyproject.toml $(STAMP)/libraries
	$(BIN)/python -m pip install --disable-pip-version-check --quiet \
	  --no-deps --no-build-isolation --editable .
	@touch $@

$(STAMP)/broker: consumers/processes/jars.sha256 $(STAMP)/project
	$(BIN)/python -m consumers.processes.broker_jars
	@touch $@

# Warming is a convenience: the kernels compile at first use as well.
$(STAMP)/warm: $(STAMP)/project
	@if $(BIN)/python -c 'import sys, importlib.util as u; sys.exit(u.find_spec("stream_rec.warm_up") is None)'; \
	  then echo "Compiling the kernels"; $(BIN)/python -m stream_rec.warm_up; fi
	@touch $@

.PHONY: demo
demo: setup ## the main job on a simulated shop, live, about 90 s
	$(BIN)/stream-rec demo

# Files run side by side, so threads of one would only take the other's processor.
.PHONY: test
test: export OMP_NUM_THREADS ?= 1
test: setup ## every test but the slow ones and those that need a GPU
	$(BIN)/python -m pytest -n $(AT_ONCE) --dist loadfile --no-loadscope-reorder \
	  -m "not slow and not gpu" $(TESTS)

.PHONY: check
check: setup ## format, lint, types, doctests and tests: what CI checks
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(MAKE) --no-print-directory test

.PHONY: storm
storm: setup ## kills, zombies, poison and restarts on a real broker, against the oracle
	$(BIN)/python -m pytest -m slow $(or $(TESTS),tests/guarantees)

.PHONY: slow
slow: setup ## every test that takes too long for `make test`, the storm included: an hour
	$(BIN)/python -m pytest -m "slow and not gpu" $(TESTS)

.PHONY: soak
soak: setup ## 200,000 users and 17,000 items for ten minutes: memory, threads and files stay
	$(BIN)/python -m benchmarks soak --seconds 600

.PHONY: takeover
takeover: setup ## seconds until a worker with an empty disk has taken over 100,000 profiles
	$(BIN)/python -m benchmarks restart_time --users 100000

.PHONY: schedules
schedules: setup ## 10,000 random schedules without a broker, and every mutation of the step
	$(BIN)/python -m pytest -m slow tests/test_group_simulation.py tests/test_mutants.py

.PHONY: wheel
wheel: setup ## the wheel, in dist/
	$(BIN)/python -m hatchling build -t wheel -d dist

.PHONY: fuzz
fuzz: setup ## every decoder against hostile bytes, guided by coverage, half a minute each
	@$(BIN)/python -c 'import importlib.util as u, sys; sys.exit(u.find_spec("atheris") is None)' \
	  || $(BIN)/python -m pip install --disable-pip-version-check --quiet -r requirements-fuzz.txt \
	  || echo "no atheris for this Python: fuzzing without coverage" >&2
	$(BIN)/python -m tests.fuzz

.PHONY: docs
docs: setup ## the README's map, and the pages that are made from the code
	for page in $(PAGES); do $(BIN)/python $$page; done

.PHONY: bench
bench: setup ## every benchmark, with its figures
	$(BIN)/python -m benchmarks

.PHONY: lock
lock: ## pin requirements.in anew (needs uv)
	uv pip compile --quiet --generate-hashes --no-emit-index-url --no-header \
	  --python-version 3.11 --python-platform x86_64-manylinux_2_28 requirements.in -o requirements.lock

.PHONY: clean
clean: ## remove the environment and everything that can be made again
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist
	find stream_rec consumers tests -name __pycache__ -type d -prune -exec rm -rf {} +
