# The commands a developer or a first user needs; `make help` lists them.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

# rustup's shims are here even if the shell was started before rustup was installed.
export PATH := $(HOME)/.cargo/bin:$(PATH)

# `make run PROFILE=dev` builds faster and runs slower.
PROFILE ?= release
# How many seconds `make run` leaves the service up after the demonstration; without it, until Ctrl-C.
RUN_FOR ?=
export RUN_FOR

TARGET := $(or $(CARGO_TARGET_DIR),target)
BIN := $(TARGET)/$(if $(filter dev,$(PROFILE)),debug,$(PROFILE))/logphase
RESULT := $(TARGET)/test-output.txt

# How many messages `make soak` has wait.
SOAK_MESSAGES ?= 1000000

# Which fuzz targets, and how long each; stable Rust has LLVM's coverage, which is what `cargo fuzz` asks for, too.
FUZZ ?= key_path value regex
FUZZ_SECONDS ?= 60
FUZZ_FLAGS := --cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
	-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table -Ccodegen-units=1
HOST = $(shell rustc -vV | sed -n 's/^host: //p')
FUZZ_BIN = fuzz/target/$(HOST)/release

.PHONY: help run build dist test check bench soak fuzz fuzz-build fmt clippy doc rust rust-components run-tools test-tools kafka

help: ## Show this list.
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: build ## Build, start the service on its quickstart, send it transactions, show the messages.
	@exec examples/quickstart/run.sh "$(BIN)"

build: rust run-tools ## Build the program (PROFILE=release or dev).
	cargo build --locked --profile $(PROFILE) --bin logphase

dist: rust run-tools ## Build the program as packages ship it: link-time optimised, stripped, debug information beside it.
	cargo build --locked --profile dist --bin logphase

test: rust rust-components test-tools ## All checks and all tests; what CI runs.
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps
	@mkdir -p "$(TARGET)"
	cargo test --locked --workspace --no-fail-fast 2>&1 | tee "$(RESULT)" || { .ci/summary "$(RESULT)"; exit 1; }
	@.ci/summary "$(RESULT)"

check: rust ## Compile everything without building it; the quickest look for mistakes.
	cargo check --locked --workspace --all-targets

fmt: rust ## Format the source.
	cargo fmt --all

clippy: rust rust-components ## Lint.
	cargo clippy --locked --workspace --all-targets -- -D warnings

doc: rust ## Build the documentation of the source.
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps

bench: rust run-tools kafka ## Measure transactions per second beside the baselines, and into Kafka beside its own producer.
	cargo bench --locked --bench log_phase --bench queue --bench kafka

soak: rust run-tools ## A receiver that is away for a million messages (SOAK_MESSAGES): memory, loss, order, and how fast they go then.
	SOAK_MESSAGES=$(SOAK_MESSAGES) cargo test --locked --release --test main backlog -- --nocapture

fuzz: fuzz-build ## Fuzz each of FUZZ for FUZZ_SECONDS; what is found lies in fuzz/artifacts/.
	@for target in $(FUZZ); do \
		mkdir -p "fuzz/corpus/$$target" "fuzz/artifacts/$$target"; \
		echo "fuzzing $$target for $(FUZZ_SECONDS) seconds"; \
		"$(FUZZ_BIN)/$$target" -max_total_time=$(FUZZ_SECONDS) -timeout=20 -print_final_stats=1 \
			-artifact_prefix="fuzz/artifacts/$$target/" "fuzz/corpus/$$target" "fuzz/seeds/$$target"; \
	done

fuzz-build: rust run-tools ## Build the fuzz targets.
	RUSTFLAGS="$(FUZZ_FLAGS)" cargo build --locked --manifest-path fuzz/Cargo.toml --release --target $(HOST) \
		--target-dir fuzz/target

# The oldest Rust that builds this is named in Cargo.toml only.
rust:
	@.ci/rust

rust-components:
	@cargo fmt --version >/dev/null 2>&1 || rustup component add rustfmt
	@cargo clippy --version >/dev/null 2>&1 || rustup component add clippy

# The Lua VM is C++, Kafka's client and the crypto of TLS are C: all are compiled in. Kafka's client uses the system's
# OpenSSL for its own TLS.
run-tools:
	@.ci/tools g++ libssl curl jq

test-tools: kafka
	@.ci/tools g++ libssl curl jq logrotate kcat nginx promtool rsyslogd rsyslog-openssl systemd-analyze tmux

# Apache Kafka itself, for the tests and the benchmark; Maven fetches it once.
kafka:
	@.ci/tools java mvn
	@.ci/kafka "$(TARGET)/kafka" >/dev/null
