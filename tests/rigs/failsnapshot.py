#!/usr/bin/env python3
"""A failing disk and snapshots: a snapshot that cannot be written is reported and costs nothing; a
log that cannot be written ends the server, also in the middle of a snapshot.

The disk (disk.py) tells the two apart by what every file of a snapshot begins with.

    chunk, manifest   writes of that kind of file fail: SAVE says so, INFO and stderr too, what was
                      published before stays and nothing is added; writes are acknowledged all the
                      while. When the disk is well, SAVE is too
    during            a chunk is on its way to the disk for as long as the rig likes; then one write of
                      a log fails: the server ends with its status and had not acknowledged it
    write, flush      from the n-th on, all of them fail while snapshots are taken: the same end

After each, power is cut, what was not flushed is gone, and everything acknowledged is there. The
snapshot that was under way does not count, and the next one does.

Red when: a chunk whose write failed is published; a failed snapshot ends the process or stops
acknowledgements; an error of the log is put down to the snapshot; the end waits for a snapshot.

Usage: failsnapshot.py --toroid PATH [--until 4]
Exit status: 0 passed, 1 wrong, 2 cannot run here.
"""

import argparse
import os
import random

import rig
from ledger import Ledger, Load
from resp import Client, ReplyError
from server import Program, Server, default_binary, verify_log

DISK_SIZE = 1 << 29
# What a log that cannot be written ends the process with.
STATUS_LOG = 10
# What a chunk and a manifest begin with (docs/formats/snapshot.md).
MAGIC = {"chunk": "TOROIDSC", "manifest": "TOROIDSM"}
VALUES = 200


def fill(client, number):
    """Values that do not compress, so that every slice has something to write."""
    chance = random.Random(number)
    for index in range(VALUES):
        reply = client.call("SET", f"filled-{index}", chance.randbytes(5000))
        rig.check(reply == "OK", f"SET answered {reply!r}")


def published(server):
    """The snapshots that count, as the directory has them."""
    found = set()
    for path, _, names in os.walk(os.path.join(server.directory, "snapshots")):
        if "MANIFEST" in names:
            found.add(path)
    return found


def info(client, name):
    lines = client.call("INFO", "persistence").decode().splitlines()
    return next(line.split(":")[1] for line in lines if line.startswith(name + ":"))


def acknowledges(load):
    before = load.acked
    rig.wait_for("writes to be acknowledged", lambda: before + 100 < load.acked)


def refuse_files(disk, server, load, kind):
    """Files of snapshots cannot be written; the log can."""
    with Client(server.port) as client:
        before = published(server)
        rig.check(before, "the first SAVE has published snapshots")
        disk.tell(f"poison {MAGIC[kind]}")
        reply = client.call("SAVE")
        rig.check(
            isinstance(reply, ReplyError)
            and reply.startswith("ERR a snapshot could not be written"),
            f"SAVE answered {reply!r} though no {kind} could be written",
        )
        status = info(client, "rdb_last_bgsave_status")
        rig.check(status == "err", f"the status of the last save is {status}")
        said = rig.tail(server.stderr)
        rig.check("the snapshot of slice" in said, f"the server says what failed:\n{said}")
        rig.check(published(server) <= before, f"a snapshot without its {kind} was published")
        acknowledges(load)
        refused = disk.tell("on")["refused"]
        rig.check(0 < refused, "the disk has refused something")
        reply = client.call("SAVE")
        rig.check(reply == "OK", f"SAVE answered {reply!r} on a disk that is well again")
        status = info(client, "rdb_last_bgsave_status")
        rig.check(status == "ok", f"the status of the last save is {status}")
    acknowledges(load)
    load.join()
    server.kill()
    server.reap()


def lose_log_during(disk, server, number):
    """A chunk is held on its way, and a write of a log fails."""
    poison = f"poison-of-{number}."
    with Client(server.port) as client:
        disk.tell(f"hold write {MAGIC['chunk']}")
        rig.check(client.call("BGSAVE") == "Background saving started", "BGSAVE starts")
        rig.wait_for("a chunk on its way", lambda: 0 < disk.status()["held_writes"])
        rig.check(info(client, "rdb_bgsave_in_progress") == "1", "the snapshot is under way")
        disk.tell(f"poison {poison}")
        try:
            reply = client.call("SET", "poisoned", poison)
        except OSError:
            reply = None
        rig.check(reply is None, f"a write that is on no disk was answered with {reply!r}")
    # It has said so, and acknowledges nothing, before the chunk is written. What is in the kernel's
    # hands must come back before a process is gone.
    rig.wait_for("the reason of the end", lambda: "acknowledged" in rig.tail(server.stderr))
    rig.check(0 < disk.status()["held_writes"], "the chunk is still held")
    disk.tell("hold none")
    disk.tell("release")
    disk.tell("fail write 1")


def lose_disk_during(disk, server, kind, number):
    """From some request on, everything fails while snapshots are taken."""
    with Client(server.port) as client:
        rig.check(client.call("BGSAVE") == "Background saving started", "BGSAVE starts")
        disk.tell(f"fail {kind} {number}")


def trial(program, base, kind, number, totals):
    disk = rig.FakeDisk(base, DISK_SIZE)
    server = None
    try:
        disk.attach(make=True)
        extra = ["--wal-segment-size", str(4 << 20), "--cores", "2", "--slices", "16"]
        server = Server(program, os.path.join(disk.mountpoint, "data"), base, extra)
        server.start()
        with Client(server.port) as client:
            fill(client, number)
            rig.check(client.call("SAVE") == "OK", "the first SAVE")
            fill(client, number + 1000)
        ledger = Ledger()
        load = Load(server.port, number, ledger)
        load.start()
        acknowledges(load)
        before = published(server)
        if kind in MAGIC:
            refuse_files(disk, server, load, kind)
        else:
            if kind == "during":
                lose_log_during(disk, server, number)
            else:
                lose_disk_during(disk, server, kind, number)
            status = server.reap()
            load.join()
            said = rig.tail(server.stderr)
            rig.check(
                status == STATUS_LOG,
                f"a log that cannot be written ({kind} {number}) must end the server with "
                f"{STATUS_LOG}, it ended with {status}\n{server.says()}",
            )
            rig.check("panicked" not in said, f"an operating error is not a panic:\n{said}")
        disk.tell(f"cut {number} drop")
        disk.detach()
        disk.tell("on")
        disk.attach()
        if kind == "during":
            rig.check(published(server) <= before, "a snapshot whose chunk was held is there")
        server.start()
        judge(server, ledger, f"after {kind} {number}")
        with Client(server.port) as client:
            rig.check(client.call("GET", "poisoned") is None, "what was not answered is there")
            rig.check(client.call("SAVE") == "OK", "SAVE on a disk that is well again")
        server.kill()
        server.reap()
        server.start()
        judge(server, ledger, f"after {kind} {number} and another snapshot")
        server.stop()
        verify_log(program, server.directory)
        totals["acked"] += load.acked
        totals["trials"] += 1
    finally:
        if server is not None:
            server.close()
        disk.close()


def judge(server, ledger, when):
    wrong = ledger.verify(server.port)
    rig.check(not wrong, f"{when} {len(wrong)} keys are wrong:\n  " + "\n  ".join(wrong[:10]))


def run():
    parser = argparse.ArgumentParser()
    parser.add_argument("--toroid", default=default_binary())
    parser.add_argument("--until", type=int, default=4)
    arguments = parser.parse_args()
    rig.require_host()
    program = Program.named("toroid", arguments.toroid)
    totals = dict(acked=0, trials=0)
    for kind in ("chunk", "manifest", "during", "write", "flush"):
        for number in range(1, (1 if kind in MAGIC else arguments.until) + 1):
            with rig.workspace("failsnapshot") as base:
                trial(program, base, kind, number, totals)
    print(
        f"failsnapshot: {totals['trials']} failures during snapshots, {totals['acked']} "
        f"acknowledged writes, none lost; exit status {STATUS_LOG} for the log, none for a snapshot"
    )


if __name__ == "__main__":
    rig.main(run)
