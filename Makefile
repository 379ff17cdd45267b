# Short names for the commands of README.md and CONTRIBUTING.md.
VENV := .venv
PYTHON ?= python3.11
BIN := $(VENV)/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export DO_NOT_TRACK := true

port := 5000
MLFLOW = http://127.0.0.1:$(port)
TAKEN = from socket import socket; socket().connect_ex(('127.0.0.1', $(port))) or \
	exit(f'port $(port) is taken; make ui port={$(port) + 1}')
OPEN = from urllib.request import urlopen; from webbrowser import open; \
	urlopen('$(MLFLOW)'); address = '$(MLFLOW)/\#/experiments/1/runs?viewStateShareKey=results'; \
	print('Open', address, flush=True); open(address)

.PHONY: help install run test coverage test-long test-browser test-slow lint bench parameters ui viz review

help:
	@grep -E '^[a-z-]+:.*#' $(MAKEFILE_LIST) | sed 's/:.*# /\t/' | expand -t 12

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(BIN)/python pyproject.toml constraints.txt
	@echo "Installing TensorFlow and the rest, which takes minutes without output …"
	$(BIN)/pip install --quiet --constraint constraints.txt --editable .
	@touch $@

$(VENV)/.installed-dev: $(BIN)/python pyproject.toml constraints.txt
	@echo "Installing TensorFlow and the rest, which takes minutes without output …"
	$(BIN)/pip install --quiet --constraint constraints.txt --editable ".[dev]"
	@touch $@ $(VENV)/.installed

# An environment that was installed by hand is used as it is.
$(BIN)/kedro:
	@$(MAKE) --no-print-directory $(VENV)/.installed

install: $(VENV)/.installed-dev  # make .venv and install, development tools included

run: $(VENV)/.installed  # make .venv, install, and run the pipeline: images to registered model
	$(BIN)/kedro run

test: $(VENV)/.installed-dev  # the default tests
	$(BIN)/pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

coverage: $(VENV)/.installed-dev  # the default tests, with coverage
	$(BIN)/pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder --cov --cov-report=term

test-long: $(VENV)/.installed-dev  # tests of ten seconds and more, many of whole commands
	$(BIN)/pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder -m "long and not slow"

test-browser: $(VENV)/.installed-dev  # tests that drive Chromium
	$(BIN)/pytest -m "browser and not slow"

test-slow: $(VENV)/.installed-dev  # tests of minutes
	$(BIN)/pytest -m "slow and not gpu"

lint: $(VENV)/.installed-dev  # style, types and import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/.installed-dev  # benchmarks; some of them: make bench names="train_step feeding"
	$(BIN)/python -m benchmarks $(names)

parameters: $(VENV)/.installed-dev  # write docs/parameters.md from the schema and the comments of conf/base
	$(BIN)/python docs/make_parameters.py

ui: $(BIN)/kedro  # browse runs and models in MLflow; another port: make ui port=5001
	@$(BIN)/python -c "$(TAKEN)"
	@echo "MLflow is starting at $(MLFLOW)"
	@(for second in $$(seq 60); do sleep 1; $(BIN)/python -c "$(OPEN)" 2>/dev/null && break; done) &
	@PATH="$(CURDIR)/$(BIN):$$PATH" kedro mlflow ui --port $(port)

viz: $(BIN)/kedro  # browse the pipeline in Kedro-Viz
	$(BIN)/kedro viz run

review: $(BIN)/kedro  # correct labels on a page, after `kedro run --pipeline=review`
	@$(BIN)/python -c "import fastapi, uvicorn" 2>/dev/null || \
		$(BIN)/pip install --quiet --constraint constraints.txt --editable ".[app]"
	$(BIN)/python -m goodbad_pipeline.app --review
