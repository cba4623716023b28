# The two commands: `make demo` and `make test`. Each needs only Python, make and pip.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

# Real data, golden numbers and weights are used where they lie beside the checkout; without them those tests are skipped.
SHARED ?= ../shared
export FACEZOO_TEST_DATA ?= $(if $(wildcard $(SHARED)/data),$(abspath $(SHARED)/data))
export FACEZOO_TEST_GOLDEN ?= $(if $(wildcard $(SHARED)/golden),$(abspath $(SHARED)/golden))
export FACEZOO_TEST_MODELS ?= $(if $(wildcard $(SHARED)/models),$(abspath $(SHARED)/models))

.PHONY: help demo test check format clean

help:
	@echo "make demo    install into $(VENV), then train, evaluate, export and search; writes demo/index.html"
	@echo "make test    install into $(VENV), then run the tests"
	@echo "make check   formatting, lint and types"
	@echo "make format  format the code"

$(VENV)/.demo: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable ".[train]"
	touch $@

$(VENV)/.dev: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable ".[dev]"
	touch $@ $(VENV)/.demo

demo: $(VENV)/.demo
	$(BIN)/facezoo demo demo

test: $(VENV)/.dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --dist loadfile $(TESTS)

check: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(VENV)/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) demo
