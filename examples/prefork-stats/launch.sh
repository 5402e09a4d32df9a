#!/bin/sh
# Starts the whole system: the server, which forks its workers, and two clients.
cd "$(dirname "$0")" || exit
bin=${BIN:-build}
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
"$bin/server" "$place/socket" & server=$!
"$bin/client" "$place/socket" / /old /missing & client=$!
"$bin/client" "$place/socket" / /broken
wait $client
kill -TERM $server
wait $server
