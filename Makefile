PYTHON ?= python3
BIN := .venv/bin
TEST := $(BIN)/python -m pytest -n 2 --dist worksteal

.PHONY: demo test fast check bench chaos curves

demo: .venv/demo ## Sweep, retrain, test and export on the ELPV solar cells, offline
	$(BIN)/python examples/datasets.py elpv data/elpv
	$(BIN)/finesweep launch data/elpv --config examples/elpv.toml

test: .venv/dev ## All tests
	$(TEST)

fast: .venv/dev ## The tests that take less than ten seconds each
	$(TEST) -m 'not slow'

check: .venv/dev ## Lint, formatting, types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: .venv/dev ## The shorter benchmarks, in fifteen minutes; tables in results/benchmarks
	$(BIN)/python examples/datasets.py elpv data/elpv
	$(BIN)/python examples/datasets.py foods data/foods
	$(BIN)/python -m tests.benchmarks.input_pipeline
	$(BIN)/python -m tests.benchmarks.feature_store
	$(BIN)/python -m tests.benchmarks.overhead
	$(BIN)/python -m tests.benchmarks.efficiency

curves: .venv/dev ## Record learning curves for one more hour; benchmarks replay searches on them
	for set in elpv foods fashion digits emoji; do $(BIN)/python examples/datasets.py $$set data/$$set; done
	$(BIN)/python -m tests.benchmarks.record_curves

chaos: .venv/dev ## Kill processes a hundred times in twenty sweeps, then in those of a plain Ray Tune script; an hour
	$(BIN)/python examples/datasets.py elpv data/elpv
	$(BIN)/python -m tests.chaos
	$(BIN)/python -m tests.chaos --who stock

.venv/%: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --editable '.[$*]'
	touch $@
