# Each line is what you could type yourself; README.md says when.
VENV := .venv
PYTHON ?= python3.11
BIN := $(VENV)/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export DO_NOT_TRACK := true

.PHONY: help install run test coverage test-long test-browser test-slow lint bench ui viz

help:
	@grep -E '^[a-z-]+:.*#' $(MAKEFILE_LIST) | sed 's/:.*# /\t/' | expand -t 12

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(BIN)/python pyproject.toml constraints.txt
	@echo "Installing TensorFlow and the rest, which takes minutes and says nothing …"
	$(BIN)/pip install --quiet --constraint constraints.txt --editable .
	@touch $@

$(VENV)/.installed-dev: $(BIN)/python pyproject.toml constraints.txt
	@echo "Installing TensorFlow and the rest, which takes minutes and says nothing …"
	$(BIN)/pip install --quiet --constraint constraints.txt --editable ".[dev]"
	@touch $@ $(VENV)/.installed

install: $(VENV)/.installed-dev  # make .venv and install, development tools included

run: $(VENV)/.installed  # make .venv, install, and go the whole road: images to registered model
	$(BIN)/kedro run

test: $(VENV)/.installed-dev  # the default tests
	$(BIN)/pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

coverage: $(VENV)/.installed-dev  # the same, and how much of the code they reach
	$(BIN)/pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder --cov --cov-report=term

test-long: $(VENV)/.installed-dev  # the tests that take ten seconds and more, many of them whole commands
	$(BIN)/pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder -m "long and not slow"

test-browser: $(VENV)/.installed-dev  # the tests that drive Chromium
	$(BIN)/pytest -m "browser and not slow"

test-slow: $(VENV)/.installed-dev  # the tests that take minutes
	$(BIN)/pytest -m "slow and not gpu"

lint: $(VENV)/.installed-dev  # style, types, and who may import whom
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/.installed-dev  # side-by-side measurements; some of them: make bench names="train_step feeding"
	$(BIN)/python -m benchmarks $(names)

ui: $(VENV)/.installed  # browse runs and models in MLflow
	PATH="$(CURDIR)/$(BIN):$$PATH" kedro mlflow ui

viz: $(VENV)/.installed  # browse the pipeline in Kedro-Viz
	$(BIN)/kedro viz run
