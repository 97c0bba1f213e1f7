# Wattwell. `make help` lists what can be made.
SHELL := /bin/sh
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11 python; do \
  $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=

# The tests start programs many times over; what they are made of is compiled once, whatever the machine's habit.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help

.PHONY: help
help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 12

.PHONY: setup
setup: $(VENV)/.run ## Make .venv with what the programs need, and .venv/bin/wattwell

.PHONY: demo
demo: $(VENV)/.run ## Run one building, one evening; ONCE=1 plays it by itself and ends
	@exec $(BIN)/wattwell demo $(if $(ONCE),--once) $(ARGS)

.PHONY: test
test: $(VENV)/.dev chromium ## Run all tests; ARGS="tests/edge -k cut" for some
	$(BIN)/pytest -n 3 --dist loadfile $(ARGS)

.PHONY: check
check: $(VENV)/.dev ## Check format, lint, types and who imports whom
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

.PHONY: format
format: $(VENV)/.dev ## Put the code in the common format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

.PHONY: fuzz
fuzz: $(VENV)/.dev ## Feed each decoder a million seeded streams; ARGS="--decoder NAME --seed N" for one
	$(BIN)/python -m tests.fuzz --streams 1000000 $(ARGS)

.PHONY: fuzz-api
fuzz-api: $(VENV)/.dev ## Send each operation of the API what its description allows and does not; EXAMPLES=500
	WATTWELL_API_EXAMPLES=$(or $(EXAMPLES),500) $(BIN)/pytest -q --timeout 3600 tests/cloud/integration/test_openapi.py $(ARGS)

.PHONY: chaos
chaos: $(VENV)/.dev ## Kill gateway, broker and worker for ten minutes under load, then audit; ARGS="--minutes 2 --seed 1"
	$(BIN)/python -m tests.processes.chaos $(ARGS)

.PHONY: world
world: $(VENV)/.dev ## Play estates under weather, by seed; SEEDS=10000 for a release, ARGS="--seed N --tell" for one
	$(BIN)/python -m simulators.world --seeds $(or $(SEEDS),200) $(ARGS)

.PHONY: mutants
mutants: $(VENV)/.dev ## Plant bugs one at a time and see the world find each; ARGS="--only brake" for some
	$(BIN)/python -m simulators.world.mutants $(ARGS)

.PHONY: bench
bench: $(VENV)/.dev ## Measure against peers and limits, print the table, draw docs/figures/bench-*.svg; ARGS="--only line"
	$(BIN)/python -m benchmarks $(ARGS)

.PHONY: figures
figures: $(VENV)/.dev chromium ## Take the README's pictures anew
	$(BIN)/python docs/figures/make.py

.PHONY: chromium
chromium: ## Install the browser that the page tests drive, where that can be done
	@sh tests/browser/chromium.sh

.PHONY: clean
clean: ## Remove .venv and caches; ./data is kept
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis dashboards/static/vendor

$(VENV)/.uv: constraints.txt
	@test -n "$(PYTHON)" || { echo "Wattwell needs Python 3.11 or later; none was found. Set PYTHON=/path/to/python3." >&2; exit 1; }
	@$(PYTHON) -m venv --clear $(VENV) || { echo "Python's venv module is missing; on Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }
	@$(BIN)/pip install --quiet --disable-pip-version-check uv==0.13.9
	@touch $@

INSTALL = $(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --constraint constraints.txt

$(VENV)/.run: $(VENV)/.uv pyproject.toml constraints.txt hatch_build.py package-lock.json
	@echo "Installing Wattwell into $(VENV) (about half a minute)"
	@$(INSTALL) --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.run
	@$(INSTALL) --editable '.[dev]'
	@touch $@
