# How fast, against whom, and for how long: tests/bench/LOG.md has the results.

BENCH := $(call ready,bench) $(call ready,bench-server) $(COMPILED)

# Ours and the naive one run on the system's Python where there is one, which is built with optimisations as that of the image
# is; one that pyenv built without them takes a fifth more.
BENCH_PYTHON ?= $(if $(shell $(call usable,/usr/bin/python3) && echo yes),/usr/bin/python3,$(PYTHON))
$(call ready,bench) $(call ready,bench-server): PYTHON = $(BENCH_PYTHON)
$(call ready,bench-server): requirements/server.txt | python
	$(make_environment)
ON_BENCH := .venv/bench-server/bin/python

.PHONY: bench-programs
bench-programs:
	@missing=""; for program in cc wrk nginx haproxy taskset; do command -v $$program >/dev/null || missing="$$missing $$program"; done; \
	[ -z "$$missing" ] || { echo "make bench needs:$$missing (Debian: apt-get install gcc libc6-dev wrk nginx-light haproxy util-linux)" >&2; exit 1; }

.PHONY: bench
bench: bench-programs $(BENCH) ## the gateway beside Envoy, nginx and a naive one, with its bars, in 10 minutes (PEER_SIGV4=PATH adds one)
	@mkdir -p .cache
	$(ON_BENCH) -m tests.bench --json .cache/bench.json

.PHONY: bench-log
bench-log: ## write the last `make bench` into tests/bench/LOG.md and its picture
	$(DEV) -m tests.bench.report .cache/bench.json

.PHONY: bench-quick
bench-quick: bench-programs $(BENCH) ## the headline alone, in a minute
	$(ON_BENCH) -m tests.bench.quick

SOAK_MINUTES ?= 30
.PHONY: soak
soak: bench-programs $(BENCH) ## 200 requests a second for SOAK_MINUTES, watching memory, loop lag and garbage collection
	$(ON_BENCH) -m tests.bench.soak $(SOAK_MINUTES)
