# Every command sets up .venv by itself, so a fresh clone needs no other step.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
JOBS ?= 2

.DEFAULT_GOAL := help
.PHONY: help book test lint format stamp pins clean

help: ## show this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1|/' | column -t -s '|'
	@echo
	@echo "PYTHON=python3.12 make ... chooses the Python that .venv is made with (3.11 to 3.13)."

$(READY): requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || { \
	  echo "The book needs Python 3.11, 3.12 or 3.13 and '$(PYTHON)' is another (or missing): make PYTHON=/path/to/python3.12 ..."; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv || { \
	  echo "Python could not make a virtual environment; on Debian or Ubuntu: apt-get install python3-venv"; rm -rf .venv; exit 1; }
	$(BIN)/python -m pip install -r requirements.txt
	$(BIN)/python -m pip install --no-deps --no-build-isolation -e .
	@touch $@

book: $(READY) ## build the book into _build/html (changed notebooks run first, in parallel)
	$(BIN)/python -m tools.build_book --jobs $(JOBS)

test: book ## run every test; the pages are tested in Chromium, so the book is brought up to date first
	$(BIN)/python -m pytest -n $(JOBS)

lint: $(READY) ## check style, notebooks and stamped addresses; change nothing
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/nbstripout --keep-id --verify notebooks/*.ipynb
	$(BIN)/python tools/stamp_address.py --check

format: $(READY) ## mend what the linters can mend by themselves
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/nbstripout --keep-id notebooks/*.ipynb
	$(BIN)/python tools/stamp_address.py

stamp: $(READY) ## write the repository's address (from _config.yml) wherever it stands
	$(BIN)/python tools/stamp_address.py

pins: ## make requirements.txt anew from pyproject.toml
	$(PYTHON) tools/pin_requirements.py

clean: ## remove what was built; .venv too
	rm -rf _build .venv .pytest_cache .ruff_cache build *.egg-info
	find ssimlab tests tools book -name __pycache__ -type d -prune -exec rm -rf {} +
