# make alone builds, tests and lints.

.PHONY: all build test race lint fuzz e2e ci clean

all: build test lint

build:
	go build -trimpath -o bin/wxproxy ./cmd/wxproxy

test:
	go test ./...

race:
	go test -race ./...

# 77: govulncheck could not reach its database, and said so.
lint:
	go vet ./...
	"$$(.ci/tool golangci-lint)" run ./...
	.ci/vuln || [ $$? -eq 77 ]

fuzz:
	.ci/fuzz

e2e:
	.ci/e2e

ci:
	.ci/run

clean:
	rm -rf bin e2e/node/node_modules
