#!/bin/sh
# Demonstrates Logphase: starts it with its built-in configuration (kong.yml beside this script), sends a few
# transactions as a proxy would, prints the resulting messages, and keeps Logphase running until Ctrl-C.
#
#   examples/quickstart/run.sh [PROGRAM]      PROGRAM defaults to target/release/logphase
#
# LOGPHASE_DATA_DIR    directory for the messages; default .data
# LOGPHASE_HTTP_LISTEN address to listen on; default 127.0.0.1:9080
# LOGPHASE_PAGE_LISTEN address of the page; default 127.0.0.1:8002, if it is free
# RUN_FOR              seconds to keep the service running; default until Ctrl-C
set -eu

program=${1:-target/release/logphase}
here=$(dirname "$0")
data=${LOGPHASE_DATA_DIR:-.data}
address=${LOGPHASE_HTTP_LISTEN:-127.0.0.1:9080}
export LOGPHASE_DATA_DIR="$data" LOGPHASE_HTTP_LISTEN="$address"
messages=$data/messages.log
shown=3
service=""

fail() {
    echo "$0: $*" >&2
    exit 1
}

# Stops the service when this script ends for any reason, and waits for its last output.
finish() {
    status=$?
    trap '' INT TERM HUP
    if [ -n "$service" ]; then
        kill -TERM "$service" 2>/dev/null || true
        wait "$service" 2>/dev/null || true
    fi
    exit "$status"
}
trap finish EXIT
# Ctrl-C is the normal way to end this script.
trap 'exit 0' INT
trap 'exit 143' TERM
trap 'exit 129' HUP

# Retries a command until it succeeds, for at most ten seconds.
await() {
    tries=100
    until "$@"; do
        kill -0 "$service" 2>/dev/null || fail "the service exited; its output is above"
        tries=$((tries - 1))
        [ "$tries" -gt 0 ] || fail "gave up after 10 s waiting for: $*"
        sleep 0.1
    done
}

answers_at() { curl -s -o /dev/null --max-time 2 "$1"; }
lines() { if [ -f "$messages" ]; then wc -l <"$messages"; else echo 0; fi; }
answers() { answers_at "http://$address/"; }
delivered() { [ "$(lines)" -ge "$((before + shown))" ]; }

if answers; then
    fail "another process already listens on $address; stop it, or set LOGPHASE_HTTP_LISTEN to another HOST:PORT"
fi
# Kong Manager has the same port.
page=${LOGPHASE_PAGE_LISTEN-127.0.0.1:8002}
if [ -n "$page" ] && answers_at "http://$page/"; then
    page=""
fi
export LOGPHASE_PAGE_LISTEN="$page"
mkdir -p "$data"
before=$(lines)

"$program" run &
service=$!
await answers

echo
echo "--- $shown transactions go in, as Kong's http-log would send them:"
head -n "$shown" "$here/../transactions.ndjson" |
    curl -sS --fail-with-body --data-binary @- -H 'Content-Type: application/x-ndjson' "http://$address/"
echo

await delivered
new() { tail -n "+$((before + 1))" "$messages" | head -n "$shown"; }
echo
echo "--- and come out as messages in $messages. The first message:"
if command -v jq >/dev/null 2>&1; then
    new | head -n 1 | jq .
    echo
    echo "--- the other messages, shortened, with the fields that Lua added:"
    new | tail -n +2 |
        jq '{request: {method: .request.method, uri: .request.uri}, response: {status: .response.status},
             client_kind, api_version, error} | with_entries(select(.value != null))'
else
    new
fi

cat <<END

--- The service is up on http://$address. In another terminal, send one of your own and see it arrive:

    curl -s http://$address/ -d '{"request":{"method":"GET","uri":"/hello","headers":{"user-agent":"me/1.0"}},"response":{"status":500}}'
    tail -n 1 $messages

END
# A program that was built without the page answers 503.
if [ -n "$page" ] && curl -s -f -o /dev/null --max-time 2 "http://$page/"; then
    printf -- '--- The page, with the messages, a playground and more: http://%s/\n\n' "$page"
fi

if [ -z "${RUN_FOR:-}" ]; then
    echo "Ctrl-C ends it."
    wait "$service"
else
    # Sleep in the background, so that the shell handles a signal at once.
    sleep "$RUN_FOR" &
    wait $!
fi
