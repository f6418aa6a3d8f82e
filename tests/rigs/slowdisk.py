#!/usr/bin/env python3
"""A disk whose flushes take seconds slows writes, and nothing else.

First the disk (disk.py) answers no flush until it is told to, and is told only after many reads of
both cores' keys were answered: PING, INFO, values of every type, by connections that were there and
by new ones. That no flush ended meanwhile is a count of the disk, so no clock decides. Flush by
flush a snapshot is written, and writes are acknowledged, on both cores.

Then each flush takes up to two seconds, under a load of writers and readers and with more snapshots.
What was acknowledged is there after kill -9.

Red when: a core waits for a flush, for a segment that is being prepared or for a file of a snapshot;
INFO or a read asks the disk; writes that wait use up what reads need; a write that waits is dropped.
Seen red: log writes that io_uring carries out in the core's own call wait for the journal of ext4, to
set the file's time; INFO that waits until everything has settled.

Usage: slowdisk.py --toroid PATH [--seconds 10]
Exit status: 0 passed, 1 wrong, 2 cannot run here.
"""

import argparse
import os
import time

import rig
from ledger import Ledger, Load
from resp import Client, ReplyError, encode
from server import Program, Server, default_binary, key_on, verify_log

DISK_SIZE = 1 << 29
CORES = 2
CONNECTIONS = 8
FLUSH_US = 2_000_000
# More flushes than a snapshot and the writes beside it can need.
STAGES_MAX = 3000
# Flushes that must have been held for the test to mean something.
STAGES_MIN = 20


def fill(client):
    """Values of every type on both cores, and the reads of them with their replies."""
    writes, reads = [], [(("PING",), "PONG"), (("ECHO", "x"), b"x")]
    for core in range(CORES):
        string, many, fields, members, ranking = (
            key_on(core, f"{kind}-{core}") for kind in ("string", "list", "hash", "set", "zset")
        )
        writes += [
            ("SET", string, b"x" * 300_000),
            ("RPUSH", many, *range(3000)),
            ("HSET", fields, *range(4000)),
            ("SADD", members, *(f"m-{n}" for n in range(1000))),
            ("ZADD", ranking, *range(4000)),
        ]
        reads += [
            (("STRLEN", string), 300_000),
            (("LRANGE", many, "100", "101"), [b"100", b"101"]),
            (("HGET", fields, "2000"), b"2001"),
            (("SISMEMBER", members, "m-7"), 1),
            (("ZRANK", ranking, "3"), 1),
            (("TYPE", many), "list"),
        ]
    for words in writes:
        reply = client.call(*words)
        rig.check(not isinstance(reply, ReplyError), f"{words[:2]}: {reply!r}")
    # A transaction that only reads, over both cores.
    strings = [words[1] for words in writes if words[0] == "SET"]
    reads.append((("EXISTS", *strings), CORES))
    return reads


def read_all(clients, reads):
    for client in clients:
        client.send(b"".join(encode(*words) for words, _ in reads))
    for client in clients:
        for words, wanted in reads:
            reply = client.receive()
            rig.check(reply == wanted, f"{words} answered {reply!r:.99}, not {wanted!r:.99}")


def is_saving(client):
    text = client.call("INFO", "persistence").decode()
    rig.check("rdb_last_bgsave_status:ok" in text, f"the snapshot failed:\n{text}")
    return "rdb_bgsave_in_progress:1" in text


class Writer:
    """One SET on its way at a time, on a core of its own."""

    def __init__(self, port, core):
        self.client, self.core, self.number, self.answered = Client(port), core, 0, 0
        self.name = key_on(core, f"written-{core}")

    def look(self):
        if self.answered < self.number and self.client.has_reply():
            reply = self.client.receive()
            rig.check(reply == "OK", f"SET answered {reply!r}")
            self.answered += 1

    def send(self):
        if self.answered == self.number:
            self.number += 1
            self.client.send(encode("SET", self.name, self.number))

    def is_waiting(self):
        return self.answered < self.number


def step_by_step(disk, server):
    """Holds every flush until others were served; returns how many were held, and the reads."""
    with Client(server.port) as client:
        reads = fill(client)
    clients = [Client(server.port) for _ in range(CONNECTIONS)]
    writers = [Writer(server.port, core) for core in range(CORES)]
    disk.tell("hold flush")
    rig.check(
        clients[0].call("BGSAVE") == "Background saving started", "BGSAVE starts on a slow disk"
    )
    held = held_while_saving = count = 0
    while True:
        saving = is_saving(clients[0])
        for writer in writers:
            writer.look()
            if saving:
                writer.send()
        before = disk.status()
        if before["held_flushes"] == 0:
            if not saving and not any(writer.is_waiting() for writer in writers):
                break
            time.sleep(0.002)  # whatever asks for the next flush is still at it
            continue
        with Client(server.port) as late:
            read_all([*clients, late], reads)
        saving = is_saving(clients[0])
        after = disk.status()
        rig.check(
            after["flushes"] == before["flushes"] and 0 < after["held_flushes"],
            "nobody else lets a flush go",
        )
        held, count = held + 1, count + (CONNECTIONS + 1) * len(reads)
        held_while_saving += saving
        rig.check(held < STAGES_MAX, f"after {held} flushes neither snapshot nor writes are done")
        disk.tell("release 1")
    disk.tell("hold none")
    disk.tell("release")
    rig.check(STAGES_MIN < held_while_saving, f"only {held_while_saving} flushes of a snapshot")
    for writer in writers:
        rig.check(0 < writer.answered, f"core {writer.core} acknowledged nothing")
        reply = clients[0].call("GET", writer.name)
        rig.check(reply == b"%d" % writer.answered, f"{writer.name} is {reply!r}")
    print(
        f"{count} reads answered during {held} flushes, {held_while_saving} of them during a "
        f"snapshot; {sum(writer.answered for writer in writers)} writes after theirs",
        flush=True,
    )
    return reads


def under_load(disk, server, reads, seconds):
    """Every flush takes a while."""
    ledger = Ledger()
    load = Load(server.port, 1, ledger)
    disk.tell(f"delay 0 {FLUSH_US}")
    load.start()
    end = time.monotonic() + seconds
    rounds = snapshots = 0
    with Client(server.port) as client:
        while time.monotonic() < end:
            read_all([client], reads)
            rounds += 1
            if not is_saving(client):
                snapshots += client.call("BGSAVE") == "Background saving started"
    flushes = disk.tell("delay 0 0")["flushes"]
    load.join()
    rig.check(0 < load.acked, "a slow disk acknowledges nothing")
    print(
        f"{rounds * len(reads)} reads beside {load.acked} writes, {snapshots} snapshots begun; "
        f"{flushes} flushes so far",
        flush=True,
    )
    server.kill()
    server.reap()
    server.start()
    wrong = ledger.verify(server.port)
    rig.check(not wrong, f"{len(wrong)} keys are wrong:\n  " + "\n  ".join(wrong[:10]))
    with Client(server.port) as client:
        read_all([client], reads)
    return load.acked


def run():
    parser = argparse.ArgumentParser()
    parser.add_argument("--toroid", default=default_binary())
    parser.add_argument("--seconds", type=int, default=10)
    arguments = parser.parse_args()
    rig.require_host()
    program = Program.named("toroid", arguments.toroid)
    with rig.workspace("slowdisk") as base:
        disk = rig.FakeDisk(base, DISK_SIZE)
        server = None
        try:
            disk.attach(make=True)
            extra = ["--cores", str(CORES), "--slices", "16", "--wal-segment-size", str(1 << 20)]
            server = Server(program, os.path.join(disk.mountpoint, "data"), base, extra)
            server.start()
            reads = step_by_step(disk, server)
            acked = under_load(disk, server, reads, arguments.seconds)
            server.stop()
            verify_log(program, server.directory)
            print(f"slowdisk: {acked} acknowledged writes, none lost; reads never waited")
        finally:
            if server is not None:
                server.close()
            disk.close()


if __name__ == "__main__":
    rig.main(run)
