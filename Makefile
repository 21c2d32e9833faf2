# The menu: `make help`. A verb is a line or two here; what it does lives in the program that it calls.
SHELL := /bin/bash
VENV ?= .venv
UV_VERSION := 0.13.8
BIN := $(VENV)/bin
# A uv in PATH is used as it is; otherwise the pinned one that make-venv brings.
UV = $(shell command -v uv || echo $(BIN)/uv)
PACKAGES := libs/common libs/devstack services/api services/worker services/mockdex
CODE := libs services tests benchmarks
COMPILE = $(UV) pip compile --quiet --universal --generate-hashes --no-header --no-annotate --python-version 3.11 \
	--no-emit-package engine-common

.DEFAULT_GOAL := help
.PHONY: help install up demo audit clean test simulate chaos hostile lint format bench docs lock

help:  ## Show every verb
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | awk -F '\t' '{printf "  make %-8s %s\n", $$1, $$2}'

install: $(VENV)/.installed  ## Make .venv with the locked requirements (the other verbs do it by themselves)

# Once per state of the locks.
$(VENV)/.installed: requirements/dev.txt $(PACKAGES:%=%/pyproject.toml)
	@VENV=$(VENV) UV_VERSION=$(UV_VERSION) scripts/make-venv
	@echo "installing the locked requirements (about 600 MB, half a minute)"
	@VIRTUAL_ENV="$(abspath $(VENV))" $(UV) pip sync --quiet --require-hashes requirements/dev.txt
	@VIRTUAL_ENV="$(abspath $(VENV))" $(UV) pip install --quiet --no-deps --no-build-isolation $(PACKAGES:%=-e %)
	@touch $@

up: install  ## Run the whole system on this machine until Ctrl-C
	@exec $(BIN)/python -m devstack up

demo: install  ## Show the whole system at work in a minute, on free ports, and clean up
	@exec $(BIN)/python -m devstack demo

audit: install  ## Compare the running system's orders with the chain's ledger (SETTLED=1: and none may be unfinished)
	@exec $(BIN)/python -m devstack audit $(if $(SETTLED),--settled)

clean: install  ## Remove the data and logs of `make up`
	@exec $(BIN)/python -m devstack clean

test: install  ## Run every test (ARGS="..." are handed to pytest)
	@exec $(BIN)/python -m pytest -n 2 $(ARGS)

simulate: install  ## Search schedules of the engine's core in simulated time (ARGS="--schedules 100000 --seed 1", "--help")
	@PYTHONPATH=tests exec $(BIN)/python -m simulation $(ARGS)

lint: install  ## Check style, types, imports and generated documents
	@$(BIN)/ruff check $(CODE)
	@$(BIN)/ruff format --check $(CODE)
	@$(BIN)/basedpyright
	@$(BIN)/lint-imports
	@$(BIN)/python scripts/generate_docs.py --check

format: install  ## Format the code and mend what can be mended
	@$(BIN)/ruff check --fix $(CODE)
	@$(BIN)/ruff format $(CODE)

chaos: install  ## Run 15 minutes of faults under load and judge every order (ARGS="--seed 7 --workers 2", "drill", …)
	@PYTHONPATH=tests exec $(BIN)/python -m chaos $(ARGS)

hostile: install  ## Attack a stack of its own (ARGS="fuzz --requests 10000 --seed 7", "crowd", "schemathesis --minutes 10")
	@PYTHONPATH=tests exec $(BIN)/python -m hostile $(or $(ARGS),fuzz)

bench: install  ## Measure (ARGS="throughput", "idle", …; without: every scenario)
	@exec $(BIN)/python -m benchmarks $(or $(ARGS),all)

docs: install  ## Write the generated parts of the documents anew
	@$(BIN)/python scripts/generate_docs.py

lock:  ## Renew requirements/*.txt from the pyproject.toml files (UPGRADE=1: to the newest versions)
	@$(COMPILE) $(if $(UPGRADE),--upgrade) --group dev $(PACKAGES:%=%/pyproject.toml) --extra orders -o requirements/dev.txt
	@for service in api worker mockdex; do \
		$(COMPILE) -c requirements/dev.txt services/$$service/pyproject.toml -o requirements/$$service.txt || exit 1; done
