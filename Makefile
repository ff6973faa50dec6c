# Everything that is run in this repository. `make` alone lists it.
#
# cargo is always called for the whole workspace: a part of it would be built with other features, and the
# dependencies with it, for minutes.

# Where cargo puts what it builds.
TARGET := $(or $(CARGO_TARGET_DIR),target)

# In target folders of their own, so that a part of the workspace may be built.
CROSS := $(abspath $(TARGET))/tools/cross
ZIG = PYTHONPATH=$(CROSS) python3 -m ziglang
ZIGBUILD = PYTHONPATH=$(CROSS) $(CROSS)/bin/cargo-zigbuild zigbuild --release

.PHONY: help run demo test features chaos mutants model node node-test node-leak install c-static host-static bench bench-readme load millions lint doc audit package tools bench-tools

help: ## list the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 14

run: ## MongoDB, sample codes and the service on this machine, and commands to copy; Ctrl-C ends all of it
	@cargo build --workspace
	@$(TARGET)/debug/run

demo: tools ## run those commands and check what they answer
	@cargo build --workspace
	@$(TARGET)/debug/run --demo

test: tools ## every test, against a real MongoDB that they start; a short chaos; and mistakes that chaos must find
	# Tests wait for processes more than they work.
	RUST_TEST_THREADS=$$((2 * $$(nproc))) cargo test --workspace
	# How fast it recovers is for a machine that does nothing else.
	$(TARGET)/debug/chaos --minutes 2 --normal 30 --at-least 5000,4
	$(MAKE) mutants

features: tools ## scenarios for any URL, against the host, and against examples/node on Node.js 12.14.0
	cargo test --workspace --test deploy features:: -- --nocapture

# A seed repeats what clients and faults try, and not when it happens to meet.
chaos: tools ## half an hour of faults on a replica set, and every call checked; SEED=7 MINUTES=60
	cargo build --workspace --bin chaos
	$(TARGET)/debug/chaos --minutes $(or $(MINUTES),30) $(if $(SEED),--seed $(SEED)) --at-least 1000,1

mutants: tools ## chaos on a core that makes known mistakes: it must find each
	cargo test --workspace --features code-service-tests/mutants --test mutants -- --test-threads 1 --nocapture

model: ## the protocol's model with more mishaps at once than make test has time for; takes gigabytes
	cargo test --workspace --lib -- --ignored --nocapture

# The glibc is that of the oldest distributions that are still in use.
node: ## the Node.js package and its addons for x86-64 Linux, glibc 2.17 and musl, in target/npm
	@.ci/cross $(TARGET)
	$(ZIGBUILD) --package code-service-node --target x86_64-unknown-linux-gnu.2.17
	RUSTFLAGS="-C target-feature=-crt-static" \
	    $(ZIGBUILD) --package code-service-node --target x86_64-unknown-linux-musl
	rm -rf $(TARGET)/npm
	node bindings-node/pack.js $(TARGET)/npm \
	    linux-x64-gnu=$(TARGET)/x86_64-unknown-linux-gnu/release/libcode_service_node.so \
	    linux-x64-musl=$(TARGET)/x86_64-unknown-linux-musl/release/libcode_service_node.so
	cd $(TARGET)/npm && for package in */; do npm pack --silent ./$$package || exit 1; done
	# For those who require this folder, as examples/node does.
	cp $(TARGET)/npm/code-service-*/*.node bindings-node

node-test: node ## those packages, installed by npm and run: on glibc with Node.js 12 to 26, on musl with one
	cargo test --workspace --test node -- --ignored packages::

node-leak: ## ten million reserves through the addon, whose memory must not grow; takes half an hour and more
	cargo test --release --workspace --test node -- --ignored --nocapture ten_million

install: ## the C library: headers, static and shared library, for pkg-config and CMake, below PREFIX (/usr/local)
	cargo build --release --workspace
	bindings-c/install.sh $(TARGET)/release $(or $(PREFIX),/usr/local)

c-static: ## the example in C as one static program for musl, which needs nothing of the system, and its test
	@.ci/cross $(TARGET)
	$(ZIGBUILD) --package code-service-c --target x86_64-unknown-linux-musl --target-dir $(TARGET)/static
	$(ZIG) cc -target x86_64-linux-musl -static -std=c11 -Wall -Wextra -Wpedantic -Werror -I include \
	    examples/c/reserve.c $(TARGET)/static/x86_64-unknown-linux-musl/release/libcode_service.a -lunwind \
	    -o $(TARGET)/static/reserve
	cargo test --workspace --test c -- --ignored static

host-static: tools ## the host as one static program for musl, as its image holds it, run in a root that holds nothing else
	@.ci/cross $(TARGET)
	PATH="$(CROSS)/bin:$$PATH" PYTHONPATH=$(CROSS) \
	    examples/host/deploy/static.sh x86_64-unknown-linux-musl $(TARGET)/static-host
	cargo test --workspace --test deploy -- --ignored --nocapture static

bench: bench-tools ## speed beside what is replaced, as ratios; LINE=import runs one line; needs Node.js and time
	npm ci --silent --prefix tests/bench/old
	cargo build --release --workspace
	$(TARGET)/release/bench $(LINE)

bench-readme: ## puts what make bench has measured into the README
	$(TARGET)/release/bench readme

load: tools ## the host with ten times as many callers as it answers at once, with 11,000 idle connections, and 5,000 calls made of its document
	cargo test --release --workspace --test http -- --ignored --nocapture --test-threads 1 \
	    ten_times ten_thousand five_thousand

millions: tools ## five million codes in and out beside the database's own speed, and in through ten mishaps; takes half an hour on two cores; SEED=7
	cargo build --release --workspace
	CODE_SERVICE_HOST=$(abspath $(TARGET))/release/code-service-host \
	    cargo test --release --workspace --test import -- --ignored --nocapture --test-threads 1 five_million

lint: ## formatting and clippy, warnings are errors
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings

doc: ## the documentation of the crates, warnings are errors
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps

audit: ## licences, sources and known advisories of the dependencies
	.ci/audit

package: ## the crate as it would be published, built from its package alone
	# That it compiles is asked, not how fast it is.
	cargo package --package code-service --config profile.dev.opt-level=0

tools: # what the tests need beside the toolchain and python3
	@.ci/tools
	@.ci/python $(TARGET)

bench-tools: # the peers
	@.ci/tools redis-server postgresql
