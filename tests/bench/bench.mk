# How fast, against whom, and for how long: tests/bench/LOG.md has the results.

BENCH := $(call ready,bench) $(call ready,server) $(call ready,dev)

.PHONY: bench-programs
bench-programs:
	@missing=""; for program in cc wrk nginx haproxy taskset; do command -v $$program >/dev/null || missing="$$missing $$program"; done; \
	[ -z "$$missing" ] || { echo "make bench needs:$$missing (Debian: apt-get install gcc libc6-dev wrk nginx-light haproxy util-linux)" >&2; exit 1; }

.PHONY: bench
bench: bench-programs $(BENCH) ## the gateway beside Envoy, nginx and a naive one, with its bars, in 10 minutes (PEER_SIGV4=PATH adds one)
	@mkdir -p .cache
	$(DEV) -m tests.bench --json .cache/bench.json

.PHONY: bench-log
bench-log: ## write the last `make bench` into tests/bench/LOG.md and its picture
	$(DEV) -m tests.bench.report .cache/bench.json

.PHONY: bench-quick
bench-quick: bench-programs $(BENCH) ## the headline alone, in a minute
	$(DEV) -m tests.bench.quick

SOAK_MINUTES ?= 30
.PHONY: soak
soak: bench-programs $(BENCH) ## 200 requests a second for SOAK_MINUTES, watching memory, loop lag and garbage collection
	$(DEV) -m tests.bench.soak $(SOAK_MINUTES)
