# A machine with Python 3.11+ and make is enough. Everything that is installed or written lies in
# .venv/, .local/ and demo-output/; deleting these three undoes it.

SHELL := bash
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& { echo $$python; break; }; done)
VENV := .venv
BIN := $(VENV)/bin
LOCAL := .local
CHECKED := $(wildcard exporters functions cli stack demo tests)

# Settings of the caller that would install somewhere else than into this checkout.
unexport PIP_USER PIP_TARGET PIP_PREFIX PIP_ROOT PIP_REQUIREMENT PIP_CONSTRAINT PIP_NO_DEPS
unexport PYTHONPATH PYTHONHOME
unexport npm_config_prefix NPM_CONFIG_PREFIX npm_config_global NPM_CONFIG_GLOBAL

# Nothing is written beside the sources.
export PYTHONPYCACHEPREFIX := $(CURDIR)/$(LOCAL)/pycache

# A proxy of the caller's is for other machines; everything here talks to 127.0.0.1.
comma := ,
export NO_PROXY := 127.0.0.1,localhost$(addprefix $(comma),$(NO_PROXY))
export no_proxy := $(NO_PROXY)

.DEFAULT_GOAL := help
.PHONY: help setup demo test chaos load bench lint schema up down requirements

help:  ## say what there is
	@sed -n 's/^\([a-z]*\):.*## /\1|/p' $(firstword $(MAKEFILE_LIST)) | awk -F'|' '{printf "make %-14s%s\n", $$1, $$2}'

demo: setup  ## show the engine at work, from approved claims to files
	@$(BIN)/python -m demo

test: setup  ## run every test
	@$(BIN)/python -m pytest --numprocesses 2

# For example: make chaos KILLS=1000 TRIGGERS=8 CLAIMS=100000 SEED=7
chaos: setup  ## kill everything again and again while claims are exported, and judge (KILLS= TRIGGERS= CLAIMS= SEED= PUSH=yes)
	@$(BIN)/python -m tests.chaos $(if $(KILLS),--kills $(KILLS)) $(if $(TRIGGERS),--triggers $(TRIGGERS)) \
		$(if $(CLAIMS),--claims $(CLAIMS)) $(if $(SEED),--seed $(SEED)) $(if $(PUSH),--push $(PUSH))

load: setup  ## set ten function processes and a hundred impatient clients against one stack, and say what held
	@$(BIN)/python -m tests.load

# For example: make bench SIZE=full
bench: setup  ## measure, side by side, what is promised about speed (SIZE=full for the real sizes)
	@SIZE=$(SIZE) $(BIN)/python -m tests.bench

lint: setup  ## check style, format and types
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy $(CHECKED)

schema: setup  ## write supabase/schema.sql, what all migrations come to
	@$(BIN)/python -m stack.schema_dump

up: setup  ## start the embedded Supabase and the functions, and leave them running
	@$(BIN)/python -m stack up

down: setup  ## stop what `make up` started
	@$(BIN)/python -m stack down

setup: $(LOCAL)/python.stamp $(LOCAL)/node.stamp  ## install what the other targets need (they do it themselves)

$(LOCAL)/python.stamp: requirements-dev.txt
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer with its venv module is needed (Debian and Ubuntu: apt install python3-venv)." >&2; exit 1; }
	@mkdir -p $(LOCAL)
	@echo "Installing Python packages into $(VENV)/ (once, about a minute)"
	@$(PYTHON) -m venv --clear $(VENV)
	@set -o pipefail; $(BIN)/python -m pip install --require-hashes --disable-pip-version-check --progress-bar off \
		--requirement requirements-dev.txt | awk '/^Collecting / { print "  " $$2; fflush() }'
	@touch $@

$(LOCAL)/node.stamp: $(LOCAL)/python.stamp stack/lite/package.json stack/lite/package-lock.json
	@echo "Installing the embedded Supabase into $(LOCAL)/lite/ (once)"
	@mkdir -p $(LOCAL)/lite
	@cp stack/lite/package.json stack/lite/package-lock.json $(LOCAL)/lite/
	@$(BIN)/npm ci --prefix $(LOCAL)/lite --cache $(LOCAL)/npm-cache \
		--ignore-scripts --no-audit --no-fund --no-update-notifier --loglevel=error
	@touch $@

# Both lists carry hashes and no address: pip takes the packages from wherever the machine gets its
# packages. requirements-dev.txt is a superset, so that what is tested is what is deployed.
requirements: $(LOCAL)/python.stamp  ## lock the Python and Node dependencies anew
	@test -x $(LOCAL)/uv/bin/uv || { $(BIN)/python -m venv $(LOCAL)/uv && \
		$(LOCAL)/uv/bin/python -m pip install --quiet --disable-pip-version-check uv; }
	@$(LOCK) pyproject.toml --output-file requirements.txt
	@$(LOCK) pyproject.toml --group dev --constraint requirements.txt --output-file requirements-dev.txt
	@cd stack/lite && ../../$(BIN)/npm install --package-lock-only --ignore-scripts --no-audit --no-fund \
		--omit-lockfile-registry-resolved

LOCK = $(LOCAL)/uv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-header --no-emit-index-url --no-emit-find-links --no-annotate
