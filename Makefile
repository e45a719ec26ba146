# `make demo` shows it, `make test` proves it; both install what they need. `make` alone lists the targets.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

export CARGO_TARGET_DIR ?= $(CURDIR)/target
export SUBCAST := $(CARGO_TARGET_DIR)/debug/subcast
export SUBCAST_TEST_PYTHON := $(CURDIR)/.venv/bin/python
export SUBCAST_COMPONENTIZE_PY := $(CURDIR)/.venv/bin/componentize-py
export DEMO_SECONDS ?= 0
export DEMO_PORT ?= 8000
ROUNDS ?= 10
FUZZ_SECONDS ?= 60
FUZZ_SEED ?= $(shell date +%s)

BIN := $(CURDIR)/.venv/bin
RUST_READY := $(CARGO_TARGET_DIR)/.rust-ready
PYTHON_READY := .venv/.ready
NODE_READY := tests/clients/node_modules/.ready
# Where the wheel is built for the tests, and where it is installed for them.
WHEELS := $(CARGO_TARGET_DIR)/wheels
EMBEDDING := $(CARGO_TARGET_DIR)/embedding
# Python that no package of its own checks.
PYTHON_SOURCES := guest-python python tests examples scripts benches

.PHONY: help
help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 24

# --- what people call ---

.PHONY: demo
demo: binary $(PYTHON_READY) ## real stock prices to subscribers; Ctrl-C or DEMO_SECONDS=20 ends it; DEMO_PORT=8000
	@$(BIN)/python examples/market/demo.py

.PHONY: test
test: test-rust test-python test-clients test-embedding test-embedding-clients ## all tests

.PHONY: lint
lint: lint-rust lint-python ## formatting and static checks

.PHONY: wheel
wheel: $(RUST_READY) $(PYTHON_READY) ## the Python package `subcast`, into dist/
	$(BIN)/maturin build --release --locked --out dist

.PHONY: bench
bench: $(RUST_READY) $(PYTHON_READY) ## the figures of benches/README.md
	cargo bench --locked

.PHONY: bench-hostile
bench-hostile: $(RUST_READY) $(PYTHON_READY) ## what a module notices of a hostile one beside it; some 30 minutes
	cargo build --locked --release
	cargo test --locked --test it declarations_are_written_for_the_bench -- --ignored
	$(BIN)/python benches/hostile/beside.py

.PHONY: fuzz
fuzz: $(RUST_READY) $(PYTHON_READY) ## load damaged components; FUZZ_SECONDS=60, FUZZ_SEED repeats a run
	SUBCAST_FUZZ_SECONDS=$(FUZZ_SECONDS) SUBCAST_FUZZ_SEED=$(FUZZ_SEED) \
		cargo test --locked --test it -- --nocapture --test-threads 1 \
		damage::damaged_components damage::a_real_component

.PHONY: test-busy
test-busy: binary $(NODE_READY) $(EMBEDDING)/.ready ## each suite ROUNDS=10 times while a process keeps a core busy; some hours
	cargo test --locked --test it --no-run
	$(BIN)/python scripts/busy.py --rounds $(ROUNDS)

.PHONY: clean
clean: ## remove everything that make has made
	rm -rf "$(CARGO_TARGET_DIR)" .venv tests/clients/node_modules

# --- parts ---

.PHONY: binary
binary: $(RUST_READY)
	@cargo build --locked

.PHONY: test-rust
test-rust: $(RUST_READY) $(PYTHON_READY) ## unit and integration tests of the host
	cargo test --locked

.PHONY: test-python
test-python: $(PYTHON_READY) ## tests of the guest SDK
	$(BIN)/python -m pytest -q tests/python

.PHONY: test-clients
test-clients: binary $(PYTHON_READY) $(NODE_READY) ## unmodified GraphQL clients against the real binary
	cd tests/clients && PATH="$(BIN):$$PATH" node --test
	$(BIN)/python -m pytest -q tests/clients

.PHONY: test-embedding
test-embedding: $(EMBEDDING)/.ready ## the wheel, installed: FastAPI, Starlette and other servers
	cd python && $(EMBEDDING)/bin/python -m mypy --strict .
	$(EMBEDDING)/bin/python -m mypy.stubtest subcast._native
	for app in fastapi starlette custom_server beside_strawberry; do \
		(cd examples/$$app && $(EMBEDDING)/bin/python -m mypy --strict app.py); \
	done
	$(EMBEDDING)/bin/python -m pytest -q tests/embedding

# Behind hypercorn `gql` has to be told one subprotocol: see docs/embedding.md.
.PHONY: test-embedding-clients
test-embedding-clients: export EMBEDDING := $(EMBEDDING)
test-embedding-clients: $(EMBEDDING)/.ready $(NODE_READY) ## the same clients against FastAPI on uvicorn, Starlette on hypercorn
	cd tests/clients && SUBCAST=$(CURDIR)/tests/embedding/fastapi-uvicorn PATH="$(BIN):$$PATH" node --test
	cd tests/clients && SUBCAST=$(CURDIR)/tests/embedding/starlette-hypercorn PATH="$(BIN):$$PATH" node --test
	SUBCAST=$(CURDIR)/tests/embedding/fastapi-uvicorn $(BIN)/python -m pytest -q tests/clients
	GQL_SUBPROTOCOLS=graphql-transport-ws SUBCAST=$(CURDIR)/tests/embedding/starlette-hypercorn \
		$(BIN)/python -m pytest -q tests/clients

# Needs an interpreter of 3.14 or newer that was built with --disable-gil. There is no componentize-py for it: guests are built
# by that of .venv. Servers that have no wheels for it are left out.
FREE_THREADED ?= python3.14t
.PHONY: test-free-threaded
test-free-threaded: $(RUST_READY) $(PYTHON_READY) ## the wheel on a Python without GIL; FREE_THREADED=python3.14t
	@scripts/setup.sh free-threaded "$(EMBEDDING)-free-threaded" "$(WHEELS)-free-threaded" "$(FREE_THREADED)"
	PYTHON_GIL=0 $(EMBEDDING)-free-threaded/bin/python -m pytest -q $(addprefix tests/embedding/test_,manager.py serving.py \
		serve_and_channel.py log.py panics.py ends.py)

.PHONY: test-planted
test-planted: $(RUST_READY) $(PYTHON_READY) ## bugs planted into the projection on purpose: are all of them caught?
	$(BIN)/python tests/projection/plant.py

.PHONY: lint-rust
lint-rust: $(RUST_READY)
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings
	cargo clippy --locked --features python --lib -- -D warnings
	@if command -v cargo-deny >/dev/null; then cargo deny --locked check; else echo "cargo-deny is not installed: skipped"; fi

.PHONY: lint-python
lint-python: $(PYTHON_READY)
	$(BIN)/ruff check $(PYTHON_SOURCES)
	$(BIN)/ruff format --check $(PYTHON_SOURCES)
	$(BIN)/mypy --strict guest-python

# What the extension is made of has changed, or not: cargo knows.
.PHONY: test-wheel
test-wheel: $(RUST_READY) $(PYTHON_READY)
	@scripts/setup.sh wheel "$(WHEELS)"

$(EMBEDDING)/.ready: test-wheel
	@scripts/setup.sh embedding "$(EMBEDDING)" "$(WHEELS)"

# --- set-up: each once, and again when what it depends on has changed ---

$(RUST_READY):
	@scripts/setup.sh rust
	@echo "the first compilation takes about 8 minutes on two cores (a WebAssembly compiler is part of it); later ones are short"
	@mkdir -p "$(@D)" && touch $@

$(PYTHON_READY): scripts/requirements.txt scripts/setup.sh
	@scripts/setup.sh python
	@touch $@

$(NODE_READY): tests/clients/package-lock.json scripts/setup.sh | $(PYTHON_READY)
	@scripts/setup.sh node
	@touch $@
