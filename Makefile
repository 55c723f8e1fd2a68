# Everything from a bare Python: each target sets up what it needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.DEFAULT_GOAL := help
.PHONY: help install hooks run lint types test test-all test-faults test-cluster test-oldest test-pythons test-hydras build sync clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(READY): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[lite,dev]'
	@touch $@

install: $(READY) ## Make .venv with everything in it

hooks: $(READY) ## Check style before each commit
	$(BIN)/pre-commit install

run: $(READY) ## Train and score on toy images: no data, account or download needed
	$(BIN)/python -m cfa_lab experiment=quickstart

lint: $(READY) ## Check style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	@if [ -e .git ]; then SKIP=ruff-check,ruff-format $(BIN)/pre-commit run --all-files; fi

types: $(READY) ## Check types
	$(BIN)/pyright

test: lint types ## Style, types and the fast tests
	$(BIN)/pytest -n 2

test-all: lint types ## Every test, the slow ones too
	$(BIN)/pytest -n 2 -m "not cluster"

test-faults: $(READY) ## Kill 140 runs, stop 30, inject 64 other faults, and compare
	$(BIN)/python tests/faults/inject.py --kills 100 --signals 30 --multirun 40 --others 8

test-cluster: $(READY) ## Jobs, nodes and commands killed on a real Slurm and a real Ray on this machine (root)
	$(BIN)/python -m pip install --quiet --editable '.[ray]'
	$(BIN)/pytest -m cluster tests/cluster

test-oldest: $(READY) ## The fast tests with the oldest dependencies that pyproject.toml allows
	.ci/elsewhere oldest

test-pythons: $(READY) ## The fast tests on each other supported Python found
	.ci/elsewhere pythons

test-hydras: $(READY) ## A run, a multirun, plan and report with the newest and the oldest Hydra
	.ci/hydras

build: $(READY) ## Build the wheel
	$(BIN)/python -m build --wheel

sync: $(READY) ## Upload every offline W&B run
	$(BIN)/python -m cfa_lab sync

clean: ## Remove the environment and build results, never data or runs
	rm -rf $(VENV) build dist .pytest_cache .ruff_cache .hypothesis
