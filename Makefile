# make demo: install and reconstruct a real patient's slice.   make test: lint, type-check, test.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: demo test lint docs clean

demo: $(VENV)/.installed
	$(BIN)/invdiff demo --out demo-report --overwrite

test: $(VENV)/.tested lint
	$(BIN)/pytest --quiet --numprocesses 2

lint: $(VENV)/.tested
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell *.md operators invdiff experiments tests docs
	$(BIN)/lint-imports
	$(BIN)/mypy

docs: $(VENV)/.docs
	# two scripts of the gallery run at a time, one thread each
	OMP_NUM_THREADS=1 $(BIN)/sphinx-build -W --keep-going -n -b html docs docs/_build/html

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) torch
	$(PIP) --editable .
	touch $@

$(VENV)/.tested: $(VENV)/.installed
	$(PIP) --editable '.[test]'
	touch $@

$(VENV)/.docs: $(VENV)/.installed
	$(PIP) --editable '.[docs]'
	touch $@

clean:
	rm -rf $(VENV) build *.egg-info demo-report docs/_build docs/chapter docs/gallery
