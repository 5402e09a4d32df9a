#!/bin/sh
# Starts the whole system: the queue, two workers, the report, and the jobs.
cd "$(dirname "$0")" || exit
bin=${BIN:-build}
export QUEUE="${QUEUE:-/job-queue}"
"$bin/create" || exit
trap 'rm -f "/dev/shm$QUEUE"' EXIT
"$bin/work" & one=$!
"$bin/work" & two=$!
"$bin/report" & report=$!
"$bin/submit" <jobs.txt
wait $one $two
wait $report
