"""RESP2 and RESP3 read exactly: a reply is its type and its content, so that nothing looks equal
that is not. `proxy.py` cuts a stream with the same reader."""

import socket

REPLY_S = 15
# What precedes a reply or stands outside the order of replies.
PUSH = b">"
ERRORS = "-!"


class Lost(Exception):
    """No reply: the connection ended, or nothing came in time, or it is not RESP."""


class Incomplete(Exception):
    """The buffer ends within a reply."""


def encode(words):
    parts = [b"*%d\r\n" % len(words)]
    for word in words:
        parts.append(b"$%d\r\n%s\r\n" % (len(word), word))
    return b"".join(parts)


def decode(buffer, at):
    """Reads one reply at an offset; returns it with the offset behind it."""
    end = buffer.find(b"\r\n", at)
    if end < 0:
        raise Incomplete
    kind, line, at = buffer[at : at + 1], bytes(buffer[at + 1 : end]), end + 2
    if kind in b"+-:_#,(":
        return (kind.decode(), line), at
    if kind in b"$=!":
        size = int(line)
        if size < 0:
            return (kind.decode(), None), at
        if len(buffer) < at + size + 2:
            raise Incomplete
        return (kind.decode(), bytes(buffer[at : at + size])), at + size + 2
    if kind in b"*~>%|":
        count = int(line)
        if count < 0:
            return (kind.decode(), None), at
        items = []
        for _ in range(count * (2 if kind in b"%|" else 1)):
            item, at = decode(buffer, at)
            items.append(item)
        if kind == b"|":
            # An attribute is part of the reply that it comes before.
            item, at = decode(buffer, at)
            items.append(item)
        return (kind.decode(), items), at
    raise Lost(f"not RESP: {bytes(buffer[at - 10 : at + 40])!r}")


def is_error(reply):
    return reply[0] in ERRORS


def sorted_deep(reply):
    """A reply without any order, all the way down."""
    kind, items = reply
    if not isinstance(items, list):
        return reply
    return kind, sorted([sorted_deep(item) for item in items], key=repr)


class Connection:
    """One connection: pipelines out, replies in."""

    def __init__(self, port, wait_s=REPLY_S):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=wait_s)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = bytearray()
        self.at = 0

    def close(self):
        self.socket.close()

    def send(self, data):
        try:
            self.socket.sendall(data)
        except OSError as error:
            raise Lost(f"sending: {error}") from None

    def receive(self):
        while True:
            try:
                reply, self.at = decode(self.buffer, self.at)
            except Incomplete:
                del self.buffer[: self.at]
                self.at = 0
                try:
                    data = self.socket.recv(262144)
                except OSError as error:
                    raise Lost(f"no reply: {error}") from None
                if not data:
                    raise Lost("the connection was closed instead of a reply") from None
                self.buffer += data
                continue
            if self.at == len(self.buffer):
                del self.buffer[:]
                self.at = 0
            return reply

    def call(self, *words):
        self.send(encode([word if isinstance(word, bytes) else word.encode() for word in words]))
        return self.receive()
