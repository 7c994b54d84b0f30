# Every target sets up what it needs by itself (tools/bootstrap.py); `make help` tells the rest.

PYTHON ?= python3
JOBS ?= auto

ifeq ($(NTTEACH_SYSTEM),)
RUN := $(or $(NTTEACH_VENV),.venv)/bin/python
XDIST := -n $(JOBS) --maxprocesses 8 --dist worksteal
else
RUN := $(PYTHON)
endif

SETUP = @command -v $(PYTHON) >/dev/null || { echo "ntteach: there is no $(PYTHON); install Python 3.11 or newer, or name one: make PYTHON=/path/to/python3.11" >&2; exit 2; }; \
	$(PYTHON) tools/bootstrap.py

.PHONY: help setup verify test lint wheel clean

help:
	@echo "make verify   run every statement of the paper and show a verdict for each (ARGS='--profile full')"
	@echo "make test     run the tests (ARGS='-k kernel -x')"
	@echo "make lint     ruff and pyright"
	@echo "make wheel    build the wheel and the source archive into dist/"
	@echo "make setup    only make the environment that the others use"
	@echo "make clean    remove builds and caches (the environment stays)"
	@echo
	@echo "The first run makes .venv and installs into it; later runs start at once. Variables:"
	@echo "  PYTHON=python3.12         the interpreter (3.11 or newer); default python3"
	@echo "  NTTEACH_TORCH_INDEX=URL   take torch from this package index (say, one of small CPU builds)"
	@echo "  NTTEACH_VENV=DIR          keep the environment there; default .venv"
	@echo "  NTTEACH_SYSTEM=1          no environment: use what PYTHON has installed, fetch nothing"
	@echo "  JOBS=N                    test processes; default one per core, 8 at most"

setup:
	$(SETUP)

verify:
	$(SETUP)
	@$(RUN) -m ntteach verify $(ARGS)

# One thread each: the processes share the cores, and more threads than cores run far slower.
test:
	$(SETUP)
	@OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 $(RUN) -m pytest $(XDIST) $(ARGS)

lint:
	$(SETUP) test lint
	@$(RUN) -m ruff check .
	@$(RUN) -m ruff format --check .
	@PYRIGHT_PYTHON_IGNORE_WARNINGS=1 $(RUN) -m pyright --pythonpath $(RUN)

wheel:
	$(SETUP) test lint
	@$(RUN) -m build --no-isolation

clean:
	rm -rf build dist docs/_build .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +
