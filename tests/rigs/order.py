#!/usr/bin/env python3
"""A reply never precedes the completion it stands for: seen from the disk's side.

The disk (disk.py) keeps a write or a flush unanswered. While it does, nothing written after that
can be durable, so no reply to such a write may come, and nobody may be shown its value; keys that
are not on their way to the disk are answered all the same. Then the disk answers, and so must the
server. The order is one of cause, not of clocks: a reply that is there while the disk still holds
is wrong whenever it came. (An absent reply is waited for a while only; a slow cheat may slip
through one trial, not through all.)

Trials, in turn:
    flush       the flush of a SET is held
    write       the write itself is held
    newest      two frames are on their way, the newer one completes first: its reply must wait
    half        a transaction's frame in one core's log is held, that in the other's is durable: no
                reply, and nobody is shown the durable half
    cut         the flush is held and the power is cut: no reply at all, and the key is old or new
    late        the server is killed with a write on its way, which lands when the next server has
                started: the kernel carries it out after the process is gone

First the canary: the same server at durability `memory` must be caught.

Red when: the log is open without O_DSYNC; replies are released when a frame is submitted, or when
its write completes but not its flush; a frame counts as durable before the older one is; a read
shows a value on its way; reads of other keys wait for the disk; a transaction counts as soon as one
log has its part.

Usage: order.py --toroid PATH [--trials 60] [--program toroid] [--canary toroid-memory]
Exit status: 0 passed, 1 wrong, 2 cannot run here.
"""

import argparse
import contextlib
import os
import time

import rig
from resp import Client, encode
from server import Program, Server, default_binary, free_port, key_on, verify_log

DISK_SIZE = 1 << 29
PATIENCE_S = 0.15
QUIET_S = 0.05


class Trials:
    def __init__(self, program, base):
        self.program, self.base = program, base
        self.counts = {}
        self.acked = []
        self.number = 0

    def run(self, count):
        disk = rig.FakeDisk(self.base, DISK_SIZE)
        server = None
        try:
            disk.attach(make=True)
            extra = ["--wal-segment-size", str(4 << 20), "--cores", "2", "--slices", "16"]
            extra = extra if self.program.is_toroid else []
            server = Server(self.program, os.path.join(disk.mountpoint, "data"), self.base, extra)
            server.start()
            with Client(server.port) as client:
                rig.check(client.call("SET", "quiet", "quiet") == "OK", "a first SET answers OK")
            kinds = ["flush", "write"] + (["newest", "half"] if self.program.is_toroid else [])
            for trial in range(count):
                if trial % 20 == 19:
                    self.cut(disk, server)
                elif trial % 20 == 9 and self.program.is_toroid:
                    self.late(disk, server)
                else:
                    kind = kinds[trial % len(kinds)]
                    getattr(self, kind)(disk, server)
                    self.counts[kind] = self.counts.get(kind, 0) + 1
            server.stop()
            verify_log(self.program, server.directory)
        finally:
            if server is not None:
                server.close()
            disk.close()

    def hold(self, disk, kind):
        # Idle first: what is still on its way from before must not be taken for this trial's.
        def is_idle():
            rig.command("sync", "--file-system", disk.mountpoint)
            before = disk.status()
            time.sleep(QUIET_S)
            after = disk.status()
            return before == after and after["pending"] == 0

        rig.wait_for("the disk to become idle", is_idle)
        disk.tell(f"hold {kind} {'' if kind == 'flush' else self.mark}")

    def release(self, disk):
        disk.tell("hold none")
        disk.tell("release")

    def requests(self):
        """Writes of this trial, each with its reply. All hold the mark that the disk looks for."""
        self.number += 1
        return [
            (("SET", f"key-{self.number}", self.mark), "OK"),
            (("INCR", f"counter-{self.mark}"), 1),
            (("SET", "same", self.mark), "OK"),
        ]

    @property
    def mark(self):
        return f"mark-of-trial-{self.number}."

    def silent(self, clients, what):
        for client in clients:
            if client.has_reply(PATIENCE_S / len(clients)):
                raise rig.Failure(f"{what}, and yet there is a reply: {client.receive()!r}")

    def held(self, disk, server, kind):
        requests = self.requests()
        writers = [Client(server.port) for _ in requests]
        reader, other = Client(server.port), Client(server.port)
        try:
            for client in [*writers, reader, other]:
                rig.check(client.call("PING") == "PONG", "PING answers PONG")
            self.hold(disk, kind)
            for client, (words, _) in zip(writers, requests):
                client.send(encode(*words))
            rig.wait_for(
                f"a {kind} at the disk",
                lambda: disk.status()[f"held_{kind}s" if kind == "write" else "held_flushes"],
            )
            reader.send(encode("GET", "same"))
            self.silent(writers, f"the disk holds the {kind}")
            self.read_is_old_or_parked(reader)
            if self.program.is_toroid:
                rig.check(
                    other.call("GET", "quiet") == b"quiet",
                    "a key at rest is read while the disk is busy",
                )
                rig.check(other.call("PING") == "PONG", "PING answers while the disk is busy")
            self.silent(writers, f"the disk still holds the {kind}")
            self.release(disk)
            for client, (words, wanted) in zip(writers, requests):
                reply = client.receive()
                rig.check(reply == wanted, f"{words} answered {reply!r} after the {kind} completed")
            if not self.was_answered:
                reply = reader.receive()
                rig.check(reply == requests[2][0][2].encode(), f"the parked GET answered {reply!r}")
        finally:
            for client in [*writers, reader, other]:
                client.close()

    def read_is_old_or_parked(self, reader):
        self.was_answered = reader.has_reply()
        if self.was_answered:
            reply = reader.receive()
            rig.check(
                reply != self.mark.encode(),
                f"a read shows {reply!r}, which is not durable yet",
            )

    def flush(self, disk, server):
        self.held(disk, server, "flush")

    def write(self, disk, server):
        self.held(disk, server, "write")

    def newest(self, disk, server):
        self.number += 1
        older, newer = Client(server.port), Client(server.port)
        try:
            for client in (older, newer):
                rig.check(client.call("PING") == "PONG", "PING answers PONG")
            self.hold(disk, "write")
            # On one core: logs of different cores wait for each other in transactions only.
            tag = f"{{pair-{self.number}}}"
            older.send(encode("SET", f"older-{tag}", self.mark))
            rig.wait_for("the older frame at the disk", lambda: disk.status()["held_writes"])
            before = disk.status()
            newer.send(encode("SET", f"newer-{tag}", "not held"))

            def is_flushed():
                now = disk.status()
                return now["writes"] > before["writes"] and now["flushes"] > before["flushes"]

            rig.wait_for("the newer frame's write and flush", is_flushed)
            self.silent([newer, older], "the older frame is not durable")
            self.release(disk)
            rig.check(older.receive() == "OK", "the older SET answers OK once it is durable")
            rig.check(newer.receive() == "OK", "the newer SET answers OK once both are durable")
        finally:
            older.close()
            newer.close()

    def half(self, disk, server):
        self.number += 1
        keys = [key_on(core, f"half-{self.number}") for core in (0, 1)]
        chosen = self.number % 2
        values = ["sound", "sound"]
        values[chosen] = self.mark
        writer, reader, all_reader, other = [Client(server.port) for _ in range(4)]
        try:
            for client in (writer, reader, all_reader, other):
                rig.check(client.call("PING") == "PONG", "PING answers PONG")
            self.hold(disk, "write")
            before = disk.status()
            sets = b"".join(encode("SET", *pair) for pair in zip(keys, values))
            writer.send(encode("MULTI") + sets + encode("EXEC"))
            rig.check(
                [writer.receive() for _ in range(3)] == ["OK", "QUEUED", "QUEUED"], "it is queued"
            )

            def is_half_durable():
                now = disk.status()
                return (
                    now["held_writes"]
                    and now["writes"] > before["writes"] + 1
                    and now["flushes"] > before["flushes"]
                )

            rig.wait_for("one half at the disk and the other on it", is_half_durable)
            reader.send(encode("GET", keys[1 - chosen]))
            all_reader.send(encode("MGET", *keys))
            self.silent([writer], "half of the transaction is on no disk")
            answered = [c for c in (reader, all_reader) if c.has_reply(PATIENCE_S / 2)]
            for client in answered:
                reply = client.receive()
                rig.check(
                    reply in (None, [None, None]), f"half a transaction was shown: {reply!r}"
                )
            rig.check(other.call("GET", "quiet") == b"quiet", "a key at rest is read meanwhile")
            self.silent([writer], "half of the transaction is still on no disk")
            self.release(disk)
            rig.check(writer.receive() == ["OK", "OK"], "EXEC answers once both halves are durable")
            values = [value.encode() for value in values]
            for client, wanted in ((reader, values[1 - chosen]), (all_reader, values)):
                if client not in answered:
                    rig.check(client.receive() == wanted, "what was held back is shown whole")
        finally:
            for client in (writer, reader, all_reader, other):
                client.close()

    def cut(self, disk, server):
        requests = self.requests()
        with Client(server.port) as client:
            rig.check(client.call("PING") == "PONG", "PING answers PONG")
            self.same_before = client.call("GET", "same")
            self.hold(disk, "flush")
            for words, _ in requests:
                client.send(encode(*words))
            rig.wait_for("a flush at the disk", lambda: disk.status()["held_flushes"])
            disk.tell(f"cut {self.number} mix")
            server.kill()
            server.reap()
            try:
                reply = client.receive()
            except OSError:
                reply = None
            rig.check(
                reply is None, f"a write was answered with {reply!r}, but its flush never completed"
            )
        disk.detach()
        disk.tell("on")
        disk.attach()
        server.start()
        with Client(server.port) as client:
            for (name, key, *_), _ in requests:
                value = client.call("GET", key)
                wrong = f"{name} {key} was cut off and left {value!r}"
                old = self.same_before if key == "same" else None
                rig.check(value in (old, b"1", self.mark.encode()), wrong)
            rig.check(client.call("GET", "quiet") == b"quiet", "a key that was durable is there")
        self.counts["cut"] = self.counts.get("cut", 0) + 1

    def late(self, disk, server):
        self.number += 1
        with Client(server.port) as client:
            rig.check(client.call("PING") == "PONG", "PING answers PONG")
            self.hold(disk, "late")
            client.send(encode("SET", f"late-{self.number}", self.mark))
            rig.wait_for("the write at the disk", lambda: disk.status()["held_writes"])
            server.kill()
            server.reap()
        # The old ring may keep the port, and whatever else it holds, until its write completes.
        server.port = free_port()
        server.spawn()
        with contextlib.suppress(rig.Failure):
            server.wait_until_ready(1)
        shown = self.after_late(server, "before") if server.is_ready else None
        self.release(disk)
        if not server.is_ready:
            server.wait_until_ready()
        for when in ("after", "and after a restart"):
            value = self.after_late(server, when)
            if shown is not None:
                rig.check(value == shown, f"late-{self.number} was {shown} and is {value}")
            server.kill()
            server.reap()
            server.port = free_port()
            server.start()
        self.counts["late"] = self.counts.get("late", 0) + 1

    def after_late(self, server, when):
        """Writes a key, and reads all that were acknowledged; returns what the late write left."""
        with Client(server.port) as client:
            self.acked.append(f"then-{self.number}-{when.replace(' ', '-')}")
            rig.check(client.call("SET", self.acked[-1], "1") == "OK", "a new server takes writes")
            for key in self.acked:
                rig.check(client.call("GET", key) == b"1", f"{key} was acknowledged and is gone")
            rig.check(client.call("GET", "quiet") == b"quiet", "a key that was durable is there")
            value = client.call("GET", f"late-{self.number}")
            rig.check(value in (None, self.mark.encode()), f"late-{self.number} is {value!r}")
            return [value]


def run():
    parser = argparse.ArgumentParser()
    parser.add_argument("--toroid", default=default_binary())
    parser.add_argument("--program", default="toroid")
    parser.add_argument("--canary", default="toroid-memory")
    parser.add_argument("--trials", type=int, default=60)
    arguments = parser.parse_args()
    rig.require_host()
    canary = Program.named(arguments.canary, arguments.toroid)
    try:
        with rig.workspace("order-canary", keep_after_failure=False) as base:
            Trials(canary, base).run(6)
    except rig.Failure as failure:
        rig.check(
            "yet there is a reply" in str(failure),
            f"the canary failed for another reason: {failure}",
        )
        print(f"canary: {canary.name} caught: {failure}", flush=True)
    else:
        raise rig.Failure(
            f"the canary {canary.name} answers before the disk does and was not caught"
        )
    program = Program.named(arguments.program, arguments.toroid)
    with rig.workspace("order") as base:
        trials = Trials(program, base)
        trials.run(arguments.trials)
    print(
        "order: no reply came before its completion; trials: "
        + ", ".join(f"{kind} {count}" for kind, count in sorted(trials.counts.items()))
    )


if __name__ == "__main__":
    rig.main(run)
