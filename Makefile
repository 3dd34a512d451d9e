PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test check

demo: .venv/demo ## Sweep, retrain, test and export on the ELPV solar cells, offline
	$(BIN)/python examples/datasets.py elpv data/elpv
	$(BIN)/finesweep launch data/elpv --config examples/elpv.toml

test: .venv/dev ## All tests
	$(BIN)/python -m pytest

check: .venv/dev ## Lint, formatting, types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

.venv/%: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --editable '.[$*]'
	touch $@
