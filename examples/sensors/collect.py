"""Collects what sensors send over a Unix socket, until a SIGTERM; then says
which sensor had the highest value."""
import selectors
import signal
import socket
import sys

best, lines = {}, 0
selector = selectors.DefaultSelector()
server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
server.bind(sys.argv[1])
server.listen()
selector.register(server, selectors.EVENT_READ)
wake, signalled = socket.socketpair()
signalled.setblocking(False)
signal.set_wakeup_fd(signalled.fileno())
signal.signal(signal.SIGTERM, lambda *_: None)
selector.register(wake, selectors.EVENT_READ)
rest = {}

running = True
while running or len(selector.get_map()) > 2:
    for key, _ in selector.select():
        if key.fileobj is server:
            connection, _ = server.accept()
            selector.register(connection, selectors.EVENT_READ)
            rest[connection] = b""
        elif key.fileobj is wake:
            wake.recv(16)
            running = False
        else:
            data = key.fileobj.recv(4096)
            if not data:
                selector.unregister(key.fileobj)
                continue
            *whole, rest[key.fileobj] = (rest[key.fileobj] + data).split(b"\n")
            for line in whole:
                _, name, value = line.decode().split()
                best[name] = max(best.get(name, 0), int(value))
                lines += 1
winner = max(best, key=best.get)
print(f"{lines} values; the highest: {winner} {best[winner]}")
