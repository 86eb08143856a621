# featurewatch: `make demo` shows it, `make test` tests it; both do all the set-up in .venv.
SHELL := /bin/bash
VENV  := .venv
BIN   := $(VENV)/bin
# The first that really runs and is new enough: a version manager's shim may stand on PATH and refuse.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && { command -v $$p; break; }; done)

.DEFAULT_GOAL := help
.PHONY: help demo test check configurations bench generated system clean

help:
	@echo "make demo    start the bridge and a demo app, print the console's address (ARGS='--port 9000': another port)"
	@echo "make test    install what the tests need and run them"
	@echo "make check   ruff, mypy, generated files, the configurations that are shipped"
	@echo "make bench   the benchmarks, each beside its peer (minutes)"
	@echo "make generated   write the files that are made from the code anew"
	@echo "make clean   remove .venv and caches"

$(VENV)/.python:
	@test -n "$(PYTHON)" || { echo "featurewatch needs Python 3.11 or newer, and found none on PATH." \
		"Try: make PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || \
		{ echo "a virtual environment could not be made; on Debian: apt-get install python3-venv"; exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	@touch $@

$(VENV)/.demo: $(VENV)/.python pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[bridge,client]'
	@touch $@

$(VENV)/.test: $(VENV)/.python pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[all]' --group test --group check --group dashboards
	@touch $@ $(VENV)/.demo

demo: $(VENV)/.demo
	@$(BIN)/featurewatch demo $(ARGS) || [ $$? -eq 130 ] # Ctrl-C is how it ends

# Real counterparts of the tests: installed where this user may, else the tests that need them say so and are skipped.
system:
	@tests/install-system-packages

# Most tests wait for servers more than they compute: more workers than cores are of use. WORKERS=0: one after another.
WORKERS ?= 3
test: system $(VENV)/.test
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile $(ARGS)

check: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy --strict grafana/generate.py grafana/check_queries.py
	$(BIN)/python -m featurewatch.commands.generated --check
	$(BIN)/python grafana/generate.py --check
	@$(MAKE) --no-print-directory configurations

# What Prometheus and Alertmanager mount, as their own programs see it; where these are absent, the tests say so.
configurations:
	@if command -v promtool >/dev/null; then set -e; promtool check config --syntax-only prometheus/prometheus.yml; \
		promtool check rules prometheus/rules/*.yml; promtool test rules prometheus/tests/*.yml; fi
	@if command -v amtool >/dev/null; then amtool check-config alertmanager/alertmanager.yml; fi

generated: $(VENV)/.test
	$(BIN)/python -m featurewatch.commands.generated
	$(BIN)/python grafana/generate.py

bench: $(VENV)/.test
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --group benchmark
	@for file in benchmarks/[a-z]*.py; do echo "== $$file"; $(BIN)/python $$file || exit 1; done

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis
