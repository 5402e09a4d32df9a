
"""What gdb does for `orch log`: evaluates expressions wherever `monitor hit` stops.

Objects, one a line, go to the standard output that it was started with."""

# The address in front of a string that a pointer leads to.
ADDRESS = re.compile(r"^0x[0-9a-f]+ (?=[uUL]?\")")
INTEGERS = (gdb.TYPE_CODE_INT, gdb.TYPE_CODE_CHAR)


def tell(**what):
    OUT.write(json.dumps(what) + "\n")


def one_line(error):
    return " ".join(str(error).split()) or type(error).__name__


def number(value):
    """An integer's value, for who computes with it."""
    kind = value.type.strip_typedefs()
    if kind.code in INTEGERS and kind.sizeof > 1 and kind.sizeof <= 8:
        return int(value)
    return None


def evaluate(expression):
    try:
        value = gdb.parse_and_eval(expression["text"])
        if value.type.code == gdb.TYPE_CODE_REF:
            value = value.referenced_value()
        options = {"format": expression["format"]} if expression["format"] else {}
        text = ADDRESS.sub("", value.format_string(symbols=False, **options))
        return {"text": text, "number": number(value)}
    # Whatever is wrong, it is with this one expression.
    except Exception as error:
        return {"error": one_line(error)}


def is_wanted():
    condition = TASK["condition"]
    return condition is None or bool(gdb.parse_and_eval(condition))


def place(frame):
    """Of what is inlined there, the line is that of the call: the one that was asked for is
    meant."""
    line = frame.find_sal()
    known = line.symtab is not None
    return {
        "function": frame.name(),
        "file": line.symtab.fullname() if known else None,
        "line": TASK["line"] or (line.line if known and line.line else None),
    }


def ends_with(path, end):
    return path == end or path.endswith("/" + end.lstrip("./"))


def distance(frame):
    """How far a frame is from the place that was asked for."""
    if not TASK["line"]:
        name = (frame.name() or "").split("(")[0]
        return int(name != TASK["name"] and not name.endswith("::" + TASK["name"]))
    line = frame.find_sal()
    is_it = line.symtab is not None and ends_with(line.symtab.fullname(), TASK["name"])
    return abs(line.line - TASK["line"]) if is_it else sys.maxsize


def select_frame():
    """An instruction may be in several functions that are inlined into each other. gdb knows
    where in each of them it is, and not which of these lines the place was found by."""
    frame = meant = gdb.newest_frame()
    while frame.type() == gdb.INLINE_FRAME:
        frame = frame.older()
        if distance(frame) < distance(meant):
            meant = frame
    meant.select()
    return meant


class Process:
    """The process, as far as gdb has to be told that it moves."""

    def __init__(self):
        self.mapped = None

    def look(self, tid, mapped):
        # First: gdb's own thread may be gone, and commands look at its registers.
        thread = gdb.selected_thread()
        if thread is None or thread.ptid[1] != tid:
            for thread in gdb.selected_inferior().threads():
                if thread.ptid[1] == tid:
                    thread.switch()
        if self.mapped is not None:
            gdb.execute("maintenance flush register-cache", to_string=True)
            gdb.execute("maintenance flush dcache", to_string=True)
        if mapped != self.mapped:
            if self.mapped is not None:
                gdb.execute("sharedlibrary", to_string=True)
            self.mapped = mapped


def run():
    process = Process()
    while True:
        answer = gdb.execute("monitor hit", to_string=True).strip()
        if answer == "end":
            break
        if answer.startswith("orch:"):
            return answer[len("orch:") :].strip()
        position, tick, tid, mapped = answer.split(" ")
        process.look(int(tid), int(mapped))
        frame = select_frame()
        try:
            if not is_wanted():
                tell(passed=int(tick))
                continue
            error = None
        except Exception as problem:
            error = one_line(problem)
        values = [evaluate(expression) for expression in TASK["expressions"]]
        tell(
            position=position,
            tick=int(tick),
            tid=int(tid),
            values=values,
            condition=error,
            **place(frame),
        )
        OUT.flush()
    return None


def main():
    for command in TASK["setup"]:
        gdb.execute(command, to_string=True)
    return run()


try:
    tell(over=main())
except Exception as problem:
    tell(over=one_line(problem))
OUT.flush()
