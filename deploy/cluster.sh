#!/usr/bin/env bash
# Runs PostgreSQL and four instances on 127.0.0.1:3001 to 3004 in one terminal; Ctrl-C stops all of them. The data stays
# in DIRECTORY (/tmp/tidings-cluster-USER) for the next run. `make cluster` builds the binary and runs this script.
set -euo pipefail
cd "$(dirname "$0")/.."
BINARY=$PWD/${BINARY:-target/release/tidings}
DIRECTORY=${DIRECTORY:-/tmp/tidings-cluster-$(id -un)}
POSTGRES_PORT=${POSTGRES_PORT:-3000}
PORTS=${PORTS:-3001 3002 3003 3004}

initdb=$(ls -d /usr/lib/postgresql/*/bin/initdb 2>/dev/null | sort -V | tail -1 || true)
initdb=${initdb:-$(command -v initdb || true)}
[ -n "$initdb" ] || { echo 'PostgreSQL is missing: make setup' >&2; exit 1; }
programs=$(dirname "$initdb")
# PostgreSQL refuses to run as root. In that case it runs as the user that its package created.
unprivileged=()
[ "$(id -u)" != 0 ] || unprivileged=(setpriv --reuid postgres --regid postgres --clear-groups)

mkdir -p "$DIRECTORY"
if [ ! -d "$DIRECTORY/data" ]; then
    mkdir "$DIRECTORY/data"
    [ "$(id -u)" != 0 ] || chown postgres "$DIRECTORY/data"
    (cd "$DIRECTORY/data" && "${unprivileged[@]}" "$initdb" -A trust -U tidings -D "$DIRECTORY/data" >/dev/null)
fi
[ -s "$DIRECTORY/secret" ] || (umask 077 && head -c 32 /dev/urandom | base64 >"$DIRECTORY/secret")

# Stop everything that this script started, the database last, whatever ends the script.
instances=() postgres=
stop() {
    trap - EXIT
    for started in "${instances[@]}" $postgres; do kill -INT "$started" 2>/dev/null || true; done
    wait
}
trap stop EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

cd "$DIRECTORY/data"
"${unprivileged[@]}" "$programs/postgres" -D "$DIRECTORY/data" -p "$POSTGRES_PORT" -h 127.0.0.1 -k '' \
    >"$DIRECTORY/postgres.log" 2>&1 &
postgres=$!
cd "$DIRECTORY"
client=(-h 127.0.0.1 -p "$POSTGRES_PORT" -U tidings)
until "$programs/pg_isready" -q "${client[@]}"; do
    kill -0 "$postgres" 2>/dev/null || { echo "PostgreSQL does not start: see $DIRECTORY/postgres.log" >&2; exit 1; }
    sleep 0.1
done
"$programs/createdb" "${client[@]}" tidings 2>/dev/null || true

export DATABASE_URL=postgres://tidings@127.0.0.1:$POSTGRES_PORT/tidings
TIDINGS_JWT_SECRET=$(cat "$DIRECTORY/secret")
export TIDINGS_JWT_SECRET
"$BINARY" demo 2>/dev/null || echo "the database is not empty: \`tidings token NAME\` prints the token of a user"
for port in $PORTS; do
    TIDINGS_LISTEN=127.0.0.1:$port "$BINARY" serve > >(sed -u "s/^/$port  /") 2>&1 &
    instances+=($!)
done
# Wait until one of them ends.
wait -n "${instances[@]}" "$postgres" || true
echo 'an instance or PostgreSQL has ended: stopping the others' >&2
