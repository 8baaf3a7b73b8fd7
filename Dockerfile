# The image of Logphase: docker build -t logphase .
#
# Runs without root, with a root file system that may be read-only, and keeps its queues in the volume /var/lib/logphase. Mount the
# folder with your configuration at /etc/logphase; without one, messages go to standard output.

FROM node:22-bookworm-slim AS page
WORKDIR /web
COPY web/package.json web/package-lock.json ./
RUN npm ci --ignore-scripts --no-audit --no-fund
COPY web .
RUN npm run build

FROM rust:1-bookworm AS build
WORKDIR /src
COPY . .
COPY --from=page /web/dist web/dist
RUN cargo build --locked --profile dist --bin logphase \
    && mkdir /doc \
    && packaging/components notices > /doc/NOTICES.md \
    && packaging/components sbom > /doc/logphase.cdx.json

FROM debian:bookworm-slim
# The libraries that the program is linked to, and the certificates that it trusts.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates libssl3 libstdc++6 \
    && rm -rf /var/lib/apt/lists/* \
    && install -d -o 65532 -g 65532 -m 0700 /var/lib/logphase
COPY --from=build /src/target/dist/logphase /usr/local/bin/logphase
COPY packaging/container/kong.yml /etc/logphase/kong.yml
COPY LICENSE /usr/share/doc/logphase/
COPY --from=build /doc /usr/share/doc/logphase

# A setting is named like its variable: LOGPHASE_HTTP_LISTEN is inputs.http.listen. In a container, an address of its own is the only one
# that others reach.
ENV LOGPHASE_CONFIG=/etc/logphase/kong.yml \
    LOGPHASE_DATA_DIR=/var/lib/logphase \
    LOGPHASE_HTTP_LISTEN=0.0.0.0:9080 \
    LOGPHASE_STATUS_LISTEN=0.0.0.0:8007
USER 65532:65532
VOLUME /var/lib/logphase
EXPOSE 9080 8007
HEALTHCHECK --interval=10s --timeout=6s --start-period=60s CMD ["/usr/local/bin/logphase", "health"]
ENTRYPOINT ["/usr/local/bin/logphase"]
CMD ["run"]
