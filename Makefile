# Two commands: `make train` and `make test`. Both set everything up first.
PYTHON   ?= python3
DEVICE   ?= cpu
SCENARIO ?= community-5
STAMP    := $(shell date +%Y%m%d-%H%M%S)
OUT      ?= runs/$(SCENARIO)-$(STAMP)
BIN      := .venv/bin
export PYTHONUNBUFFERED := 1

.PHONY: train serve test test-all lint bench setup clean help

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: .venv/.installed ## make .venv with everything in it

# torch first and pinned: a looser request brings gigabytes of CUDA packages (constraints.txt).
.venv/.installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -q -c constraints.txt torch
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[train,data,serve,test]'
	touch $@

train: setup ## train the default community and print the scoreboard (SCENARIO=, DEVICE=cuda, OUT=)
	$(BIN)/python -m trainer train --scenario $(SCENARIO) --device $(DEVICE) --out $(OUT) $(ARGS)

serve: setup ## run the live server (ARGS="--port 9000 --checkpoint runs/NAME")
	$(BIN)/python -m server $(ARGS)

test: setup ## every test but the slow proofs
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "not slow" $(ARGS)

test-all: setup ## every test
	$(BIN)/python -m pytest -n 2 --dist loadfile $(ARGS)

lint: setup ## style, types, import directions
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports

bench: setup ## speed against peers, written to benchmarks/results/
	$(BIN)/python -m benchmarks env --json benchmarks/results/env-$(DEVICE).json --device $(DEVICE)
	$(BIN)/python -m benchmarks power-flow --json benchmarks/results/power-flow.json

clean: ## remove what can be made again
	rm -rf .venv .pytest_cache .ruff_cache .hypothesis build *.egg-info
