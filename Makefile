# Everything lives in .venv; nothing outside the project is touched.
# The first that is new enough: where python3 is older, another may stand beside it.
PYTHON ?= $(or $(shell for name in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$name && break; done),python3)
VENV := .venv
BIN := $(VENV)/bin
PIP_FLAGS ?=
TESTS ?=
PYTEST_FLAGS ?=
# Tests wait for processes a quarter of their time, so that two workers a core keep two cores busy.
WORKERS ?= 4

.PHONY: install dev demo test lint format bench bench-peers fuzz clean

install: $(VENV)/.installed
dev: $(VENV)/.installed-dev

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; set PYTHON=...")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(BIN)/python pyproject.toml constraints.txt
	@echo "installing into $(VENV) (about a minute)"
	@$(BIN)/python -m pip install $(PIP_FLAGS) --quiet --disable-pip-version-check -c constraints.txt -e .
	@touch $@

$(VENV)/.installed-dev: $(BIN)/python pyproject.toml constraints.txt
	@echo "installing into $(VENV), with what tests and lint need (about two minutes)"
	@$(BIN)/python -m pip install $(PIP_FLAGS) --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,torch]'
	@touch $@ $(VENV)/.installed

# In a terminal: the application on a run whose engine goes on by itself. Elsewhere: progress lines, and an end.
demo: install
	@if [ -t 0 ] && [ -t 1 ]; then $(BIN)/evolve run circle_packing --designer recombine --rounds 100; \
	else $(BIN)/evolve run circle_packing --designer recombine --rounds 25 --headless; fi

test: dev
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal $(PYTEST_FLAGS) $(TESTS)

# Damaged and hostile data for the readers of tasks, priors, answers, journals and grafts, until the time is over.
FUZZ_SECONDS ?= 300
FUZZ_TARGETS ?=
fuzz: dev
	$(BIN)/python -m tests.fuzz --seconds $(FUZZ_SECONDS) $(FUZZ_TARGETS)

lint: dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: install
	$(BIN)/evolve bench

# Other systems beside ours, each in an environment of its own; BENCH_FLAGS="--rounds 1000 --repeats 2" for steadier figures.
PEERS := bench/peers
BENCH_FLAGS ?=
bench-peers: install $(PEERS)/openevolve-0.4.0/.installed $(PEERS)/shinka-evolve-0.0.7/.installed
	$(BIN)/evolve bench peers $(BENCH_FLAGS) \
		--against openevolve=$(PEERS)/openevolve-0.4.0,shinka=$(PEERS)/shinka-evolve-0.0.7

# The folder's name is the package with its version.
$(PEERS)/%/.installed:
	@echo "installing $* into $(@D) (about a minute)"
	@$(PYTHON) -m venv $(@D)
	@name=$*; $(@D)/bin/python -m pip install $(PIP_FLAGS) --quiet --disable-pip-version-check "$${name%-*}==$${name##*-}"
	@touch $@

clean:
	rm -rf $(VENV) $(PEERS) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find engine cognition kernels tui tests -name __pycache__ -type d -prune -exec rm -rf {} +
