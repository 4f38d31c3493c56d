# `make demo` shows what cxgctl does, `make test` proves it. Both bring PostgreSQL's programs along
# (.ci/postgres) where they are missing; the tests bring a pooler too (.ci/pgbouncer).

SHELL := /bin/bash
GO    ?= go
TOOL  := $(GO) tool -modfile=.ci/tools/go.mod

# The version comes from git below. Go's own stamp fails the build where git distrusts the folder's owner.
export GOFLAGS := $(GOFLAGS) -buildvcs=false

VERSION := $(shell git describe --tags --always --dirty 2>/dev/null)
COMMIT  := $(shell git rev-parse --short HEAD 2>/dev/null)
DATE    := $(shell git log -1 --format=%cI 2>/dev/null)
# The older collector keeps less beside the heap: 40 page faults of a start's 600, and most commands only start.
EXPERIMENT := nogreenteagc
BIN     := bin/cxgctl
LDFLAGS := -s -w -X github.com/cxgctl/cxgctl/internal/cli.Version=$(VERSION) \
	-X github.com/cxgctl/cxgctl/internal/cli.Commit=$(COMMIT) -X github.com/cxgctl/cxgctl/internal/cli.Date=$(DATE)

# The race detector needs a C compiler with its headers: "-race" or nothing.
RACE = $(shell [ "$$($(GO) env CGO_ENABLED)" = 1 ] && echo 'int main(void) { return 0; }' | \
	$$($(GO) env CC) -include stdlib.h -fsyntax-only -x c - 2>/dev/null && echo -race)

.PHONY: help demo test test-all build postgres pgbouncer bench fuzz fmt lint tidy check clean

help: ## Say what there is to make
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: postgres build ## Build, start a PostgreSQL, and do the main job before your eyes
	@.ci/demo

# -short makes tests that repeat do so less. Four tests run at once, since many of them wait for servers and time-outs.
test: postgres pgbouncer ## Run the tests in their short form
	GOGC=400 $(GO) test -short -timeout 20m -parallel 4 ./...

# internal/cli starts thousands of processes, which take too long under the race detector on two cores.
test-all: postgres pgbouncer ## Run the tests in full, most of them with the race detector where there is a C compiler
	@race="$(RACE)"; [ -n "$$race" ] || echo 'no C compiler here, so the race detector is off' >&2; \
	set -ex; export GOGC=400; \
	GORACE=atexit_sleep_ms=10 $(GO) test $$race -timeout 40m -parallel 4 $$($(GO) list ./... | grep -v '/internal/cli$$'); \
	$(GO) test -timeout 40m -parallel 4 ./internal/cli

build: ## Build bin/cxgctl
	GOEXPERIMENT=$(EXPERIMENT) CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o $(BIN) ./cmd/cxgctl

postgres: ## Find PostgreSQL's server programs, or install them
	@.ci/postgres

pgbouncer: ## Install PgBouncer, which the tests stand before the server
	@.ci/pgbouncer

bench: postgres build ## Measure cxgctl against psql, side by side
	$(GO) run ./internal/bench

FUZZTIME ?= 60s
fuzz: postgres ## Let every fuzz target run for FUZZTIME (default 60s)
	@set -eo pipefail; for dir in $$(grep -rl --include='*_test.go' '^func Fuzz' . | xargs -n 1 dirname | sort -u); do \
		for target in $$(grep -rhoE --include='*_test.go' '^func Fuzz[A-Za-z0-9_]*' $$dir | cut -c 6- | sort -u); do \
			echo "$$dir $$target"; \
			$(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10x $$dir; \
		done; \
	done

fmt: ## Format the code
	$(TOOL) golangci-lint fmt

lint: ## Vet and lint, import walls included
	$(GO) vet ./...
	$(TOOL) golangci-lint run

tidy: ## Fail if go.mod or go.sum would change
	$(GO) mod tidy -diff
	cd .ci/tools && $(GO) mod tidy -diff

check: tidy lint test ## Everything that has to pass before a commit

clean: ## Remove what was built; the development database stays
	rm -rf bin
