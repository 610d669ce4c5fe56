# Everything a developer, the CI and a newcomer run. It needs Go, make, git and bash; it installs the rest by itself,
# pinned, below .cache (or LUMINATE_CACHE).

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

CACHE := $(abspath $(or $(LUMINATE_CACHE),.cache))
TOOLS := $(abspath $(or $(LUMINATE_TOOLS_DIR),$(CACHE)/bin))
REPORTS := $(CURDIR)/.cache/reports

GO ?= go
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
REVISION := $(shell git rev-parse HEAD 2>/dev/null || echo unknown)
BRANCH := $(shell git rev-parse --abbrev-ref HEAD 2>/dev/null || echo unknown)
VERSION_PACKAGE := github.com/prometheus/common/version
LDFLAGS := -s -w -X $(VERSION_PACKAGE).Version=$(VERSION) -X $(VERSION_PACKAGE).Revision=$(REVISION) -X $(VERSION_PACKAGE).Branch=$(BRANCH)

GOLANGCI_LINT_MODULE := github.com/golangci/golangci-lint/v2
GOLANGCI_LINT_VERSION := v2.15.0
GOLANGCI_LINT := GOLANGCI_LINT_CACHE=$(CACHE)/golangci-lint $(TOOLS)/golangci-lint
PROMETHEUS_MODULE := github.com/prometheus/prometheus
PROMETHEUS_VERSION := $(shell sed -n 's|^require $(PROMETHEUS_MODULE) \(v[0-9.]*\).*|\1|p;s|^\t$(PROMETHEUS_MODULE) \(v[0-9.]*\).*|\1|p' test/tools/go.mod)

PACKAGES ?= ./...
TEST_TIMEOUT ?= 20m
TEST_FLAGS ?=
FUZZTIME ?= 10s
SOAK_TIME ?= 30m
# The least total coverage in percent that test-coverage accepts; empty accepts any.
COVERAGE_FLOOR ?=

# Where tests and the demo find the real Prometheus and promtool.
TEST_ENV := LUMINATE_PROMETHEUS="$(TOOLS)/prometheus" LUMINATE_PROMTOOL="$(TOOLS)/promtool"

# holds succeeds if the program $(1) was built from module $(2) at version $(3).
holds = $(GO) version -m $(TOOLS)/$(1) 2>/dev/null | grep -E '^\s+mod\s+$(2)\s+$(3)\s' >/dev/null

# follow runs the tests with the flags $(2), keeps what they wrote as report $(1), and ends with the counts.
define follow
@mkdir -p $(REPORTS)
$(GO) build -o bin/testsum ./test/sum
$(TEST_ENV) $(GO) test -json -timeout $(TEST_TIMEOUT) $(2) | tee $(REPORTS)/$(1).json | ./bin/testsum
endef

.PHONY: help
help: ## Show the targets
	@awk 'BEGIN { FS = ":.*## " } /^##@ / { print "\n" substr($$0, 5) } /^[a-z-]+:.*## / { printf "  %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

##@ Build and run

.PHONY: build-local
build-local: ## Build the static binary ./bin/luminate
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/luminate ./cmd/luminate

.PHONY: run
run: build-local ## Build and start the server; every LUMINATE_* variable is honoured, data lands in ./data/badger
	@export LUMINATE_STORAGE_BADGER_PATH="$${LUMINATE_STORAGE_BADGER_PATH:-./data/badger}"; exec ./bin/luminate server

.PHONY: demo
demo: build-local tools-prometheus ## Start Luminate beside a real Prometheus and compare their answers
	$(TEST_ENV) LUMINATE=$(CURDIR)/bin/luminate $(GO) run ./test/demo

##@ Test

.PHONY: test
test: tools-prometheus tools-curl ## Run all tests, with a real Prometheus beside; the last line has the counts
	$(call follow,test,$(TEST_FLAGS) $(PACKAGES))

.PHONY: test-race
test-race: tools-prometheus tools-curl ## Run all tests under the race detector (needs a C compiler)
	$(call follow,race,-race $(TEST_FLAGS) $(PACKAGES))

.PHONY: test-coverage
test-coverage: tools-prometheus tools-curl ## Run all tests and write coverage.out and its total
	$(call follow,coverage,-coverprofile=coverage.out -coverpkg=./... $(TEST_FLAGS) $(PACKAGES))
	@total=$$($(GO) tool cover -func=coverage.out | awk '/^total:/ { sub("%", "", $$3); print $$3 }'); \
	echo "total coverage: $$total % (details: go tool cover -html=coverage.out)"; \
	awk -v total="$$total" -v floor='$(or $(COVERAGE_FLOOR),0)' 'BEGIN { if (total < floor) { print "less than COVERAGE_FLOOR=" floor; exit 1 } }'

.PHONY: test-integration
test-integration: tools-prometheus tools-curl ## Run the whole-binary tests afresh
	$(call follow,integration,-count=1 $(TEST_FLAGS) ./test/...)

.PHONY: test-faults
test-faults: ## Run the fault tests at length: 200 kills, 50 power cuts, full disks, damaged files
	LUMINATE_TEST_FAULT_KILLS=$${LUMINATE_TEST_FAULT_KILLS:-200} LUMINATE_TEST_FAULT_CUTS=$${LUMINATE_TEST_FAULT_CUTS:-50} \
		$(GO) test -count=1 -v -timeout 60m $(TEST_FLAGS) ./test/faults

.PHONY: test-soak
test-soak: ## Run a server under steady load for SOAK_TIME (30m) and see whether memory, goroutines and files stay flat
	LUMINATE_TEST_SOAK_TIME=$(SOAK_TIME) $(GO) test -count=1 -v -run '^TestSoak$$' -timeout 0 $(TEST_FLAGS) ./test/faults

.PHONY: test-load
test-load: ## Run the load generator's tests and print what they measure
	$(TEST_ENV) $(GO) test -count=1 -v -timeout 30m $(TEST_FLAGS) ./test/load/...

.PHONY: fuzz
fuzz: ## Run each fuzz target for FUZZTIME (10s)
	@grep -rnoE --include='*_test.go' --exclude-dir=.cache --exclude-dir=node_modules '^func Fuzz[A-Za-z0-9_]*' . \
	| sed -E 's|^\./(.*)/[^/]*_test\.go:[0-9]+:func |./\1 |' | sort -u \
	| while read -r dir name; do \
		echo "fuzz $$dir $$name for $(FUZZTIME)"; \
		$(GO) test -run '^$$' -fuzz "^$$name\$$" -fuzztime $(FUZZTIME) "$$dir" </dev/null; \
	done

.PHONY: bench
bench: ## Run all benchmarks with their allocations
	$(GO) test -run '^$$' -bench . -benchmem -timeout $(TEST_TIMEOUT) $(PACKAGES)

.PHONY: bench-server
bench-server: build-local ## Measure a whole server under remote write (BENCH_FLAGS='-series 1000000 -samples 10 -windows 2')
	$(GO) run ./test/bench -bin $(CURDIR)/bin/luminate $(BENCH_FLAGS)

##@ Keep in order

.PHONY: lint
lint: tools-lint ## Run golangci-lint
	$(GOLANGCI_LINT) run ./...

.PHONY: fmt
fmt: tools-lint ## Format the Go code (gofumpt, grouped imports)
	$(GOLANGCI_LINT) fmt

.PHONY: check
check: tools-lint ## Check format, vet, linters, the rules about the source, and that go.mod is tidy
	$(GOLANGCI_LINT) fmt --diff
	$(GO) vet ./...
	$(GOLANGCI_LINT) run ./...
	$(GO) test -count=1 ./internal/archtest
	$(GO) mod tidy -diff
	cd test/tools && $(GO) mod tidy -diff

.PHONY: generate
generate: ## Write the generated files again
	$(GO) generate ./...

.PHONY: clean
clean: ## Remove what make built, but not the tools
	rm -rf bin coverage.out $(REPORTS)

##@ Tools

.PHONY: tools
tools: tools-lint tools-prometheus ## Install the linter, Prometheus and promtool where they are missing

.PHONY: tools-lint
tools-lint:
	@if ! $(call holds,golangci-lint,$(GOLANGCI_LINT_MODULE),$(GOLANGCI_LINT_VERSION)); then \
		echo "installing golangci-lint $(GOLANGCI_LINT_VERSION) into $(TOOLS) (1-2 minutes)"; \
		GOBIN=$(TOOLS) $(GO) install $(GOLANGCI_LINT_MODULE)/cmd/golangci-lint@$(GOLANGCI_LINT_VERSION); \
	fi

# The tag leaves out service discovery only: some of its modules are not served by the Go module proxy.
.PHONY: tools-prometheus
tools-prometheus:
	@if ! $(call holds,prometheus,$(PROMETHEUS_MODULE),$(PROMETHEUS_VERSION)) || ! $(call holds,promtool,$(PROMETHEUS_MODULE),$(PROMETHEUS_VERSION)); then \
		echo "building Prometheus $(PROMETHEUS_VERSION) and promtool into $(TOOLS) (2-9 minutes, once)"; \
		cd test/tools && GOBIN=$(TOOLS) CGO_ENABLED=0 $(GO) install -tags remove_all_sd \
			-ldflags '-s -w -X $(VERSION_PACKAGE).Version=$(patsubst v0.3%,3.%,$(PROMETHEUS_VERSION))' tool; \
	fi

# The commands on the pages for newcomers are tested, and they use curl.
.PHONY: tools-curl
tools-curl:
	@command -v curl >/dev/null && exit; echo "installing curl"; \
	root=$$([ "$$(id -u)" -eq 0 ] || echo sudo); \
	{ $$root apt-get update -qq && $$root apt-get install -y -qq --no-install-recommends curl; } || { echo "install curl, which the tests need" >&2; exit 1; }
