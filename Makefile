# The menu: `make help`. A verb is a line or two here; what it does lives in the program that it calls.
SHELL := /bin/bash
VENV ?= .venv
UV_VERSION := 0.13.9
BIN := $(VENV)/bin
# A uv in PATH is used as it is; otherwise the pinned one that make-venv brings.
UV = $(shell command -v uv || echo $(BIN)/uv)
PACKAGES := libs/common libs/devstack services/api services/worker services/mockdex
CODE := libs services tests benchmarks deploy/kind
COMPILE = $(UV) pip compile --quiet --universal --generate-hashes --no-header --no-annotate --python-version 3.11 \
	--no-emit-package engine-common

# Of the images: [REGISTRY/]order-engine-api:TAG and so on; the base images by PYTHON_IMAGE and UV_IMAGE.
TAG ?= $(shell sed -n 's/^__version__ = "\(.*\)"/\1/p' libs/common/src/engine_common/__init__.py)
IMAGE = $(if $(REGISTRY),$(REGISTRY)/)order-engine-

.DEFAULT_GOAL := help
.PHONY: help install up demo audit reconcile clean test simulate chaos hostile lint format bench golden docs lock images push version

help:  ## Show every verb
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | awk -F '\t' '{printf "  make %-9s %s\n", $$1, $$2}'

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

audit: install  ## Compare orders with the chain's ledger (SETTLED=1: and none may be unfinished; KUBERNETES=1: those of a release)
	@$(if $(KUBERNETES),PYTHONPATH=deploy/kind) exec $(BIN)/python -m $(if $(KUBERNETES),kindstack,devstack) audit $(if $(SETTLED),--settled)

reconcile: install  ## After a restore: what the ledger makes of unfinished orders (APPLY=1: and end them by it; KUBERNETES=1: of a release)
	@$(if $(KUBERNETES),PYTHONPATH=deploy/kind) exec $(BIN)/python -m $(if $(KUBERNETES),kindstack,devstack) reconcile $(if $(APPLY),--apply)

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

golden: install  ## Write anew what the tests expect of the Helm chart
	@PYTHONPATH=tests $(BIN)/python -m chart.golden

docs: install  ## Write the generated parts of the documents anew
	@$(BIN)/python scripts/generate_docs.py

lock:  ## Renew requirements/*.txt from the pyproject.toml files (UPGRADE=1: to the newest versions)
	@$(COMPILE) $(if $(UPGRADE),--upgrade) --group dev $(PACKAGES:%=%/pyproject.toml) --extra orders -o requirements/dev.txt
	@$(COMPILE) -c requirements/dev.txt libs/common/pyproject.toml -o requirements/common.txt
	@for service in api worker mockdex; do \
		$(COMPILE) -c requirements/dev.txt services/$$service/pyproject.toml -o requirements/$$service.txt || exit 1; done

images:  ## Build the images of api, worker and mockdex (REGISTRY=…, TAG=…)
	@for service in api worker mockdex; do \
		DOCKER_BUILDKIT=1 docker build --quiet --target $$service --tag $(IMAGE)$$service:$(TAG) \
			--label org.opencontainers.image.version=$(TAG) \
			--label org.opencontainers.image.revision=$$(git rev-parse HEAD 2>/dev/null || echo unknown) \
			$(if $(PYTHON_IMAGE),--build-arg PYTHON_IMAGE=$(PYTHON_IMAGE)) $(if $(UV_IMAGE),--build-arg UV_IMAGE=$(UV_IMAGE)) \
			. >/dev/null || exit 1; \
		echo "built $(IMAGE)$$service:$(TAG)"; done

push:  ## Push the images that `make images` built to REGISTRY
	@$(if $(REGISTRY),,echo "push: set REGISTRY to where the images go, as in make push REGISTRY=registry.example.com/team" >&2; exit 2;) \
	for service in api worker mockdex; do docker push --quiet $(IMAGE)$$service:$(TAG) || exit 1; done

version:  ## Give packages, images and chart a new version (VERSION=0.6.0)
	@$(if $(VERSION),,echo "version: say which, as in make version VERSION=0.6.0" >&2; exit 2;) \
	sed -i 's/^__version__ = .*/__version__ = "$(VERSION)"/' $(wildcard $(PACKAGES:%=%/src/*/__init__.py)) && \
	sed -i 's/^\(version\|appVersion\): .*/\1: $(VERSION)/' $(wildcard deploy/helm/*/Chart.yaml)

.PHONY: kind-up kind-test deploy kind-down
kind-up: install  ## Kubernetes on this machine (kind): cluster, images, ingress, system, and an order that proves it
	@PYTHONPATH=deploy/kind exec $(BIN)/python -m kindstack up

kind-test: install  ## Test the release on the kind cluster under load (what `make kind-up` makes is made first)
	@exec $(BIN)/python -m pytest -m cluster --log-cli-level=INFO tests/cluster $(ARGS)

deploy: install  ## Deploy the chart to the cluster of kubectl's context (REGISTRY=…, TAG=…, VALUES=file, NAMESPACE=…, RELEASE=…)
	@PYTHONPATH=deploy/kind exec $(BIN)/python -m kindstack deploy

kind-down: install  ## Remove the kind cluster with everything in it
	@PYTHONPATH=deploy/kind exec $(BIN)/python -m kindstack down
