#!/usr/bin/env python3
"""An error of a log write or flush is final: no further acknowledgement, a named end, nothing lost.

For n = 1, 2, ... the n-th write, then the n-th flush, of a running server fails with EIO
(disk.py). The server must end by itself with a failure status and say which file failed; what it
acknowledged before must be there on the next start; and it may not have acknowledged what the
failed request carried: the disk drops everything unflushed on the way.

The server has a log for each core. In a third kind of trial only one log's write fails, that of one
half of a transaction, while the other log is well: the whole server must end, the transaction may
not have been answered, and its other half may not be there afterwards.

Red when: an error of a log write is taken for a success; the process goes on after it; the frame of
the failed write counts as durable; the exit status is 0; only the core of the failed log ends, or it
ends and the others go on; half a transaction counts.

Usage: failstop.py --toroid PATH [--until 12]
Exit status: 0 passed, 1 wrong, 2 cannot run here.
"""

import argparse
import os
import random
import time

import rig
from bank import Bank, Day
from ledger import Ledger, Load
from resp import Client, encode
from server import Program, Server, default_binary, key_on, verify_log

DISK_SIZE = 1 << 29
# What a log that cannot be written ends the process with.
STATUS_LOG = 10


def trial(program, base, kind, number, totals):
    disk = rig.FakeDisk(base, DISK_SIZE)
    server = None
    try:
        disk.attach(make=True)
        server = Server(
            program,
            os.path.join(disk.mountpoint, "data"),
            base,
            ["--wal-segment-size", str(4 << 20), "--cores", "2", "--slices", "16"],
        )
        server.start()
        ledger, bank = Ledger(), Bank()
        load, day = Load(server.port, number, ledger), Day(server.port, number, bank)
        load.start()
        day.start()
        time.sleep(random.Random(number).uniform(0.05, 0.3))
        failing_since = time.monotonic()
        halves = [key_on(core, f"half-{core}") for core in (0, 1)]
        if kind == "half":
            write_half(disk, server, halves, number)
        else:
            disk.tell(f"fail {kind} {number}")
        status = server.reap()
        load.join()
        day.join(failing_since)
        rig.check(
            status == STATUS_LOG,
            f"after a failed {kind} the server must end by itself with {STATUS_LOG}, "
            f"it ended with {status}\n{server.says()}",
        )
        said = rig.tail(server.stderr)
        rig.check(
            "panicked" not in said, f"a failed {kind} is an operating error, not a panic:\n{said}"
        )
        rig.check(
            "segment" in said or "hardstate" in said or "log" in said.lower(),
            f"the server says what failed:\n{server.says()}",
        )
        disk.tell(f"cut {number} drop")
        disk.detach()
        disk.tell("on")
        disk.attach()
        server.start()
        wrong = ledger.verify(server.port) + bank.verify(server.port)
        with Client(server.port) as client:
            left = [client.call("GET", name) for name in halves]
        if left != [None, None]:
            wrong.append(f"half a transaction: {halves} are {left}")
        rig.check(
            not wrong,
            f"after a failed {kind} ({number}) {len(wrong)} keys are wrong:\n  "
            + "\n  ".join(wrong[:10]),
        )
        server.stop()
        verify_log(program, server.directory)
        totals["acked"] += load.acked
        totals["transfers"] += day.transfers
    finally:
        if server is not None:
            server.close()
        disk.close()


def write_half(disk, server, halves, number):
    """A transaction in two logs; the disk fails the write of one half."""
    poison = f"poison-of-{number}."
    disk.tell(f"poison {poison}")
    values = ["sound", poison] if number % 2 else [poison, "sound"]
    with Client(server.port) as client:
        client.send(encode("MULTI"))
        for name, value in zip(halves, values):
            client.send(encode("SET", name, value))
        client.send(encode("EXEC"))
        replies = []
        try:
            for _ in range(4):
                replies.append(client.receive())
        except OSError:
            pass
        rig.check(
            not any(isinstance(reply, list) for reply in replies),
            f"a transaction was answered with {replies}, but half of it is on no disk",
        )


def run():
    parser = argparse.ArgumentParser()
    parser.add_argument("--toroid", default=default_binary())
    parser.add_argument("--until", type=int, default=12)
    arguments = parser.parse_args()
    rig.require_host()
    program = Program.named("toroid", arguments.toroid)
    totals = dict(acked=0, transfers=0)
    for kind in ("half", "write", "flush"):
        for number in range(1, arguments.until + 1):
            with rig.workspace("failstop") as base:
                trial(program, base, kind, number, totals)
    print(
        f"failstop: {3 * arguments.until} failed requests, {totals['acked']} acknowledged writes "
        f"and {totals['transfers']} transfers, none lost, none half; exit status {STATUS_LOG}"
    )


if __name__ == "__main__":
    rig.main(run)
