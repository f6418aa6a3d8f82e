"""A blocking RESP2 client on a plain socket: the rigs' own, to share no bug with the server."""

import select
import socket

from rig import DEADLINE_S, Failure


class ReplyError(str):
    """An error reply; distinct from a simple string."""


def encode(*words):
    parts = [b"*%d\r\n" % len(words)]
    for word in words:
        word = word if isinstance(word, bytes) else str(word).encode()
        parts.append(b"$%d\r\n%s\r\n" % (len(word), word))
    return b"".join(parts)


class Client:
    """A blocking RESP2 client on a plain socket."""

    def __init__(self, port, timeout_s=DEADLINE_S):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=timeout_s)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = bytearray()
        self.start = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def close(self):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def call(self, *words):
        self.send(encode(*words))
        return self.receive()

    def has_reply(self, wait_s=0.0):
        """Whether anything at all has arrived (also an end of stream)."""
        if self.start < len(self.buffer):
            return True
        return bool(select.select([self.socket], [], [], wait_s)[0])

    def fill(self):
        chunk = self.socket.recv(65536)
        if not chunk:
            raise ConnectionError("the server closed the connection")
        if self.start:
            del self.buffer[: self.start]
            self.start = 0
        self.buffer += chunk

    def line(self):
        while True:
            end = self.buffer.find(b"\r\n", self.start)
            if end >= 0:
                line = bytes(self.buffer[self.start : end])
                self.start = end + 2
                return line
            self.fill()

    def receive(self):
        line = self.line()
        kind, rest = line[:1], line[1:]
        if kind == b"+":
            return rest.decode()
        if kind == b"-":
            return ReplyError(rest.decode())
        if kind == b":":
            return int(rest)
        if kind == b"$":
            size = int(rest)
            if size < 0:
                return None
            while len(self.buffer) - self.start < size + 2:
                self.fill()
            value = bytes(self.buffer[self.start : self.start + size])
            self.start += size + 2
            return value
        if kind == b"*":
            count = int(rest)
            return None if count < 0 else [self.receive() for _ in range(count)]
        raise Failure(f"not RESP2: {line[:80]!r}")
