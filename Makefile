# Common development tasks. `make` without a target lists them.
#
# Required: Rust, Node.js 20 or newer with npm, and a C compiler. `make setup` installs the other tools where it can.

ARGS ?=
SECONDS ?= 600
CASES ?= 100000
TOOLS := target/tools/bin

# Most tests wait for a server, so more of them than cores run at once.
export RUST_TEST_THREADS ?= 5

.PHONY: help setup build-setup test-setup run demo cluster test test-sqlite test-postgres test-pages test-long test-loom screenshots torture failover connections siege fuzz bench bench-scaling lint lint-code lint-js lint-deps clean

help: ## List the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 12

run: build-setup ## Build and run the server; settings come from ARGS or the environment
	cargo run --profile fast -- serve $(ARGS)

demo: build-setup ## Run the server with example data, if the database is empty
	cargo build --profile fast
	@if cargo run --profile fast --quiet -- demo; then \
		echo 'Open the address below and create an account. These are the tokens of the example users:'; \
		echo 'In /graphiql press "Sign in" and paste one. A program sends it as "Authorization: Bearer TOKEN".'; \
	else \
		echo 'No example data was added: the server uses the existing database.'; \
	fi
	cargo run --profile fast --quiet -- serve $(ARGS)

test: test-sqlite test-postgres test-pages ## Run all tests; those that need a database run on SQLite and on PostgreSQL

test-sqlite: setup $(TOOLS)/diesel
	cargo test

test-postgres: setup
	TIDINGS_TEST_DATABASE=postgres cargo test --test integration -- $(ON_SQLITE_ONLY)

test-pages: setup
	cargo build
	cd static && npm test

# These tests keep the processor busy, so no more of them than two run at once.
test-long: setup test-loom ## Run the tests that take about a minute or more each: torture, attacks, client libraries, random scripts
	cargo test --test integration -- --ignored --test-threads 2
	TIDINGS_TEST_DATABASE=postgres cargo test --test integration -- --ignored --test-threads 2 scripts:: rights::

# `cargo test` checks the same models with at most 3 interruptions of threads.
test-loom: build-setup ## Check the models of the hub's synchronization in more interleavings
	LOOM_MAX_PREEMPTIONS=5 cargo test --test loom hub

# These tests start the real binary, which they configure for SQLite.
ON_SQLITE_ONLY := $(addprefix --skip ,instances recipes torture max_connections fuzz hostile close_codes slow_reader random_frames diesel_command_line secrets architecture wall_clock killed)

screenshots: setup ## Take screenshots of every page into target/screenshots, and those of the README
	cargo build
	cd static && node tests/browser/screenshots.mjs

# Two of the four instances are at a distance of 0.5 and 1 ms. ROUND_TRIP sets the distance of all four, in microseconds.
torture: setup ## Kill servers and parts of a cluster under load for SECONDS (600), then check that no event was lost
	TIDINGS_TORTURE_SECONDS=$(SECONDS) $(if $(ROUND_TRIP),TIDINGS_TORTURE_ROUND_TRIP=$(ROUND_TRIP)) cargo test --release --test integration torture -- --include-ignored --nocapture

failover: setup ## Fail over 20 times to a standby that lacks events while clients write, and print the totals
	TIDINGS_FAILOVER=20 cargo test --release --test integration failover -- --nocapture

connections: build-setup ## Open 10,000 connections to a server, each in a channel, and measure
	TIDINGS_CONNECTIONS=10000 cargo test --release --test integration max_connections -- --nocapture

siege: build-setup ## Send known attacks; print the answers, other clients' waiting times and the memory in use
	TIDINGS_SIEGE=5000 cargo test --release --test integration -- hostile close_codes --include-ignored --nocapture --test-threads 1
	TIDINGS_TEST_ROWS=200000 TIDINGS_TEST_DATABASE=postgres cargo test --release --test integration accounts::deletion -- --nocapture --test-threads 1

fuzz: build-setup ## Send CASES (100,000) random documents, requests and frames each
	PROPTEST_CASES=$(CASES) cargo test --release --test integration fuzz -- --nocapture

bench: setup ## Measure event delivery and idle connections, then several instances on PostgreSQL
	cargo bench --bench delivery -- $(ARGS)
	cargo bench --bench cluster
	cargo bench --bench scaling

bench-scaling: setup ## Measure only the writes per second on PostgreSQL, by distance and number of instances, beside pgbench
	cargo bench --bench scaling

cluster: setup ## Build, and run four instances on PostgreSQL at 127.0.0.1:3001 to 3004
	cargo build --release
	deploy/cluster.sh

lint: lint-code lint-js lint-deps ## Check formatting, lints and dependencies

lint-code: build-setup
	cargo fmt --check
	cargo clippy --all-targets -- -D warnings

lint-js: static/node_modules/.package-lock.json
	cd static && npm run lint

# npm writes this file last, so its age is the age of the whole installation.
static/node_modules/.package-lock.json: static/package-lock.json
	cd static && npm ci

# The advisories come from GitHub and npm. If those cannot be reached, the other checks still run, and a message says
# so.
lint-deps: $(TOOLS)/cargo-deny $(TOOLS)/cargo-machete
	@if $(TOOLS)/cargo-deny --log-level off fetch db; then \
		$(TOOLS)/cargo-deny --locked check; \
	else \
		echo 'The advisory database cannot be reached: known vulnerabilities were NOT looked up.'; \
		$(TOOLS)/cargo-deny --locked check bans licenses sources; \
	fi
	$(TOOLS)/cargo-machete
	@cd static && if npm audit --omit=dev --json >../target/npm-audit.json 2>/dev/null; then \
		echo 'npm: the dependencies of the pages have no known vulnerabilities'; \
	elif grep -q '"vulnerabilities"' ../target/npm-audit.json; then \
		npm audit --omit=dev; exit 1; \
	else \
		echo 'The npm advisories cannot be reached: known vulnerabilities of the pages were NOT looked up.'; \
	fi

clean: ## Delete everything that was built or installed here, except databases
	cargo clean
	rm -rf static/dist static/node_modules tests/identity-provider/node_modules tests/clients/node_modules tests/clients/.venv

# These checks print nothing if nothing is missing. The binary links libpq. The tests start their own PostgreSQL and
# Chromium. Some tests need Python's venv, and are skipped without it.
LINKS_LIBPQ = cc -shared -o /dev/null $$(pg_config --libdir 2>/dev/null | sed 's/^/-L/') -lpq 2>/dev/null
HAS_VENV = python3 -c 'import ensurepip, venv' 2>/dev/null
AS_ROOT = $$([ "$$(id -u)" = 0 ] || echo sudo)
apt = { command -v apt-get >/dev/null && echo 'installing $(1)' && $(AS_ROOT) apt-get update -qq >/dev/null && \
	$(AS_ROOT) env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $(1) >/dev/null; }

setup: build-setup test-setup ## Install missing tools and libraries on this machine

build-setup:
	@for tool in cargo cc node npm; do \
		command -v $$tool >/dev/null || { echo "tidings needs $$tool: install it and run make again" >&2; exit 1; }; \
	done
	@$(LINKS_LIBPQ) || $(call apt,libpq-dev) || true
	@$(LINKS_LIBPQ) || { \
		echo 'tidings needs libpq to build (Debian: libpq-dev, Fedora: libpq-devel): install it and run make again' >&2; \
		exit 1; }

HAS_CHROMIUM = command -v chromium >/dev/null
HAS_POSTGRES = ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1

test-setup:
	@$(HAS_POSTGRES) || $(call apt,postgresql) || true
	@$(HAS_POSTGRES) || { echo 'the tests need PostgreSQL (Debian: postgresql): install it and run make again' >&2; exit 1; }
	@$(HAS_CHROMIUM) || $(call apt,chromium) || true
	@$(HAS_CHROMIUM) || { echo 'the tests of the web client need Chromium (Debian: chromium): install it and run make again' >&2; exit 1; }
	@$(HAS_VENV) || $(call apt,python3-venv) || true
	@$(HAS_VENV) || echo 'python3 has no venv (Debian: python3-venv): the tests with libraries of Python are skipped' >&2

# Pinned versions of tools. They depend on this file, so that a new version is installed; an installed version is not
# built again.
INSTALL = cargo install --locked --quiet --root target/tools

$(TOOLS)/diesel: Makefile
	$(INSTALL) diesel_cli@2.3.14 --no-default-features --features sqlite-bundled
	@touch $@

$(TOOLS)/cargo-deny: Makefile
	$(INSTALL) cargo-deny@0.20.2
	@touch $@

$(TOOLS)/cargo-machete: Makefile
	$(INSTALL) cargo-machete@0.9.2
	@touch $@
