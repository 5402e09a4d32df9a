#!/bin/sh
# One program, which starts the others itself.
cd "$(dirname "$0")" || exit
exec "${PYTHON:-python3}" count.py
