# The image of Sluice: one static binary and nothing else, not even a shell.
#
#   docker build -t sluice:0.1.0 .
#   docker build --platform linux/arm64 --build-arg REVISION=$(git rev-parse HEAD) -t sluice:0.1.0 .
#   docker buildx build --platform linux/amd64,linux/arm64 -t REGISTRY/sluice:0.1.0 --push .
#
# Each platform is built as itself (the other one by emulation, which is slow but needs no cross compiler).
# tests/cluster/image makes the same image from a built binary without any registry.

FROM rust:1.95-bookworm AS build
# For the C parts: jemalloc and the cryptography.
RUN apt-get update \
 && apt-get install --yes --no-install-recommends cmake \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /sluice
COPY . .
# glibc linked in: since 2.34 it resolves names without loading libraries at run time, so a static binary loses nothing.
# The target is named so that the flag holds for the binary only and not for build scripts and macros.
# Kernels for arm64 have pages of 4, 16 or 64 KiB; jemalloc built for the largest runs on all of them.
RUN if [ "$(uname -m)" = aarch64 ]; then export JEMALLOC_SYS_WITH_LG_PAGE=16; fi \
 && target="$(uname -m)-unknown-linux-gnu" \
 && RUSTFLAGS="-C target-feature=+crt-static" cargo build --release --locked --bin sluice --target "$target" \
 && cp "target/$target/release/sluice" /sluice-static \
 && ! readelf --program-headers /sluice-static | grep INTERP

FROM scratch
ARG VERSION=0.1.0
ARG REVISION=""
LABEL org.opencontainers.image.title="sluice" \
      org.opencontainers.image.description="A Kubernetes-native ingress controller with its proxy inside" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /sluice-static /sluice
# A number, because a kubelet can tell from it that this is not root.
USER 65532:65532
# http, and the admin port.
EXPOSE 9000 9901
ENTRYPOINT ["/sluice"]
CMD ["run"]
