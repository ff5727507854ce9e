# make demo: see scgx at work, offline.  make test: everything the tests need, then all of them.
#
# PYTHON is the interpreter (3.11 or newer), VENV the environment that is made and used.

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
.PHONY: help demo test test-without-torch torture check bench completions docs goldens clean

PYTHON ?= python3
VENV ?= .venv
OUT ?= demo-out
JOBS ?= 2
ARGS ?=
BIN := $(VENV)/bin
INSTALL = $(BIN)/python -m pip install --disable-pip-version-check -qq -c constraints.txt

help: ## what can be made
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 20

demo: $(VENV)/.installed ## the whole pipeline on drawn cells, offline, into demo-out/
	PATH="$(abspath $(BIN)):$$PATH" examples/demo.sh $(OUT)

test: $(VENV)/.tested ## install what the tests need, run all of them
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) -m "not slow" $(ARGS)

torture: $(VENV)/.tested ## the long tests: killed, interrupted and failing at every step
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m slow $(ARGS)

check: $(VENV)/.tested ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy scgx

bench: $(VENV)/.tested ## benchmarks against the peers, side by side; SCALE=1 for the full size
	$(BIN)/python benchmarks/run.py $(if $(SCALE),--scale $(SCALE))

completions: $(VENV)/.installed ## completions/ for bash, zsh and fish
	$(BIN)/python completions/generate.py

docs: $(VENV)/.installed ## docs/commands.md, from the help of every command
	$(BIN)/python docs/generate.py

goldens: $(VENV)/.tested docs completions ## everything generated that tests compare with
	SCGX_GOLDENS=write $(BIN)/python -m pytest -q tests/test_goldens.py

clean: ## what was made here, but not the environment (rm -r .venv does that)
	rm -rf $(OUT) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +

# The torch-free part on another Python: make test-without-torch PYTHON=python3.13
test-without-torch: ## the part that needs no torch, on another PYTHON
	$(MAKE) --no-print-directory VENV=.venv-$(notdir $(PYTHON)) without-torch-in-venv

.PHONY: without-torch-in-venv
without-torch-in-venv: $(VENV)/.torchless
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) -m "not slow and not torch" $(ARGS)

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "scgx needs Python 3.11 or newer; name one: make PYTHON=python3.12 ..."; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "installing scgx into $(VENV) (some minutes the first time)"
	$(INSTALL) -e .
	touch $@

$(VENV)/.tested: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "installing scgx and what its tests need into $(VENV) (some minutes the first time)"
	$(INSTALL) -e '.[test,check]'
	touch $@ $(VENV)/.installed

$(VENV)/.torchless: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(BIN)/python tests/torchless.py > $(VENV)/torchless.txt
	$(INSTALL) -r $(VENV)/torchless.txt
	$(INSTALL) --no-deps -e .
	touch $@
