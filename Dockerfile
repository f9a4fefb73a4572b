# syntax=docker/dockerfile:1
#
#   docker build -t wxproxy:dev .                 for this machine
#   docker buildx bake                            for amd64 and arm64
#
# In China: --build-arg GOPROXY=https://goproxy.cn,direct
FROM --platform=$BUILDPLATFORM golang:1.26 AS build
ARG TARGETOS TARGETARCH GOPROXY
WORKDIR /src
COPY go.mod go.sum ./
RUN --mount=type=cache,target=/go/pkg/mod go mod download
COPY . .
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/cache \
    GOCACHE=/cache CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH go build -trimpath -ldflags='-s -w' -o /wxproxy ./cmd/wxproxy

# Nothing but the binary and the certificates that sign WeChat Pay's: no shell,
# no libraries, nothing that is written to.
FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /wxproxy /wxproxy
USER 65532:65532
ENTRYPOINT ["/wxproxy"]
