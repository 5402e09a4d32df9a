"""gdb commands for recordings of orch (sourced by `orch gdb`)."""

import json
import os
import subprocess

import gdb

ORCH = os.environ.get("ORCH_BIN", "orch")


def run(*arguments):
    """Output of an orch command about this session."""
    done = subprocess.run([ORCH, *arguments], capture_output=True, text=True)
    if done.returncode != 0 and not done.stdout:
        raise gdb.GdbError(done.stderr.strip() or "orch failed")
    return done.stdout


def monitor(command):
    return gdb.execute("monitor " + command, to_string=True).strip()


def recording():
    return monitor("recording")


def jump(position):
    """Goes to a position, of this recording or another."""
    if position.split("@")[0] == recording():
        answer = monitor("jump " + position)
        if answer.startswith("orch:"):
            raise gdb.GdbError(answer)
        # gdb does not know that the world has changed.
        gdb.execute("maintenance flush register-cache", to_string=True)
        gdb.execute("maintenance flush dcache", to_string=True)
        gdb.execute("frame", to_string=False)
        return
    commands = run("gdb", position, "--commands").splitlines()
    gdb.execute("disconnect", to_string=True)
    for command in commands:
        gdb.execute(command, to_string=not command.startswith("target"))


class Orch(gdb.Command):
    """Commands of orch: when, jump POSITION, procs, console."""

    def __init__(self):
        super().__init__("orch", gdb.COMMAND_USER, prefix=True)


class When(gdb.Command):
    """Print the present position in the recording."""

    def __init__(self):
        super().__init__("orch when", gdb.COMMAND_USER)

    def invoke(self, argument, from_tty):
        print(monitor("when"))


class Jump(gdb.Command):
    """Go to a position: orch jump p5@20000. Breakpoints are kept."""

    def __init__(self):
        super().__init__("orch jump", gdb.COMMAND_USER)

    def invoke(self, argument, from_tty):
        if not argument:
            raise gdb.GdbError("say where: orch jump p5@20000")
        jump(argument.strip())


class Procs(gdb.Command):
    """Print the processes of the session."""

    def __init__(self):
        super().__init__("orch procs", gdb.COMMAND_USER)

    def invoke(self, argument, from_tty):
        print(run("ls"), end="")


class Console(gdb.Command):
    """Print what the session printed."""

    def __init__(self):
        super().__init__("orch console", gdb.COMMAND_USER)

    def invoke(self, argument, from_tty):
        print(run("console"), end="")


class Ublame(gdb.Command):
    """Who wrote memory: ublame EXPR [-jump N].

EXPR is an lvalue, or a number: an address of 8 bytes. -jump N goes to where
row N happened, in this recording or another."""

    def __init__(self):
        super().__init__("ublame", gdb.COMMAND_DATA, gdb.COMPLETE_EXPRESSION)

    def invoke(self, argument, from_tty):
        words = argument.split(" -jump ")
        if not words[0].strip():
            raise gdb.GdbError("say what: ublame EXPR [-jump N]")
        value = gdb.parse_and_eval(words[0])
        if value.address is not None:
            address, size = int(value.address), value.type.sizeof
        else:
            address, size = int(value), 8
        where = "%s:%#x" % (recording(), address)
        arguments = ["ublame", where, "--len", str(size)]
        rows = [json.loads(line) for line in run(*arguments, "--json").splitlines()]
        if len(words) == 2:
            n = int(words[1])
            if not 1 <= n <= len(rows):
                raise gdb.GdbError("there are %d rows" % len(rows))
            jump(rows[n - 1]["position"])
            return
        table = run(*arguments).splitlines()
        # The heading, and then as many lines as there are rows.
        heading = len(table) - len(rows)
        for n, line in enumerate(table):
            number = "" if n < heading else str(n - heading + 1)
            print("%4s %s" % (number, line))


for command in (Orch, When, Jump, Procs, Console, Ublame):
    command()
