# The four words a contributor guesses; CI runs the same ones.
.PHONY: check test docs bench
PYTHON ?= python

check:  ## lint, format, types
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m mypy

test:  ## every test, warnings are errors
	$(PYTHON) -m pytest

docs:  ## build the documentation, warnings are errors
	$(PYTHON) -m mkdocs build --strict

bench:  ## every benchmark: tables of seconds and ratios to a named peer
	for script in benchmarks/[a-z]*.py; do env -u OPENBLAS_CORETYPE -u OPENBLAS_L2_SIZE $(PYTHON) $$script || exit 1; done
