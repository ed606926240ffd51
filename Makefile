# tfx-vision: `make help` lists the targets.
SHELL := /bin/sh
VENV ?= .venv
export VENV
DOCKER ?= docker
IMAGE ?= tfx-vision
LOCK ?= kfp/requirements.lock
export DOCKER_BUILDKIT = 1

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint format lock benchmark image clean

help: ## list the targets
	@sed -n 's/^\([a-z][a-z-]*\):.*## /\1\t/p' Makefile | expand -t 14

setup: ## the environment in .venv (PYTHON=python3.12 chooses an interpreter)
	@sh scripts/setup.sh

demo: setup ## Fashion-MNIST, from download to an answered request
	@"$(VENV)/bin/python" scripts/demo.py

lint: setup ## ruff and mypy
	@"$(VENV)/bin/ruff" check .
	@"$(VENV)/bin/ruff" format --check .
	@"$(VENV)/bin/mypy"

format: setup ## let ruff rewrite the sources
	@"$(VENV)/bin/ruff" check --fix .
	@"$(VENV)/bin/ruff" format .

test: lint ## linting, typing and every test
	@"$(VENV)/bin/python" -m pytest

lock: setup ## pin every dependency of pyproject.toml again
	@sh scripts/lock.sh

benchmark: setup ## the whole run against stock TFX on the same images
	@"$(VENV)/bin/python" benchmarks/whole_run.py

image: ## the image of every step on Kubeflow (IMAGE=name:tag, LOCK=kfp/requirements-gpu.lock, BASE=…@sha256:…)
	@"$(DOCKER)" build -f kfp/Dockerfile -t "$(IMAGE)" --build-arg LOCK="$(LOCK)" $(if $(BASE),--build-arg BASE="$(BASE)") \
	    --build-arg VERSION="$$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)" \
	    --build-arg REVISION="$$(git rev-parse HEAD)" $(DOCKER_FLAGS) .
	@"$(DOCKER)" image ls "$(IMAGE)"

clean: ## remove the environment and caches (not your runs)
	rm -rf "$(VENV)" .mypy_cache .ruff_cache .pytest_cache
