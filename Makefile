# Every target works on a fresh clone: they all start by making what they need.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.set-up
CODE := service statemachine webhooks tests
LOCK := $(BIN)/uv pip compile pyproject.toml --universal --python-version 3.11 \
	--no-strip-extras --generate-hashes --quiet --custom-compile-command 'make lock'

# Where no bytecode is kept, each of the hundreds of processes that tests start compiles the service
# anew, and each worker every test. What is empty here is not set for Python.
export PYTHONDONTWRITEBYTECODE :=

# Two workers fill two cores. A test file stays with one worker, and the files in their order: a
# folder's services are started once per worker, and stopped as soon as it goes on to the next.
WORKERS ?= 2

.DEFAULT_GOAL := help
.PHONY: help setup run demo topology test torture fuzz mutants seeded-bugs sbom bench bench-quick check fmt lock reference schemas docs screenshots

help: ## Show what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) ## Make .venv with everything pinned, and the betalbar command in it

run: $(STAMP) ## Serve with SQLite, the built-in sandbox and sample invoices
	$(BIN)/betalbar serve --samples

demo: $(STAMP) ## Play a whole story in the terminal, in under a minute
	$(BIN)/betalbar demo

topology: $(STAMP) ## Run all of compose.yaml without containers, towards a sandbox (needs nginx)
	@# Not as a module: each process that it starts would import that once more.
	$(BIN)/python -c 'from tests.flows.topology import main; main()'

test: $(STAMP) ## Run every test
	$(BIN)/python -m pytest -q -n $(WORKERS) --dist loadfile --no-loadscope-reorder

torture: $(STAMP) ## Run for hours: random histories, kills, faults, and a feed that many write to
	$(BIN)/python -m tests.torture --histories 100000 --kills 1000 --fault-rounds 20 --feed-events 100000

SECONDS_EACH ?= 60
WEBHOOKS ?= 1000000
fuzz: $(STAMP) ## Fuzz each parser and the API, and mutate a million webhooks
	$(BIN)/python -m tests.fuzz --seconds $(SECONDS_EACH) --webhooks $(WEBHOOKS) $(if $(SEED),--seed $(SEED))

mutants: $(STAMP) ## Break the two cores a line at a time, and say what no test notices
	$(BIN)/mutmut run
	$(BIN)/mutmut results

seeded-bugs: $(STAMP) ## Break a copy of the code on purpose, a patch at a time, and say what no test notices
	$(BIN)/python -m tests.seeded_bugs

sbom: $(STAMP) ## Write what is in a release to sbom.json (CycloneDX)
	$(BIN)/cyclonedx-py requirements requirements.txt --output-file sbom.json

bench: $(STAMP) ## Measure beside peers and limits, for half an hour (JSON=FILE also writes it)
	$(BIN)/python -m tests.benchmarks $(if $(JSON),--json $(JSON))

bench-quick: $(STAMP) ## Measure less of it, in three minutes
	$(BIN)/python -m tests.benchmarks --quick $(if $(JSON),--json $(JSON))

check: $(STAMP) ## Check format, lint, types, imports, and the two cores' coverage
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/ruff check $(CODE)
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/test_architecture.py tests/test_docs.py
	$(BIN)/python -m pytest -q --cov --cov-report=term tests/statemachine tests/webhooks

fmt: $(STAMP) ## Format the code, and mend what the linter can
	$(BIN)/ruff format $(CODE)
	$(BIN)/ruff check --fix $(CODE)

lock: $(STAMP) ## Pin the dependencies of pyproject.toml again, with hashes
	$(LOCK) --upgrade --output-file requirements.txt
	$(LOCK) --upgrade --group dev --extra otel --constraint requirements.txt --output-file requirements-dev.txt

reference: $(STAMP) ## Write the pages about settings, commands, errors, events and the API again
	$(BIN)/python -m service.api.contract docs
	$(BIN)/python -m tests.reference

schemas: $(STAMP) ## Write the JSON Schemas of events again; refuses to take a promise back
	$(BIN)/python -m service.events docs/events.schema.json

docs: $(STAMP) ## Build the documentation's site into site/; refuses dead links
	$(BIN)/zensical build --strict --clean

screenshots: $(STAMP) ## Take the documents' pictures again (needs Chromium)
	$(BIN)/python -m tests.screenshots

# The stamp is newer than its inputs exactly as long as nothing needs to be done.
$(STAMP): requirements-dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "Betalbar needs Python 3.11 or newer, and $(PYTHON) is older or missing."; \
		echo "Name another one: make PYTHON=python3.12"; exit 2; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { \
		echo "$(PYTHON) can't make virtual environments. On Debian and Ubuntu they come apart:"; \
		echo "  apt install python3-venv"; exit 2; }
	@# One that was interrupted has a python and no pip.
	$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
	@echo "Filling $(VENV) with what is pinned: a minute or two, and only now."
	$(BIN)/python -m pip install --quiet --require-hashes --requirement requirements-dev.txt
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@
