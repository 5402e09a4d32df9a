
"""What gdb does for `orch log` first: finds where a location is in files that nobody runs."""

# Most sources of a program that are worth telling.
MOST = 40
# The address in a row of `info breakpoints`.
ROW = re.compile(r"^\d+(?:\.\d+)?\s.*?(0x[0-9a-f]{8,16})\b", re.MULTILINE)
SOURCE = re.compile(r'fullname="([^"]*)"')


def lines_around(name, line):
    """Whether the line has code, and if not, the nearest lines that do."""
    known = set()
    for at in (line, 1):
        try:
            found = gdb.decode_line("%s:%d" % (name, at))[1]
        except gdb.error:
            continue
        for place in found or ():
            if place.symtab is not None:
                known.update(place.symtab.linetable().source_lines())
    known.discard(0)
    if line in known or not known:
        return {"exact": line in known}
    before = [n for n in known if n < line]
    after = [n for n in known if n > line]
    return {"exact": False, "near": [f(n) for f, n in ((max, before), (min, after)) if n]}


def addresses():
    # Explicitly: `f if x` is no function and a condition.
    if TASK["line"]:
        point = gdb.Breakpoint(source=TASK["name"], line=TASK["line"])
    else:
        point = gdb.Breakpoint(function=TASK["name"])
    try:
        if point.pending:
            return []
        if hasattr(point, "locations"):
            return [place.address for place in point.locations]
        rows = gdb.execute("info breakpoints %d" % point.number, to_string=True)
        return [int(address, 16) for address in ROW.findall(rows)]
    finally:
        point.delete()


def look(image):
    gdb.execute("set sysroot " + image["root"], to_string=True)
    gdb.execute("file " + image["path"], to_string=True)
    found = {"file": image["file"], "addresses": [], "near": []}
    try:
        gdb.decode_line(TASK["spec"])
        known = True
    except gdb.error as error:
        # `No line 90 in file "x.c".`: the file is known.
        known = str(error).startswith(("No line", "Line number"))
    if known and TASK["line"]:
        around = lines_around(TASK["name"], TASK["line"])
        found["near"] = around.get("near", [])
        known = around["exact"]
    if known:
        found["addresses"] = addresses()
    return found


def sources(image):
    """The program's own sources, if nothing has the file that was asked for."""
    gdb.execute("file " + image["path"], to_string=True)
    command = 'interpreter-exec mi "-file-list-exec-source-files"'
    names = SOURCE.findall(gdb.execute(command, to_string=True))
    system = ("/usr/include/", "/usr/lib/", "/rustc/", "./", "../")
    return sorted({n for n in names if not n.startswith(system)})[:MOST]


def main():
    # What is not there is told by orch.
    gdb.execute("set breakpoint pending on", to_string=True)
    images = []
    for image in TASK["images"]:
        try:
            images.append(look(image))
        except Exception as error:
            images.append({"file": image["file"], "error": " ".join(str(error).split())})
    known = set()
    if TASK["line"] and not any(i.get("addresses") or i.get("near") for i in images):
        for image in TASK["images"]:
            try:
                if image["program"]:
                    known.update(sources(image))
            except Exception:
                pass
    return {"images": images, "sources": sorted(known)}


json.dump(main(), OUT)
OUT.flush()
