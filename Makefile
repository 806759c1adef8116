# Everything a person types. `make help` lists it.
SHELL := /bin/bash
.DEFAULT_GOAL := help
BIN := .venv/bin
STAMP := .venv/.complete
CORES ?= all
# `ROOMS=none` builds and runs without the captured rooms.
WITHOUT := $(if $(filter none,$(ROOMS)),config/without/real_rooms.yaml)
RUN := $(BIN)/snakemake --cores $(CORES)
# Keep the machine's own packages out of the clone's environment.
unexport PYTHONPATH VIRTUAL_ENV

.PHONY: help env data pin reproduce smoke verify reference recompute check-results seal open-test test \
  test-all test-slurm fuzz lint format docs bench lock clean

help: ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' Makefile

env: $(STAMP) ## create .venv from requirements.lock

$(STAMP): requirements.lock workflow/make_env.sh workflow/uv/requirements.lock
	@bash workflow/make_env.sh

data: $(STAMP) ## build data/ from its sources and check it (ROOMS=none: without the captured rooms)
	@bash workflow/make_data.sh

pin: $(STAMP) ## pin a meant change of data/ in data.manifest.json and data.dvc
	@$(BIN)/python -m g2vlm.run.data pin
	@CI=1 $(BIN)/python -m dvc add --quiet data

reproduce: data ## run the whole study (config/cpu.yaml; CONFIG=config/gpu.yaml for another)
	@$(BIN)/python -m g2vlm.run.config $(CONFIG) $(WITHOUT)
	@$(RUN) reproduce $(if $(CONFIG)$(WITHOUT),--configfile $(CONFIG) $(WITHOUT))

smoke: data ## the same study in minutes (config/smoke.yaml)
	@$(RUN) reproduce --configfile config/smoke.yaml $(WITHOUT)

verify: data ## compare a fresh run with results/reference/ (CONFIG=... for another)
	@$(BIN)/python -m g2vlm.run.config $(CONFIG) $(WITHOUT)
	@$(RUN) verify $(if $(CONFIG)$(WITHOUT),--configfile $(CONFIG) $(WITHOUT))

reference: $(STAMP) ## keep a finished run as the committed reference (EXPERIMENT=cpu)
	@$(BIN)/python -m report.reference results/$(or $(EXPERIMENT),cpu) --readme README.md \
	  $(addprefix --findings ,$(wildcard config/findings/$(or $(EXPERIMENT),cpu).yaml))
	@$(BIN)/python -m g2vlm publish results/$(or $(EXPERIMENT),cpu) \
	  --out results/reference/$(or $(EXPERIMENT),cpu)/checkpoint

recompute: $(STAMP) ## make every committed table again from its cells and compare (EXPERIMENT=cpu)
	@$(BIN)/python -m report.recompute results/reference/$(or $(EXPERIMENT),cpu)

check-results: $(STAMP) ## compare a finished run's files with the hashes in its record (EXPERIMENT=cpu)
	@$(BIN)/python -m g2vlm.run.check_results results/$(or $(EXPERIMENT),cpu)

seal: $(STAMP) ## freeze the code, settings and data that the sealed test rests on
	@$(BIN)/python -m g2vlm.run.seal freeze

open-test: data ## draw the sealed test's rooms (NONCE=...; CONFIG=... for another experiment)
	@$(BIN)/python -m g2vlm.run.seal open --nonce "$(NONCE)" $(CONFIG)

test: $(STAMP) ## run the tests (those marked gpu where there is one)
	@$(BIN)/python -m pytest -m "not slow and not slurm" -n 2

test-all: $(STAMP) ## run the slow tests too
	@$(BIN)/python -m pytest -m "not slurm" -n 2

test-slurm: $(STAMP) ## run a small study on a Slurm of one node, started and stopped by the test
	@$(BIN)/python -m pytest -m slurm tests/cluster

fuzz: $(STAMP) ## give every reader of files damaged ones (MINUTES=30, SEED=0); findings in build/fuzz
	@$(BIN)/python -m tests.fuzz --minutes $(or $(MINUTES),30) --seed $(or $(SEED),0)

lint: $(STAMP) ## check format, style and the workflow
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/snakefmt --check Snakefile workflow baselines
	@$(BIN)/snakemake --lint

format: $(STAMP) ## format code and rules
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .
	@$(BIN)/snakefmt Snakefile workflow baselines

docs: $(STAMP) ## build the documentation into site/, warnings are errors
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict 2>&1 | grep -v '^INFO'; exit $${PIPESTATUS[0]}
	@echo "docs: open site/index.html"

bench: $(STAMP) ## time metrics, data, statistics and a training step against requirements and peers
	@OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1 $(BIN)/python -m benchmarks

lock: ## pin every package anew (needs uv and the network)
	@UV_CUSTOM_COMPILE_COMMAND="make lock" uv pip compile pyproject.toml --all-extras \
	  --generate-hashes --no-emit-index-url --python-version 3.11 --quiet -o requirements.lock
	@for folder in profiles/slurm workflow/uv; do \
	  UV_CUSTOM_COMPILE_COMMAND="make lock" uv pip compile $$folder/requirements.in --no-deps \
	    --generate-hashes --no-emit-index-url --python-version 3.11 --quiet \
	    -o $$folder/requirements.lock || exit; \
	done

clean: ## remove the results of runs (not data/, not results/reference/)
	@find results -mindepth 1 -maxdepth 1 ! -name reference ! -name README.md -exec rm -r {} +
