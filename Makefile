# Two commands: `make train` and `make test`. Both set everything up first.
PYTHON   ?= python3
DEVICE   ?= cpu
SCENARIO ?= community-5
STAMP    := $(shell date +%Y%m%d-%H%M%S)
# Of the tests, on two cores: many wait for servers and pages.
WORKERS  ?= 3
OUT      ?= runs/$(SCENARIO)-$(STAMP)
BIN      := .venv/bin
export PYTHONUNBUFFERED := 1

.PHONY: train serve test test-all lint bench setup web browser clean help

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: .venv/.installed ## make .venv with everything in it

# torch first and pinned: a looser request brings gigabytes of CUDA packages (constraints.txt).
.venv/.installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -q -c constraints.txt torch
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[train,data,serve,test]'
	touch $@

# The page's libraries, and what checks it; without npm the page says what is missing and its tests are skipped.
web/node_modules/.installed: web/package.json web/package-lock.json
	if command -v npm >/dev/null; then cd web && npm ci --no-fund --no-audit; \
	else echo "npm not found: install Node 20 or newer for the page"; mkdir -p web/node_modules; fi
	touch $@

web: web/node_modules/.installed ## install what the page needs (npm ci in web/)

# Tests of the page need a Chromium; where it is missing and cannot be installed they are skipped and say so.
browser:
	@command -v chromium >/dev/null || command -v google-chrome >/dev/null || { test "$$(id -u)" = 0 \
	  && command -v apt-get >/dev/null && apt-get update -qq && apt-get install -y -qq chromium >/dev/null; } \
	  || echo "no Chromium: tests of the page will be skipped (apt-get install chromium)"

train: setup ## train the default community and print the scoreboard (SCENARIO=, DEVICE=cuda, OUT=)
	$(BIN)/python -m trainer train --scenario $(SCENARIO) --device $(DEVICE) --out $(OUT) $(ARGS)

serve: setup web ## run the live server (ARGS="--port 9000 --checkpoint runs/NAME")
	$(BIN)/python -m server $(ARGS)

test: setup web browser ## every test but the slow proofs
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile -m "not slow" $(ARGS)

test-all: setup web browser ## every test
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile $(ARGS)

lint: setup web ## style, types, import directions
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports
	if test -x $(BIN)/hadolint; then $(BIN)/hadolint Dockerfile; fi
	if command -v npm >/dev/null; then cd web && npm run -s check; fi

bench: setup web browser ## every benchmark beside its peers, hours, then docs/benchmarks.md (ARGS=--quick: minutes, kept aside)
	$(BIN)/python -m benchmarks peers install || echo "peers that are missing are left out"
	$(BIN)/python -m benchmarks all --device $(DEVICE) $(ARGS)
	$(BIN)/python -m benchmarks report

clean: ## remove what can be made again
	rm -rf .venv web/node_modules .pytest_cache .ruff_cache .hypothesis build *.egg-info
