# Needs make and Python 3.11 or newer; uses uv where it is installed. `make help` lists what there is.

VENV := .venv
BIN := $(VENV)/bin
# The first Python that runs and is new enough; `make PYTHON=/path/to/python …` chooses another.
PYTHON ?= $(shell for candidate in python3.13 python3.12 python3.11 python3 python; do \
	if "$$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then echo "$$candidate"; break; fi; done)
UV := $(shell command -v uv 2>/dev/null)
PYTEST_ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help demo up test lint docs lock bench-quality environment clean

help: ## List these targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{printf "%-22s %s\n", $$1, $$2}'

demo: environment ## Run the example pipelines on real data, from files to scores
	@$(BIN)/pynomaly demo

up: environment ## Start the Dagster and MLflow pages on this machine; Ctrl-C stops them
	@$(BIN)/pynomaly up

test: environment ## Run all tests (PYTEST_ARGS="-k name" for some)
	@$(BIN)/python -m pytest -n auto --dist loadfile $(PYTEST_ARGS)

lint: environment ## Check style and types
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

docs: environment ## Build the documentation into site/
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

bench-quality: environment ## Measure detection quality on labelled data
	@$(BIN)/python -m benchmarks.quality

lock: ## Resolve pyproject.toml into requirements.lock, keeping pins that still fit (needs uv)
	@test -n "$(UV)" || { echo "make lock needs uv. Fix: pip install uv"; exit 1; }
	@$(UV) pip compile pyproject.toml --all-extras --group dev --group docs --universal --python-version 3.11 \
		--generate-hashes --no-emit-index-url --no-strip-extras --custom-compile-command "make lock" \
		--quiet --output-file requirements.lock

environment: $(VENV)/.package ## Install the locked dependencies and this package into .venv

clean: ## Remove the environment, caches and built files; landing files, tables and models stay
	@rm -rf $(VENV) build dist site .pytest_cache .mypy_cache .ruff_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@test -n "$(PYTHON)" || { \
		echo "No Python 3.11 or newer was found; python3 is $$(python3 --version 2>/dev/null || echo not there)."; \
		echo "Fix: install Python 3.11, 3.12 or 3.13, or name one: make PYTHON=/path/to/python3.12"; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "PYTHON=$(PYTHON) is not a Python of version 3.11 or newer. Fix: name another, or none"; exit 1; }
	@echo "Creating $(VENV) with $$($(PYTHON) --version)"
ifdef UV
	@$(UV) venv --quiet --python "$$($(PYTHON) -c 'import sys; print(sys.executable)')" $(VENV)
else
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
		echo "Fix: install Python's venv module (Debian, Ubuntu: apt-get install python3-venv) or uv (pip install uv)"; exit 1; }
endif

$(VENV)/.locked: requirements.lock | $(BIN)/python
	@echo "Installing $$(grep -c '^[a-z]' requirements.lock) locked packages"
ifdef UV
	@$(UV) pip install --quiet --python $(BIN)/python --require-hashes --requirement requirements.lock
else
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(BIN)/python -m ensurepip >/dev/null
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements.lock
endif
	@touch $@

$(VENV)/.package: pyproject.toml $(VENV)/.locked
ifdef UV
	@$(UV) pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
else
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
endif
	@touch $@
