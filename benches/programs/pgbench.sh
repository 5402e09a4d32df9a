#!/bin/sh
# A PostgreSQL server and 4 clients with 1,000 transactions each. PostgreSQL
# does not run as root: then it is `nobody` who does.
if [ "$(id -u)" = 0 ]; then
    exec setpriv --reuid=nobody --regid=nogroup --clear-groups env HOME=/tmp "$0"
fi
PATH=$(ls -d /usr/lib/postgresql/*/bin | tail -1):$PATH LC_ALL=C
export PATH LC_ALL
dir=$(mktemp -d) && cd "$dir" || exit
initdb -D data -A trust -N >initdb.log 2>&1 &&
    pg_ctl -D data -l log -w -o "-k $dir -h '' -c fsync=off" start >/dev/null &&
    pgbench -h "$dir" -i -q postgres 2>/dev/null >/dev/null &&
    pgbench -h "$dir" -c4 -j2 -t1000 postgres >bench.log 2>&1 &&
    pg_ctl -D data -w -m fast stop >/dev/null || exit
rm -rf "$dir"
