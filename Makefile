# `make demo` shows what cxgctl does, `make test` tests it. Both install PostgreSQL if it is missing (.ci/postgres);
# the tests also install PgBouncer, shells, a pager, Chromium and LibreOffice (.ci/test-packages).

SHELL := /bin/bash
GO    ?= go
TOOL  := $(GO) tool -modfile=.ci/tools/go.mod

# All targets compile with the same flags, so that each package is compiled once, or twice with the race detector. The
# version comes from git below. Go's own stamp fails if git does not trust the owner of the directory.
export GOFLAGS := $(GOFLAGS) -buildvcs=false -trimpath -tags=timetzdata
export CGO_ENABLED := 0

VERSION := $(shell git describe --tags --always --dirty 2>/dev/null)
COMMIT  := $(shell git rev-parse --short HEAD 2>/dev/null)
DATE    := $(shell git log -1 --format=%cI 2>/dev/null)
BIN     := bin/cxgctl
LDFLAGS := -s -w -X github.com/cxgctl/cxgctl/internal/buildinfo.version=$(VERSION) \
	-X github.com/cxgctl/cxgctl/internal/buildinfo.commit=$(COMMIT) -X github.com/cxgctl/cxgctl/internal/buildinfo.date=$(DATE)

# The race detector needs a C compiler with its headers: "-race" or nothing.
RACE = $(shell echo 'int main(void) { return 0; }' | \
	$$($(GO) env CC) -include stdlib.h -fsyntax-only -x c - 2>/dev/null && echo -race)

.PHONY: help demo test test-all test-smoke test-versions build go install dist postgres test-packages bench fuzz torture fmt \
	lint tidy check clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: go postgres build ## Build cxgctl, start PostgreSQL, and show the main commands
	@.ci/demo

# -short reduces repetitions. Six tests run in parallel, because many of them wait for servers and timeouts.
test: postgres test-packages ## Run the tests with -short
	GOGC=400 $(GO) test -short -timeout 20m -parallel 6 ./...

# internal/cli starts thousands of processes, which takes too long with the race detector on two cores. Vet is left to
# `make lint`.
test-all: go postgres test-packages ## Run all tests, most of them with the race detector if a C compiler is installed
	@race="$(RACE)"; [ -n "$$race" ] || echo 'no C compiler found, so the race detector is off' >&2; \
	set -ex; export GOGC=400; \
	CGO_ENABLED=$${race:+1} GORACE=atexit_sleep_ms=10 $(GO) test $$race -vet=off -timeout 40m -parallel 4 $$($(GO) list ./... | grep -v '/internal/cli$$'); \
	$(GO) test -vet=off -timeout 40m -parallel 6 ./internal/cli

# Some scripts, which run every command. The server programs that are first on PATH are used.
test-smoke: go ## Run some scripts on each supported version of PostgreSQL
	@set -e; export GOGC=400; binary=$$(mktemp); trap 'rm -f '$$binary EXIT; $(GO) test -c -o $$binary ./internal/cli; \
	cd internal/cli; scripts=$$(paste -s -d '|' testdata/smoke.txt); \
	for major in 13 14 15 16 17 18; do \
		programs=$$(../../.ci/postgres $$major); echo "PostgreSQL $$major"; \
		PATH=$$programs:$$PATH $$binary -test.timeout 10m -test.parallel 4 -test.run "TestScripts\$$/^($$scripts)\$$"; \
	done

VERSIONS ?= 13 18
test-versions: go test-packages ## Run all tests on the oldest and the newest PostgreSQL, or on VERSIONS, with all scripts on all generations of tables
	@set -e; export GOGC=400; for major in $(VERSIONS); do \
		programs=$$(.ci/postgres $$major); echo "PostgreSQL $$major"; \
		TEST_ALL_PAIRS=1 PATH=$$programs:$$PATH $(GO) test -timeout 60m -parallel 4 ./...; \
	done

# go says what is missing, and that the first build takes a while.
go:
	@command -v $(GO) >/dev/null || { echo 'Go is missing: install Go 1.26 or later from https://go.dev/dl' >&2; exit 1; }

build: go ## Build bin/cxgctl
	@[ -e $(BIN) ] || echo 'compiling cxgctl, the first time for some minutes' >&2
	$(GO) build -ldflags '$(LDFLAGS)' -o $(BIN) ./cmd/cxgctl

PREFIX ?= /usr/local
install: ## Install bin/cxgctl with man pages, completions and systemd units below DESTDIR and PREFIX (/usr/local)
	@[ -x $(BIN) ] || { echo 'make build first' >&2; exit 1; }
	DESTDIR='$(DESTDIR)' PREFIX='$(PREFIX)' packaging/install $(BIN)

dist: go ## Build archives, packages, an image, an SBOM and checksums in dist/
	VERSION='$(VERSION)' LDFLAGS='$(LDFLAGS)' packaging/dist

postgres: ## Install PostgreSQL's server programs if they are missing
	@.ci/postgres

test-packages: ## Install what the tests need besides PostgreSQL, if it is missing
	@.ci/test-packages

bench: postgres build ## Compare the speed of cxgctl and psql
	$(GO) run ./internal/bench

FUZZTIME ?= 60s
fuzz: postgres ## Run every fuzz target for FUZZTIME (default 60s)
	@set -eo pipefail; for dir in $$(grep -rl --include='*_test.go' '^func Fuzz' . | xargs -n 1 dirname | sort -u); do \
		for target in $$(grep -rhoE --include='*_test.go' '^func Fuzz[A-Za-z0-9_]*' $$dir | cut -c 6- | sort -u); do \
			echo "$$dir $$target"; \
			$(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10x $$dir; \
		done; \
	done

torture: postgres test-packages ## Run the tests of reliability in full form, for hours, and print a table
	@.ci/torture

fmt: ## Format the code
	$(TOOL) golangci-lint fmt

lint: ## Run golangci-lint, which includes go vet and checks formatting (make fmt) and imports
	$(TOOL) golangci-lint run

tidy: ## Fail if go.mod or go.sum would change
	$(GO) mod tidy -diff
	cd .ci/tools && $(GO) mod tidy -diff

check: tidy lint test ## Run all checks required before a commit

clean: ## Remove the binary; the dev database stays
	rm -rf bin dist
