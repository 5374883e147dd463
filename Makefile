# make help says what there is. Needs git, make and Python 3.11 or newer; nox, which it finds or makes, installs the rest into the cache folder.
SHELL := /bin/sh
PYTHON ?= $(shell for name in python3 python3.14 python3.13 python3.12 python3.11; do \
	"$$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$name" && break; done)
TARGET ?= v1.5.0
ARGS ?=

# $(call with,LAYER) puts the environment's Python into $$python, made or completed first
with = set -e; \
	"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	echo "No Python 3.11 or newer $(if $(PYTHON),at $(PYTHON),on PATH): install one, or name it with make PYTHON=/path/to/python3." >&2; exit 2; }; \
	python=$$("$(PYTHON)" -m tools.bootstrap $(1)); export IGW_PYTHON="$$python"
# $(run) MODULE runs a module of this tree, with those of the sandbox and of the collection at hand
run = PYTHONPATH=sandbox:build/collections "$$python" -m

# $(nox) is nox of the cache folder, made by the line above where it was missing
nox = $$("$(PYTHON)" -m tools.bootstrap nox) -m nox

.DEFAULT_GOAL := help
.PHONY: help demo test lint matrix campaign docs bench-traffic bench-detect bench-gate bench-rollback bench-overhead clean

help: ## this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /|/' | awk -F'|' '{ printf "make %-14s %s\n", $$1, $$2 }'

demo: ## everything from nothing, then a zero-downtime migration under load (TARGET=v1.5.0, ARGS=...)
	@$(call with,run); $(run) tests.e2e.demo $(ARGS) --target $(TARGET)

test: ## every gate and test (ARGS="--only NAME" for one)
	@$(call with,test); "$$python" -m tools.run_tests $(ARGS)

lint: ## the quick gates
	@$(call with,test); "$$python" -m tools.run_tests --lint $(ARGS)

matrix: ## the whole tables that make test samples; hours
	@$(call with,test); "$$python" -m tools.run_tests --matrix $(ARGS)

campaign: ## every distinct request of a migration disturbed, the invariants checked on every run; 150 minutes at most (ARGS="--shard 1/4 --resume")
	@$(call with,run); $(run) tools.stage; $(run) tests.campaign $(ARGS)

docs: ## the pages that are made from code: options, findings and the import graph
	@$(call with,test); $(nox) --no-dependencies --session docs

bench-traffic: ## lost requests: the guide's commands, a careful script, and ours
	@$(call with,run); $(run) benchmarks.bench_traffic $(ARGS)

bench-detect: ## time and memory of detect with 10,000 objects, against kubectl get (ARGS="--objects 300" for a quick one)
	@$(call with,run); $(run) benchmarks.bench_detect $(ARGS)

bench-gate: ## the gate's statistics: how soon a bad v1 is caught, how often one is promoted, against Flagger's rule
	@$(call with,run); $(run) tools.stage; $(run) benchmarks.bench_gate $(ARGS)

bench-rollback: ## seconds until users are off a v1 that turns bad, against Flagger's rule
	@$(call with,run); $(run) tools.stage; $(run) benchmarks.bench_rollback $(ARGS)

bench-overhead: ## what a migration with 20 minutes of soak takes beyond what it must wait for, against a plain script
	@$(call with,run); $(run) benchmarks.bench_overhead $(ARGS)

clean: ## what make put into this tree; the cache folder stays
	rm -rf build tests/output .mypy_cache .ruff_cache .pytest_cache .ansible
