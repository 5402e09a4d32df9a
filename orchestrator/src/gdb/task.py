"""How a gdb that works for `orch log` begins: what it is to do, and where answers go."""

import ctypes
import json
import os
import re
import signal
import sys

import gdb

# Nobody waits for answers that an orch which was killed has asked for (prctl(2)).
PR_SET_PDEATHSIG = 1
ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)

with open(os.environ["ORCH_LOG"], encoding="utf-8") as file:
    TASK = json.load(file)
# gdb's own messages are of no interest, those of the stub are.
OUT = os.fdopen(os.dup(1), "w", encoding="utf-8", errors="replace")
os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
