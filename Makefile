# Every command sets up .venv by itself, so a fresh clone needs no other step.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
JOBS ?= 2
# Chosen by hand; every other pin is the newest version that fits, or stays what it was.
TORCH := torch==2.13.0

# For its interpreter, which reads the GPU's kernels without a GPU; a torch for CUDA brings its own.
TRITON := triton==3.9.0

.DEFAULT_GOAL := help
.PHONY: help book test check bench browser lint format stamp house pins mutants clean
.NOTPARALLEL:

help: ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
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

book: $(READY) ## build the book into _build/html (what changed runs first, in parallel)
	$(BIN)/python -m tools.build_book --jobs $(JOBS)

test: browser check book ## run every test: the package's, then those of the book, which is built for them
	$(BIN)/python -m pytest tests/book -n $(JOBS)

check: $(READY) ## run the package's tests alone and print the branches that they reach
	@test "$$(uname -sm)" != "Linux x86_64" || $(BIN)/python -c 'import triton' 2>/dev/null || \
	  $(BIN)/python -m pip install --no-deps $(TRITON)
	$(BIN)/python -m pytest tests --ignore=tests/book -n $(JOBS) --cov=ssimlab --cov-branch

bench: $(READY) ## measure ssimlab beside its peers and record it (most of an hour, on a quiet machine)
	$(BIN)/python -m pip install --no-deps -r benchmarks/requirements.txt
	$(BIN)/python -m benchmarks --out benchmarks/recorded/cpu.json
	$(BIN)/python -m tools.benchmark_tables

browser: $(READY) ## name the browser that the pages are tested in; where there is none, obtain it
	$(BIN)/python -m tools.browser

lint: $(READY) ## check style, types, notebooks, stamped addresses, the house's picture, the tables; change nothing
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/nbstripout --keep-id --verify notebooks/*.ipynb
	$(BIN)/python -m tools.stamp_address --check
	$(BIN)/python -m tools.house --check
	$(BIN)/python -m tools.benchmark_tables --check

format: $(READY) ## mend what the linters can mend by themselves
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/nbstripout --keep-id notebooks/*.ipynb
	$(BIN)/python -m tools.stamp_address
	$(BIN)/python -m tools.house

stamp: $(READY) ## write the repository's address (from _config.yml) wherever it stands
	$(BIN)/python -m tools.stamp_address

house: $(READY) ## draw in CONTRIBUTING.md which part of the house imports which
	$(BIN)/python -m tools.house

# pip finds by itself what torch wants of CUDA, where it is wanted.
pins: $(READY) ## resolve requirements.txt from pyproject.toml; a pin that still fits stays
	printf '%s\n' $(TORCH) 'setuptools>=77' | $(BIN)/uv pip compile pyproject.toml - --all-extras \
	  --universal --python-version 3.11 --fork-strategy fewest --no-annotate \
	  --custom-compile-command "make pins" --output-file requirements.txt --quiet
	grep -vE '^(cuda-|nvidia-|triton=)' requirements.txt > .venv/pins && mv .venv/pins requirements.txt

mutants: $(READY) ## break the package in small ways and report the share that `make check` notices (long)
	$(BIN)/python -m tools.mutants

clean: ## remove what was built; .venv too
	rm -rf _build .venv .pytest_cache .ruff_cache .hypothesis .coverage* build dist *.egg-info
	find ssimlab tests tools claims benchmarks book -name __pycache__ -type d -prune -exec rm -rf {} +
