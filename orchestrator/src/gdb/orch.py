"""gdb commands for recordings of orch. A module of its own: names that users give to functions
of theirs are gdb's `__main__`."""

import json
import os
import re
import subprocess

import gdb

ORCH = os.environ.get("ORCH_BIN", "orch")
# Positions to come back to, and notes: of this gdb, whatever recording it looks at.
MARKS = []
# Whether a function was called, on a copy of the process that is there still.
CALLED = False


def plain(said):
    """What orch's command line said, without what only a shell's user needs."""
    said = re.sub(r"^error: (invalid value '.*?' for '.*?': )?", "", said.strip(), flags=re.DOTALL)
    return said.split("\n\n")[0].strip()


def run(*arguments):
    """Output of an orch command about this session."""
    done = subprocess.run([ORCH, *arguments], capture_output=True, text=True)
    if done.returncode != 0 and not done.stdout:
        raise gdb.GdbError(plain(done.stderr) or "orch failed")
    return done.stdout


def is_connected():
    try:
        return monitor("recording").startswith("p")
    except (gdb.error, gdb.GdbError):
        return False


def monitor(command):
    try:
        return gdb.execute("monitor " + command, to_string=True).strip()
    except gdb.error as e:
        if "not supported by this target" not in str(e):
            raise
        raise gdb.GdbError(
            "no recording is looked at any more; `orch jump p1@start` goes to one"
        ) from None


def called(event):
    global CALLED
    CALLED = True


def settle():
    """Back from a copy that functions were called on to the recorded process."""
    global CALLED
    if not CALLED:
        return
    try:
        CALLED = monitor("settle") == "calling"
        # What the stack held in the copy.
        gdb.execute("maintenance flush dcache", to_string=True)
    except (gdb.error, gdb.GdbError):
        # Nothing is connected any more.
        CALLED = False


def recording():
    return monitor("recording")


def jump(position):
    """Goes to a position, of this recording or another."""
    connected = is_connected()
    if connected and position.split("@")[0] == recording():
        answer = monitor("jump " + position)
        if answer.startswith("orch:"):
            raise gdb.GdbError(answer)
        arrive()
        return
    commands = run("gdb", position, "--commands").splitlines()
    if connected:
        gdb.execute("disconnect", to_string=True)
    for command in commands:
        gdb.execute(command, to_string=not command.startswith("target"))


def arrive():
    """gdb does not know that the world has changed: threads, memory, and libraries."""
    running = int(monitor("thread"))
    # The one that is selected may not be there any more, and so have no registers.
    for thread in gdb.selected_inferior().threads():
        if thread.ptid[1] == running:
            thread.switch()
    gdb.execute("maintenance flush register-cache", to_string=True)
    gdb.execute("maintenance flush dcache", to_string=True)
    if gdb.parameter("auto-solib-add"):
        gdb.execute("sharedlibrary", to_string=True)
    gdb.execute("frame", to_string=False)


def when():
    """The present position."""
    answer = monitor("when")
    if answer.startswith("orch:"):
        raise gdb.GdbError(answer)
    settle()
    return answer


class Orch(gdb.Command):
    """Commands of orch: when, jump POSITION, mark, marks, go N, procs, console."""

    def __init__(self):
        super().__init__("orch", gdb.COMMAND_USER, prefix=True)


class When(gdb.Command):
    """Print the present position in the recording."""

    def __init__(self):
        super().__init__("orch when", gdb.COMMAND_USER)

    def invoke(self, argument, from_tty):
        print(when())


class Jump(gdb.Command):
    """Go to a position: orch jump p5@20000. Breakpoints are kept."""

    def __init__(self):
        super().__init__("orch jump", gdb.COMMAND_USER)

    def invoke(self, argument, from_tty):
        if not argument:
            raise gdb.GdbError("say where: orch jump p5@20000")
        jump(argument.strip())


class Mark(gdb.Command):
    """Remember the present position: orch mark [NOTE]. orch go N comes back to it."""

    def __init__(self):
        super().__init__("orch mark", gdb.COMMAND_USER)

    def invoke(self, argument, from_tty):
        MARKS.append((when(), place(), argument.strip()))
        show(len(MARKS))


class Marks(gdb.Command):
    """Print the positions that orch mark has remembered."""

    def __init__(self):
        super().__init__("orch marks", gdb.COMMAND_USER)

    def invoke(self, argument, from_tty):
        if not MARKS:
            print("no marks; orch mark [NOTE] makes one")
        for n in range(len(MARKS)):
            show(n + 1)


class Go(gdb.Command):
    """Go to a mark: orch go N, in this recording or another. Breakpoints are kept."""

    def __init__(self):
        super().__init__("orch go", gdb.COMMAND_USER)

    def invoke(self, argument, from_tty):
        try:
            n = int(argument)
        except ValueError:
            raise gdb.GdbError("say which: orch go N; orch marks lists them") from None
        if not 1 <= n <= len(MARKS):
            raise gdb.GdbError("there is no mark %d; orch marks lists them" % n)
        jump(MARKS[n - 1][0])


def place():
    """The function and line of the newest frame, as far as they are known."""
    try:
        frame = gdb.newest_frame()
        line = frame.find_sal()
    except gdb.error:
        return ""
    words = ["in " + frame.name()] if frame.name() else []
    if line.symtab:
        words.append("at %s:%d" % (os.path.basename(line.symtab.filename), line.line))
    return " ".join(words)


def show(n):
    position, where, note = MARKS[n - 1]
    print("%3d  %s" % (n, "  ".join(part for part in (position, where, note) if part)))


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
    """Who wrote memory: ublame EXPR [-all] [-jump N].

EXPR is an lvalue, or a number: an address of 8 bytes. Rows are those up to the present
position; with -all, also those behind it. -jump N goes to where row N happened, in this
recording or another."""

    def __init__(self):
        super().__init__("ublame", gdb.COMMAND_DATA, gdb.COMPLETE_EXPRESSION)

    def invoke(self, argument, from_tty):
        expression, everything, n = blamed(argument)
        value = gdb.parse_and_eval(expression)
        if value.address is not None:
            address, size = int(value.address), value.type.sizeof
        else:
            address, size = int(value), 8
        where = "%s:%#x" % (recording(), address)
        arguments = ["ublame", where, "--len", str(size)]
        if not everything:
            arguments += ["--before", when()]
        rows = [json.loads(line) for line in run(*arguments, "--json").splitlines()]
        if n is not None:
            if not 1 <= n <= len(rows):
                raise gdb.GdbError("there is no row %d; ublame lists them" % n)
            jump(rows[n - 1]["position"])
            return
        table = run(*arguments).splitlines()
        # The heading, and then as many lines as there are rows.
        heading = len(table) - len(rows)
        for n, line in enumerate(table):
            number = "" if n < heading else str(n - heading + 1)
            print("%4s %s" % (number, line))


def blamed(argument):
    """What ublame is asked for: the expression, whether all rows are meant, and which one."""
    rest, everything, n = argument.strip(), False, None
    while True:
        words = rest.split()
        if words[-1:] == ["-all"]:
            everything, rest = True, rest.rsplit(None, 1)[0] if len(words) > 1 else ""
        elif "-jump" in words[-2:]:
            if words[-1] == "-jump" or not words[-1].isdecimal():
                raise gdb.GdbError("-jump goes to a row by its number: ublame EXPR -jump 2")
            n, rest = int(words[-1]), rest.rsplit(None, 2)[0] if len(words) > 2 else ""
        elif rest:
            return rest, everything, n
        else:
            raise gdb.GdbError("say what: ublame EXPR [-all] [-jump N]")


# What catches what another recording goes on with, and the calls that may do that.
MAKES = {
    "fork": "fork clone clone3",
    "vfork": "vfork clone clone3",
    "exec": "execve execveat",
}
# Those that were asked for.
CAUGHT = set()


def made():
    """What the system call that the recording stands at makes, and that in words."""
    kind, _, words = monitor("made").partition(" ")
    return kind, words


class Made(gdb.Function):
    """$_orch_made("fork"): whether it stands at a system call that made a process by fork;
    likewise "vfork", and "exec", which is about to run another program."""

    def __init__(self):
        super().__init__("_orch_made")

    def invoke(self, kind):
        return made()[0] == kind.string()


class Catch(gdb.Command):
    """Catch what another recording goes on with. A condition may follow: if EXPR."""

    def __init__(self, catch, kind):
        super().__init__("%s %s" % (catch, kind), gdb.COMMAND_BREAKPOINTS)
        self.catch, self.kind = catch, kind

    def invoke(self, argument, from_tty):
        words = argument.split(None, 1)
        if words and (words[0] != "if" or len(words) == 1):
            raise gdb.GdbError("only a condition may follow: %s %s if EXPR" % (self.catch, self.kind))
        condition = '$_orch_made("%s")' % self.kind
        if words:
            condition += " && (%s)" % words[1]
        gdb.execute("%s syscall %s" % (self.catch, MAKES[self.kind]), to_string=True)
        number = int(gdb.parse_and_eval("$bpnum"))
        gdb.execute("condition %d %s" % (number, condition))
        CAUGHT.add(self.kind)
        print("Catchpoint %d (%s)" % (number, self.kind))


def caught(event):
    if CAUGHT and isinstance(event, gdb.BreakpointEvent):
        kind, words = made()
        if kind in CAUGHT:
            print(words)


for kind in MAKES:
    Catch("catch", kind)
    Catch("tcatch", kind)
Made()
gdb.events.stop.connect(caught)
for command in (Orch, When, Jump, Mark, Marks, Go, Procs, Console, Ublame):
    command()
gdb.events.inferior_call.connect(called)
gdb.events.before_prompt.connect(settle)
