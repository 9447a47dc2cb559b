# One binary in a small image; SQLite in /data/tidings.db unless DATABASE_URL or DATABASE_URL_FILE says otherwise.
#   docker build -t tidings . && docker run -p 8000:8000 -v tidings:/data tidings

FROM node:22-bookworm-slim AS pages
WORKDIR /src/static
COPY static/package.json static/package-lock.json static/.npmrc ./
RUN npm ci
COPY static/ ./
RUN node build.mjs

FROM rust:1-bookworm AS build
RUN apt-get update && apt-get install -y --no-install-recommends libpq-dev && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY Cargo.toml Cargo.lock build.rs ./
COPY .cargo/ .cargo/
COPY src/ src/
COPY migrations/ migrations/
COPY benches/ benches/
COPY tests/integration/ tests/integration/
# Built pages are newer than their sources, so Node.js is not asked for again.
COPY static/ static/
COPY --from=pages /src/static/dist/ static/dist/
RUN find static/dist -type f -exec touch {} + && cargo build --release --locked --bin tidings

FROM debian:bookworm-slim
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates libpq5 && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --home-dir /data --create-home tidings
COPY --from=build /src/target/release/tidings /usr/local/bin/tidings
USER tidings
WORKDIR /data
VOLUME /data
# The default database is tidings.db in the working directory.
ENV TIDINGS_LISTEN=0.0.0.0:8000
EXPOSE 8000
STOPSIGNAL SIGTERM
ENTRYPOINT ["tidings"]
