#!/usr/bin/env python3
"""A disk that loses what was not flushed.

One process serves one file, `disk`, through /dev/fuse; a loop device and a file system lie on top
of it. Every write goes into a volatile cache. A flush (FUSE_FSYNC, which is what a loop device
makes of a flush) moves what had arrived before it to the durable image. A cut answers every later
request with EIO and lets each unflushed write be dropped, kept, or torn into 512-byte sectors, as
a seed decides; `on` brings the disk back with what is left.

    loop device -> FUSE_WRITE -> pending, in order of arrival -> FUSE_FSYNC -> durable
                                    |
                                   cut: each one dropped | kept | torn

It is driven by lines on stdin and answers each with one line of JSON on stdout:

    status                          counters, without changing anything
    hold write TEXT | flush | none  keep flushes, or writes that contain TEXT, unanswered until
                                    released
    hold late TEXT                  the same, and reads do not see such a write until then
    release [COUNT]                 answer the oldest held requests (all without a count)
    delay WRITE_US FLUSH_US         answer after a random time up to these (0 0: at once)
    fail write|flush COUNT          answer the COUNT-th request from now with EIO, and all after it
    poison TEXT                     answer writes that contain TEXT with EIO, and no others
    lie on|off                      answer flushes without making anything durable
    cut SEED drop|keep|tear|mix     lose power
    on                              power returns
    quit                            unmount and leave

Usage: disk.py MOUNTPOINT SIZE_IN_BYTES   (root, /dev/fuse)
"""

import ctypes
import errno
import heapq
import json
import mmap
import os
import random
import select
import stat
import struct
import sys
import time

SECTOR = 512
WRITE_MAX = 1 << 20
ROOT, FILE = 1, 2

IN_HEADER = struct.Struct("<IIQQIIII")
OUT_HEADER = struct.Struct("<IiQ")
IO_IN = struct.Struct("<QQIIQII")
ATTR = struct.Struct("<QQQQQQIIIIIIIIII")

LOOKUP, FORGET, GETATTR, SETATTR, OPEN, READ, WRITE, STATFS, RELEASE, FSYNC = (
    1,
    2,
    3,
    4,
    14,
    15,
    16,
    17,
    18,
    20,
)
FLUSH, INIT, OPENDIR, READDIR, RELEASEDIR, ACCESS, INTERRUPT, DESTROY, BATCH_FORGET = (
    25,
    26,
    27,
    28,
    29,
    34,
    36,
    38,
    42,
)

ASYNC_READ, ASYNC_DIO, BIG_WRITES, MAX_PAGES = 1 << 0, 1 << 15, 1 << 5, 1 << 22
OPEN_DIRECT, OPEN_PARALLEL_WRITES = 1 << 0, 1 << 6


class Write:
    """A write in the cache."""

    def __init__(self, offset, data):
        self.offset, self.data, self.end = offset, data, offset + len(data)
        self.is_done = False

    def overlaps(self, other):
        return self.offset < other.end and other.offset < self.end


class Disk:
    """The image, the cache and the clockless part: what is durable when."""

    def __init__(self, size):
        self.size = size
        self.current = mmap.mmap(-1, size)  # what a read sees
        self.durable = mmap.mmap(-1, size)  # what a power cut leaves
        self.pending = []  # of Write, in order of arrival
        self.is_on = True
        self.lies = False
        self.counts = dict(
            writes=0,
            flushes=0,
            bytes_written=0,
            cuts=0,
            dropped=0,
            kept=0,
            torn=0,
            refused=0,
            flushed_writes=0,
        )

    def read(self, offset, size):
        return self.current[offset : min(offset + size, self.size)]

    def write(self, offset, data, is_late=False):
        """Takes a write into the cache. It counts as arrived for reads now, or late: when done."""
        assert offset % SECTOR == 0 and len(data) % SECTOR == 0, "a disk writes whole sectors"
        write = Write(offset, data)
        self.pending.append(write)
        if not is_late:
            self.current[offset : write.end] = data
        self.counts["writes"] += 1
        self.counts["bytes_written"] += len(data)
        return write

    def done(self, write):
        """The write completes: a flush that starts from now on covers it."""
        write.is_done = True
        self.current[write.offset : write.end] = write.data

    def covered(self):
        """What a flush that starts now makes durable; a write still on its way may be left out."""
        return [write for write in self.pending if write.is_done]

    def flush(self, covered):
        self.counts["flushes"] += 1
        if self.lies:
            return
        chosen = {id(write) for write in covered}
        last = max((i for i, write in enumerate(self.pending) if id(write) in chosen), default=-1)
        for index in range(last, -1, -1):
            # What lies under a durable write came before it and is gone.
            if any(
                id(later) in chosen and self.pending[index].overlaps(later)
                for later in self.pending[index + 1 : last + 1]
            ):
                chosen.add(id(self.pending[index]))
        left = []
        for write in self.pending:
            if id(write) in chosen:
                self.durable[write.offset : write.end] = write.data
                self.counts["flushed_writes"] += 1
            else:
                left.append(write)
        self.pending = left

    def cut(self, seed, policy):
        chance = random.Random(seed)
        # Most cuts lose about half; some lose nearly all or nearly nothing: those are the ones a
        # recovery that only knows clean prefixes survives by luck.
        odds = chance.choice(((1, 1, 1), (1, 0, 0), (6, 1, 1), (1, 6, 1), (1, 1, 6)))
        tally = dict(dropped=0, kept=0, torn=0, unflushed=len(self.pending))
        for write in self.pending:
            offset, data = write.offset, write.data
            if policy == "mix":
                fate = chance.choices(("drop", "keep", "tear"), odds)[0]
            else:
                fate = policy
            if fate == "tear":
                sectors = len(data) // SECTOR
                if chance.random() < 0.5:  # a prefix of the write
                    kept = range(chance.randrange(sectors))
                else:  # any of its sectors
                    kept = [s for s in range(sectors) if chance.random() < 0.5]
                for sector in kept:
                    start = sector * SECTOR
                    self.durable[offset + start : offset + start + SECTOR] = data[
                        start : start + SECTOR
                    ]
                # A single sector is not torn: it is there or it is not.
                if len(kept) == 0:
                    fate = "drop"
                elif len(kept) == sectors:
                    fate = "keep"
            elif fate == "keep":
                self.durable[offset : offset + len(data)] = data
            tally[{"drop": "dropped", "keep": "kept", "tear": "torn"}[fate]] += 1
        for write in self.pending:
            self.current[write.offset : write.end] = self.durable[write.offset : write.end]
        self.pending.clear()
        self.is_on = False
        self.counts["cuts"] += 1
        for fate in ("dropped", "kept", "torn"):
            self.counts[fate] += tally[fate]
        return tally


class Server:
    """The FUSE side: requests in, answers out, some of them later."""

    def __init__(self, mountpoint, size):
        self.disk = Disk(size)
        self.mountpoint = mountpoint
        self.fd = os.open("/dev/fuse", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        self.buffer = bytearray(WRITE_MAX + 8192)
        self.chance = random.Random(1)
        self.delay_us = {"write": 0, "flush": 0}
        self.held_kind = "none"
        self.held_text = b""
        self.held = []  # (unique, kind, value)
        self.later = []  # heap of (when, number, unique, kind, value)
        self.number = 0
        self.failing = None  # (kind, countdown)
        self.poison = None
        self.mount()

    def mount(self):
        libc = ctypes.CDLL(None, use_errno=True)
        options = f"fd={self.fd},rootmode={stat.S_IFDIR:o},user_id=0,group_id=0,allow_other"
        options += f",max_read={WRITE_MAX}"
        # MS_NOSUID | MS_NODEV
        if libc.mount(
            b"toroid-disk", self.mountpoint.encode(), b"fuse.toroid-disk", 6, options.encode()
        ):
            code = ctypes.get_errno()
            raise OSError(
                code, f"mount of a FUSE file system on {self.mountpoint}: {os.strerror(code)}"
            )

    def run(self):
        poll = select.poll()
        poll.register(self.fd, select.POLLIN)
        poll.register(0, select.POLLIN)
        commands = b""
        print(json.dumps({"ready": True}), flush=True)
        while True:
            timeout = None
            if self.later:
                timeout = max(0, (self.later[0][0] - time.monotonic()) * 1000)
            for fd, _ in poll.poll(timeout):
                if fd == self.fd:
                    if not self.drain():
                        return
                else:
                    chunk = os.read(0, 65536)
                    if not chunk:
                        return
                    commands += chunk
                    while b"\n" in commands:
                        line, commands = commands.split(b"\n", 1)
                        if line == b"quit":
                            return
                        print(json.dumps(self.command(line.decode().split())), flush=True)
            self.ripen()

    def ripen(self):
        now = time.monotonic()
        while self.later and self.later[0][0] <= now:
            _, _, unique, kind, value = heapq.heappop(self.later)
            self.complete(unique, kind, value)

    def command(self, words):
        name, arguments = words[0], words[1:]
        if name == "hold":
            self.held_kind = arguments[0]
            self.held_text = arguments[1].encode() if len(arguments) == 2 else b""
        elif name == "release":
            count = int(arguments[0]) if arguments else len(self.held)
            ripe, self.held = self.held[:count], self.held[count:]
            for unique, kind, value in ripe:
                self.complete(unique, kind, value)
        elif name == "delay":
            self.delay_us = {"write": int(arguments[0]), "flush": int(arguments[1])}
        elif name == "fail":
            self.failing = [arguments[0], int(arguments[1])]
        elif name == "poison":
            self.poison = arguments[0].encode()
        elif name == "lie":
            self.disk.lies = arguments[0] == "on"
        elif name == "cut":
            tally = self.disk.cut(int(arguments[0]), arguments[1])
            for unique, kind, _ in self.held:
                self.answer(unique, errno.EIO)
            for _, _, unique, kind, _ in self.later:
                self.answer(unique, errno.EIO)
            self.held, self.later, self.held_kind, self.failing = [], [], "none", None
            return tally
        elif name == "on":
            self.disk.is_on = True
            self.failing = self.poison = None
        elif name != "status":
            return {"error": f"unknown command {name}"}
        return {
            **self.disk.counts,
            "pending": len(self.disk.pending),
            "held_writes": sum(kind == "write" for _, kind, _ in self.held),
            "held_flushes": sum(kind == "flush" for _, kind, _ in self.held),
        }

    def drain(self):
        while True:
            try:
                size = os.readv(self.fd, [self.buffer])
            except BlockingIOError:
                return True
            except InterruptedError:
                continue
            except OSError as error:
                if error.errno in (errno.ENOENT, errno.EINTR):  # an interrupted request
                    continue
                if error.errno == errno.ENODEV:  # unmounted
                    return False
                raise
            self.request(memoryview(self.buffer)[:size])

    def request(self, message):
        _, opcode, unique, node, _, _, _, _ = IN_HEADER.unpack_from(message)
        body = message[IN_HEADER.size :]
        if opcode == WRITE:
            _, offset, size, *_ = IO_IN.unpack_from(body)
            data = bytes(body[IO_IN.size : IO_IN.size + size])
            is_poisoned = self.poison is not None and self.poison in data
            if not self.disk.is_on or is_poisoned or self.fails("write"):
                self.disk.counts["refused"] += 1
                self.answer(unique, errno.EIO)
            else:
                is_held = self.held_kind in ("write", "late") and self.held_text in data
                write = self.disk.write(offset, data, is_held and self.held_kind == "late")
                self.pace(unique, "write", write, is_held)
        elif opcode == FSYNC:
            if not self.disk.is_on or self.fails("flush"):
                self.disk.counts["refused"] += 1
                self.answer(unique, errno.EIO)
            else:
                self.pace(unique, "flush", self.disk.covered(), self.held_kind == "flush")
        elif opcode == READ:
            _, offset, size, *_ = IO_IN.unpack_from(body)
            if self.disk.is_on:
                self.answer(unique, 0, self.disk.read(offset, size))
            else:
                self.answer(unique, errno.EIO)
        elif opcode == INIT:
            major, minor, readahead, flags = struct.unpack_from("<IIII", body)
            flags &= ASYNC_READ | ASYNC_DIO | BIG_WRITES | MAX_PAGES
            out = struct.pack(
                "<IIIIHHIIHHI",
                major,
                min(minor, 38),
                readahead,
                flags,
                64,
                48,
                WRITE_MAX,
                1,
                WRITE_MAX // 4096,
                0,
                0,
            )
            self.answer(unique, 0, out + bytes(64 - len(out)))
        elif opcode == LOOKUP:
            if bytes(body).rstrip(b"\0") == b"disk":
                self.answer(
                    unique,
                    0,
                    struct.pack("<QQQQII", FILE, 0, 3600, 3600, 0, 0) + self.attributes(FILE),
                )
            else:
                self.answer(unique, errno.ENOENT)
        elif opcode in (GETATTR, SETATTR):
            self.answer(unique, 0, struct.pack("<QII", 3600, 0, 0) + self.attributes(node))
        elif opcode == OPEN:
            self.answer(unique, 0, struct.pack("<QII", 1, OPEN_DIRECT | OPEN_PARALLEL_WRITES, 0))
        elif opcode == OPENDIR:
            self.answer(unique, 0, struct.pack("<QII", 1, 0, 0))
        elif opcode in (RELEASE, RELEASEDIR, FLUSH, ACCESS):
            self.answer(unique, 0)
        elif opcode == READDIR:
            self.answer(unique, 0)
        elif opcode == STATFS:
            blocks = self.disk.size // 4096
            self.answer(
                unique,
                0,
                struct.pack("<QQQQQIIII", blocks, 0, 0, 1, 0, 4096, 255, 4096, 0) + bytes(24),
            )
        elif opcode in (FORGET, BATCH_FORGET, INTERRUPT):
            pass  # no answer is expected
        elif opcode == DESTROY:
            self.answer(unique, 0)
        else:
            # Also FALLOCATE: without it a loop device offers neither discard nor cheap zeroes.
            self.answer(unique, errno.ENOSYS)

    def fails(self, kind):
        if self.failing is None or self.failing[0] != kind:
            return False
        self.failing[1] -= 1
        return self.failing[1] <= 0

    def pace(self, unique, kind, value, is_held):
        """`value`: the write, or the writes a flush covers."""
        if is_held:
            self.held.append((unique, kind, value))
        elif self.delay_us[kind]:
            self.number += 1
            when = time.monotonic() + self.chance.random() * self.delay_us[kind] / 1e6
            heapq.heappush(self.later, (when, self.number, unique, kind, value))
        else:
            self.complete(unique, kind, value)

    def complete(self, unique, kind, value):
        if kind == "write":
            self.disk.done(value)
            self.answer(unique, 0, struct.pack("<II", len(value.data), 0))
        else:
            self.disk.flush(value)
            self.answer(unique, 0)

    def attributes(self, node):
        if node == ROOT:
            return ATTR.pack(
                ROOT, 4096, 8, 0, 0, 0, 0, 0, 0, stat.S_IFDIR | 0o755, 2, 0, 0, 0, 4096, 0
            )
        return ATTR.pack(
            FILE,
            self.disk.size,
            self.disk.size // 512,
            0,
            0,
            0,
            0,
            0,
            0,
            stat.S_IFREG | 0o600,
            1,
            0,
            0,
            0,
            4096,
            0,
        )

    def answer(self, unique, code, payload=b""):
        header = OUT_HEADER.pack(OUT_HEADER.size + len(payload), -code, unique)
        try:
            os.writev(self.fd, [header, payload])
        except OSError as error:
            if error.errno != errno.ENOENT:  # the request was interrupted meanwhile
                raise


def main():
    server = Server(sys.argv[1], int(sys.argv[2]))
    server.run()


if __name__ == "__main__":
    main()
