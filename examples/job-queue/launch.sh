#!/bin/sh
# Starts the whole system: the queue, two workers, the report, and the jobs.
here=$(cd "$(dirname "$0")" && pwd)
bin=${BIN:-$here/build}
"$bin/create" || exit
trap 'rm -f /dev/shm/job-queue' EXIT
"$bin/work" & one=$!
"$bin/work" & two=$!
"$bin/report" & report=$!
"$bin/submit" <"$here/jobs.txt"
wait $one $two
wait $report
