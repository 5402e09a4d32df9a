#!/bin/sh
# A Redis server and 200,000 requests of its own benchmark.
dir=$(mktemp -d) && cd "$dir" || exit
redis-server --port 0 --unixsocket "$dir/socket" --save '' --daemonize yes --pidfile "$dir/pid" >/dev/null
until redis-cli -s "$dir/socket" ping >/dev/null 2>&1; do sleep 0.02; done
redis-benchmark -s "$dir/socket" -n 100000 -t get,set -q >/dev/null
redis-cli -s "$dir/socket" shutdown nosave
rm -rf "$dir"
