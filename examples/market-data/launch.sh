#!/bin/sh
# Starts the whole system: the ring, a reader, and an exchange, then another one.
cd "$(dirname "$0")" || exit
bin=${BIN:-build}
export RING="${RING:-/quotes}"
"$bin/create" || exit
trap 'rm -f "/dev/shm$RING"' EXIT
"$bin/read" & reader=$!
"$bin/publish" 10000 & one=$!
"$bin/publish" 10020 & two=$!
wait $one $two
wait $reader
