# The words a contributor guesses; CI (.ci/run) uses the same ones.
.PHONY: help check format test docs docs-version serve notebooks bench
PYTHON ?= python
SITE ?= site

help:  ## this list
	@grep -E '^[a-z-]+:.*##' Makefile | sed 's/:.*##/\t/'

check:  ## lint, format, types
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m mypy

format:  ## repair what can be repaired
	$(PYTHON) -m ruff check --fix .
	$(PYTHON) -m ruff format .

test:  ## every test, warnings are errors
	$(PYTHON) -m pytest

docs:  ## build the documentation, warnings are errors
	NO_MKDOCS_2_WARNING=1 $(PYTHON) -m mkdocs build --strict --site-dir $(SITE)

docs-version:  ## docs-version VERSION=0.1: keep this documentation beside those of other versions, on a branch
	NO_MKDOCS_2_WARNING=1 mike deploy --branch docs-versions --ignore-remote-status --alias-type redirect \
	  --update-aliases $(VERSION) $(or $(ALIAS),latest)

serve:  ## the documentation in a browser, rebuilt as you write
	$(PYTHON) -m mkdocs serve

notebooks:  ## run every notebook's script and write the .ipynb with its outputs
	$(PYTHON) tools/notebooks.py $(if $(CI),--check)

bench:  ## the headline numbers of every benchmark on one page; BENCH=--quick for small sizes
	$(PYTHON) tools/bench.py $(BENCH)
