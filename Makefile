# Muster. "make help" lists what there is.
SHELL := /bin/bash
GO    ?= go
OUT   ?= out
BIN   := $(OUT)/bin

# The linter is built once and kept beside Go's own cache.
LINT_VERSION := v2.15.0
LINT_DIR     := $(shell $(GO) env GOCACHE)/../muster-lint-$(LINT_VERSION)
LINT         := $(LINT_DIR)/golangci-lint

.PHONY: help build conform mutants soak test race fuzz bench bench-cloud fleet-million kill cluster lint fmt tidy check

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | column -t -s "$$(printf '\t')"

build: ## build the program: out/bin/muster
	@mkdir -p $(BIN)
	$(GO) build -o $(BIN)/muster .

conform: build ## 1,000 simulated devices against the reference cloud; reports in out/
	$(BIN)/muster conform --out $(OUT) $(ARGS)

mutants: build ## break cloud and devices in every known way; who finds it is shown
	$(BIN)/muster mutants $(ARGS)

RUNS ?= 20
soak: build ## the unbroken pair, RUNS times, each with another seed and order; stops at the first that is not clean
	@for i in $$(seq $(RUNS)); do \
	  $(BIN)/muster conform --shuffle --devices 150 --out $(OUT)/soak $(ARGS) > $(OUT)/soak.txt 2>/dev/null || { tail -40 $(OUT)/soak.txt; exit 1; }; \
	  echo "$$i: $$(grep '^muster conform:' $(OUT)/soak.txt)"; \
	done

# Most tests wait most of the time, for timers and for other processes: so many packages
# run side by side, and so many tests of one that may.
AT_ONCE ?= 2
BESIDE  := -p $(AT_ONCE) -parallel $(AT_ONCE)

test: ## all tests
	$(GO) test -shuffle=on $(BESIDE) -timeout 40m ./...

race: ## tests of the parts that have goroutines, with the race detector
	$(GO) test -race -short $(BESIDE) -timeout 40m ./transport/... ./cloudref/... ./harness/... $(addprefix ./sim/,command fleet fleetmetrics loadtest selfwatch view workers)

# Each target of T seconds. Crashers go to testdata/fuzz and are committed.
T ?= 10s
fuzz: ## every fuzz target for T (default 10s)
	@set -e; for pkg in $$($(GO) list ./...); do \
	  for target in $$($(GO) test -list '^Fuzz' $$pkg | grep '^Fuzz' || true); do \
	    echo "$$pkg $$target"; $(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(T) $$pkg; \
	  done; \
	done

bench: ## the numbers, with floor and pion side by side in the same run
	$(GO) test ./harness/bench -run '^TestNumbers$$' -count=1 -v -timeout 10m -args -numbers

bench-cloud: ## events to stream readers, API calls, and a start with a million sessions
	$(GO) test ./harness/bench -run '^TestCloudNumbers$$' -count=1 -v -timeout 30m -args -numbers

# With 1,000,000 devices: some half an hour on two quiet cores, 11 GiB of memory, 3 GiB of disk below OUT.
N ?= 1000000
fleet-million: build ## N live DTLS devices (default 1000000) against the cloud, which is killed and started; 10,000 first is wise
	$(GO) test ./harness/bench -run '^TestMillion$$' -count=1 -v -timeout 4h -args -devices $(N) \
	  -muster $(abspath $(BIN))/muster -data $(abspath $(OUT))/million -out $(abspath $(OUT))/million-$(N).json $(ARGS)

.PHONY: fleet-workers
fleet-workers: ## 3,000 devices on three workers over NATS, one killed under load; the report against what the cloud counted
	$(GO) test ./harness/fleets -run '^TestFleetWorkers$$' -count=1 -v -timeout 20m -args -workers-devices 3000 -workers-length 60s

KILLS ?= 300
kill: ## kill -9 the store and the cloud KILLS times each (default 300) and count what they had promised
	$(GO) test ./cloudref/store -run '^TestKill$$' -count=1 -v -timeout 60m -args -kills $(KILLS)
	$(GO) test ./cloudref -run '^TestKillCommand$$' -count=1 -v -timeout 60m -args -kills $(KILLS)

cluster: ## a cloud of three nodes on three NATS servers, one of each killed under load
	$(GO) test ./cloudref -run '^TestThreeNodes$$' -count=1 -v -timeout 20m -args -cluster

usb: ## USB code before Linux's own bus and the real dfu-util, in a virtual machine
	rigs/rigtest/vm.sh

lint: $(LINT) ## golangci-lint with .golangci.yml
	$(LINT) run --allow-parallel-runners ./...

$(LINT):
	@mkdir -p $(LINT_DIR)
	GOBIN=$(LINT_DIR) $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(LINT_VERSION)

fmt: $(LINT) ## format
	$(LINT) fmt ./...

tidy: ## fail if go.mod or the formatting is not in order
	$(GO) mod tidy -diff
	@unformatted=$$(gofmt -l .); if [ -n "$$unformatted" ]; then echo "not formatted, run make fmt:" $$unformatted >&2; exit 1; fi

check: tidy lint test ## what the gate runs, but for the peers and the conform run
