"""The canary: a proxy that passes everything on and spoils one reply in so many.

A fuzzer that does not go red behind it finds nothing.
"""

import socket
import threading

from wire import Incomplete, decode

MODES = ("alter", "drop")


def altered(raw):
    """Another reply of the same type and shape."""
    kind, rest = raw[:1], bytearray(raw[1:])
    if kind == b":":
        return b":" + str(int(raw[1:-2]) + 1_000_003).encode() + b"\r\n"
    if kind in b"$=" and not raw.startswith(b"$-1"):
        text_at = rest.index(b"\n") + 1
        if text_at < len(rest) - 2:
            rest[text_at] ^= 1
            return kind + bytes(rest)
        return b"$1\r\nx\r\n"
    if kind in b"+-":
        rest[0] ^= 1
        return kind + bytes(rest)
    return b"+altered\r\n"


class Proxy:
    """Listens on a port of its own; `spoiled` counts what it did."""

    def __init__(self, port, mode, one_in):
        assert mode in MODES, mode
        self.target, self.mode, self.one_in = port, mode, one_in
        self.seen, self.spoiled = 0, 0
        self.lock = threading.Lock()
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def close(self):
        self.listener.close()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self.target))
            for end in (client, server):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=copy, args=(client, server), daemon=True).start()
            threading.Thread(target=self.spoil, args=(server, client), daemon=True).start()

    def spoil(self, server, client):
        buffer = bytearray()
        while data := receive(server):
            buffer += data
            at, out = 0, []
            while at < len(buffer):
                try:
                    _, end = decode(buffer, at)
                except Incomplete:
                    break
                out.append(self.passed_on(bytes(buffer[at:end])))
                at = end
            del buffer[:at]
            try:
                client.sendall(b"".join(out))
            except OSError:
                break
        client.close()
        server.close()

    def passed_on(self, raw):
        with self.lock:
            self.seen += 1
            if self.seen % self.one_in:
                return raw
            self.spoiled += 1
        return altered(raw) if self.mode == "alter" else b""


def receive(end):
    try:
        return end.recv(65536)
    except OSError:
        return b""


def copy(source, target):
    while data := receive(source):
        try:
            target.sendall(data)
        except OSError:
            break
    try:
        target.shutdown(socket.SHUT_WR)
    except OSError:
        pass  # The other direction has closed it already.
