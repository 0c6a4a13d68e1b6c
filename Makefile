# Two commands do all the set-up: `make audit` and `make test`. Both make the virtual environment they need.
PYTHON ?= python3
VENV := .venv
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu
BIN := $(VENV)/bin
FIXTURE := fixtures/submissions/honest_baseline/records/track_10min_16mb/2026-03-25_HonestBaseline

.PHONY: audit test test-all lint torch clean

audit: $(VENV)/.core          ## audit a shipped submission
	$(BIN)/golf-audit $(FIXTURE)

test: $(VENV)/.dev            ## the tests (those marked slow, corpus and gpu are left out)
	$(BIN)/python -m pytest

test-all: $(VENV)/.dev        ## the slow tests too
	$(BIN)/python -m pytest -m "not corpus and not gpu"

lint: $(VENV)/.dev            ## ruff, and mypy in strict mode
	$(BIN)/ruff check .
	$(BIN)/mypy

torch: $(VENV)/.dev           ## torch for the behaviour witness, the build without CUDA
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --retries 0 --extra-index-url $(TORCH_INDEX) --editable '.[torch]'

$(VENV)/.core: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable .
	touch $@

$(VENV)/.dev: $(VENV)/.core
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

clean:
	rm -rf $(VENV)
