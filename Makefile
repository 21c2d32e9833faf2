# The menu: `make help`. A verb is a line or two here; what it does lives in the program that it calls.
SHELL := /bin/bash
VENV ?= .venv
UV_VERSION := 0.13.8
PY := $(VENV)/bin/python
UV = $(shell command -v uv || echo $(VENV)/bin/uv)
PACKAGES := libs/common libs/devstack services/api services/worker services/mockdex
COMPILE = $(UV) pip compile --quiet --universal --generate-hashes --no-header --no-annotate --python-version 3.11 \
	--no-emit-package engine-common
export UV_PROJECT_ENVIRONMENT := $(VENV)

.DEFAULT_GOAL := help
.PHONY: help install lock

help:  ## Show every verb
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | sort | awk -F '\t' '{printf "  %-12s %s\n", $$1, $$2}'

install: $(VENV)/.installed  ## Make .venv with the locked requirements (the other verbs do it by themselves)

# Installed once per state of the locks. uv is taken from PATH, or a pinned one is brought by pip.
$(VENV)/.installed: requirements/dev.txt $(PACKAGES:%=%/pyproject.toml)
	@VENV=$(VENV) UV_VERSION=$(UV_VERSION) scripts/make-venv
	@VIRTUAL_ENV=$(abspath $(VENV)) $(UV) pip sync --quiet --require-hashes requirements/dev.txt
	@VIRTUAL_ENV=$(abspath $(VENV)) $(UV) pip install --quiet --no-deps --no-build-isolation $(PACKAGES:%=-e %)
	@touch $@

lock:  ## Renew requirements/*.txt from the pyproject.toml files (UPGRADE=1: to the newest versions)
	$(COMPILE) $(if $(UPGRADE),--upgrade) --group dev $(PACKAGES:%=%/pyproject.toml) --extra orders -o requirements/dev.txt
	for service in api worker mockdex; do \
		$(COMPILE) -c requirements/dev.txt services/$$service/pyproject.toml -o requirements/$$service.txt || exit 1; done
