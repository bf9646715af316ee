# One entry for everything: each target sets up what it misses and is quiet about what is there.

PORT ?= 3000
# What the native host is built with beyond its default: `make host FEATURES=postgres`.
FEATURES ?=
TARGET = $(or $(CARGO_TARGET_DIR),target)
# Neither statistics nor a sample of `Request.cf` are fetched: all of it works without a network.
WRANGLER = WRANGLER_SEND_METRICS=false CLOUDFLARE_CF_FETCH_ENABLED=false \
	wasm/node node_modules/.bin/wrangler
# The pinned Rust, under the name that this machine's rustup has it.
export RUSTUP_TOOLCHAIN := $(shell wasm/setup.sh toolchain)

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help setup postgres guest worker host run dev test bench deploy-check fmt lint clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 22

# Its tests are skipped, and counted, where it can not be had.
postgres: ## install PostgreSQL for the tests
	@wasm/setup.sh postgres

setup: ## install all that the other targets need
	@wasm/setup.sh worker

guest: ## build/guest.wasm, the module that both hosts run
	@wasm/build.sh guest

worker: ## build/worker/, what wrangler deploys
	@wasm/build.sh worker

# Quiet once it is built; cargo says what is wrong in any case.
host: guest ## the native binary, guest inside
	@cargo build --profile host -p foldlog $(addprefix --features ,$(FEATURES)) $(if $(wildcard $(TARGET)/host/foldlog),-q)

run: host ## serve natively on port 3000 (PORT=...), needs no Node
	@exec $(TARGET)/host/foldlog serve --listen 127.0.0.1:$(PORT)

dev: setup ## serve as a Worker with wrangler dev on port 8787
	@$(WRANGLER) dev --port 8787

# The host is built once, with all that it can have; that it needs none of it is clippy's to say.
test: FEATURES = postgres
test: setup postgres worker host ## everything that must hold, stopping at the first failure
	@wasm/build.sh guest-faults
	@wasm/build.sh reproduce
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --features foldlog/postgres -- -D warnings
	cargo clippy -p foldlog -- -D warnings
	@rm -f $(TARGET)/skipped
	cargo test --workspace --features foldlog/postgres
	@if [ -s $(TARGET)/skipped ]; then echo "make test: skipped:"; sort -u $(TARGET)/skipped; fi
	@echo "make test: all passed$$([ ! -s $(TARGET)/skipped ] || echo " but $$(sort -u $(TARGET)/skipped | wc -l) that were skipped")"

bench: worker host ## load on the built hosts
	@cargo run -q --profile host -p foldlog-tests --bin bench

deploy-check: setup ## dry-run of a deployment, and what it weighs
	@rm -rf build/deploy
	@$(WRANGLER) deploy --dry-run --outdir build/deploy
	@wasm/build.sh sizes

fmt: ## format the sources
	@cargo fmt --all

lint: guest ## formatting and clippy alone
	@cargo fmt --all --check
	@cargo clippy --workspace --all-targets -- -D warnings

clean: ## remove all that was built (not node_modules, not data)
	@rm -rf build $(TARGET)
