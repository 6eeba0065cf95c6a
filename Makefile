# Two commands need nothing but make and Python 3.11 or later: `make demo` and `make test`.
# What they set up stays in .venv and .build; the next run takes it from there.

.DEFAULT_GOAL := help
.PHONY: help demo demo-agent demo-router test long lint format build package lock clean

PYTHON ?= $(shell for name in python3.13 python3.12 python3.11 python3 python; do \
	"$$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$name" && break; done)
BIN := .venv/bin
TOGETHER := --numprocesses=2 --dist=loadfile --no-loadscope-reorder

define setup
@$(if $(PYTHON),,echo "make: No Python 3.11 or later was found. Install one, or name it: make $@ PYTHON=/path/to/python3" >&2; exit 1)
@$(PYTHON) -m scripts.build.bootstrap
endef

help:
	@echo "make demo    a language model on this machine as it would run on Lambda, and a conversation with it"
	@echo "make demo-agent  an agent that reads, computes, asks a human, waits three days, and answers"
	@echo "make demo-router one address for three models: a fallback, a long context, a budget that ends"
	@echo "make test    every check: style, types, tests"
	@echo
	@echo "Both do their own set-up: the first run compiles llama.cpp, which takes a minute or two."
	@echo
	@echo "make lint    style and types alone          make format  lays out the code"
	@echo "make build   llama.cpp's libraries alone    make lock    newest versions of every package"
	@echo "make long    the tests with coverage, an hour of random requests, and a batch of 100,000"
	@echo "make package the functions' zips for Lambda, in dist/"
	@echo "make clean   removes everything that was set up"

demo:
	$(setup) demo
	@$(BIN)/python -m scripts.demo

demo-agent:
	$(setup) demo
	@$(BIN)/python -m scripts.demo_agent

demo-router:
	$(setup) demo
	@$(BIN)/python -m scripts.demo_router

# Two at a time: most tests wait for a process of theirs half of the time. A file's tests stay together.
test: lint
	@$(BIN)/python -m pytest $(TOGETHER)

# What takes too long for CI. Its last figures stand in docs/verified.md.
# Coverage is of the tests' own processes: tracing takes them half as long again, and skipped tests miss the floor.
# `.venv/bin/coverage report` lists it by file afterwards.
long:
	$(setup) test
	@$(BIN)/python -m pytest $(TOGETHER) --cov --cov-report=
	@$(BIN)/python -m scripts.soak --minutes 60
	@$(BIN)/python -m scripts.batch_soak --records 100000

lint:
	$(setup) test
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo --no-cache
	@$(BIN)/deptry functions

format:
	$(setup) test
	@$(BIN)/ruff format
	@$(BIN)/ruff check --fix

build:
	$(setup) build

package:
	$(setup) demo
	@$(BIN)/lambda-llm package

lock:
	$(setup) lock
	@$(PYTHON) -m scripts.build.lock --uv .build/lock/bin/uv

clean:
	rm -rf .venv .build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage
