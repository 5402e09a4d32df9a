#!/usr/bin/env bash
# A small system of several processes, whose result nobody can know beforehand:
# two programs with four threads each (C), which take random values at random
# times, send them through awk to a collector (Python) over a socket.
# SENSORS names a directory with the compiled program, PYTHON the interpreter.
set -euo pipefail
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python=${PYTHON:-python3} sensors=${SENSORS:-$work}
[ -n "${SENSORS:-}" ] || gcc -O2 -pthread -o "$work/sensors" sensors.c

"$python" collect.py "$work/socket" &
collector=$!
while [ ! -S "$work/socket" ]; do sleep 0.01; done

send() {
    "$sensors/sensors" | awk -v site="$1" '{ print $1, site "/" $2, $3; fflush() }' |
        "$python" -c 'import socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
for line in sys.stdin.buffer: s.sendall(line)' "$work/socket"
}
send harbour &
first=$!
send airport
wait $first
kill -TERM $collector
wait $collector
