#!/usr/bin/env python3
"""An error of a log write or flush is final: no further acknowledgement, a named end, nothing lost.

For n = 1, 2, ... the n-th write, then the n-th flush, of a running server fails with EIO
(disk.py). The server must end by itself with a failure status and say which file failed; what it
acknowledged before must be there on the next start; and it may not have acknowledged what the
failed request carried: the disk drops everything unflushed on the way.

Red when: an error of a log write is taken for a success; the process goes on after it; the frame of
the failed write counts as durable; the exit status is 0.

Usage: failstop.py --toroid PATH [--until 12]
Exit status: 0 passed, 1 wrong, 2 cannot run here.
"""

import argparse
import os
import random
import time

import rig
from ledger import Ledger, Load
from server import Program, Server, default_binary, verify_log

DISK_SIZE = 1 << 29


def trial(program, base, kind, number, totals):
    disk = rig.FakeDisk(base, DISK_SIZE)
    server = None
    try:
        disk.attach(make=True)
        server = Server(
            program,
            os.path.join(disk.mountpoint, "data"),
            base,
            ["--wal-segment-size", str(4 << 20)],
        )
        server.start()
        ledger = Ledger()
        load = Load(server.port, number, ledger)
        load.start()
        time.sleep(random.Random(number).uniform(0.05, 0.3))
        disk.tell(f"fail {kind} {number}")
        status = server.reap()
        load.join()
        rig.check(
            status > 0,
            f"after a failed {kind} the server must end by itself with a failure status, "
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
        wrong = ledger.verify(server.port)
        rig.check(
            not wrong,
            f"after a failed {kind} ({number}) {len(wrong)} keys are wrong:\n  "
            + "\n  ".join(wrong[:10]),
        )
        server.stop()
        verify_log(program, server.directory)
        totals["acked"] += load.acked
        totals["statuses"].add(status)
    finally:
        if server is not None:
            server.close()
        disk.close()


def run():
    parser = argparse.ArgumentParser()
    parser.add_argument("--toroid", default=default_binary())
    parser.add_argument("--until", type=int, default=12)
    arguments = parser.parse_args()
    rig.require_host()
    program = Program.named("toroid", arguments.toroid)
    totals = dict(acked=0, statuses=set())
    for kind in ("write", "flush"):
        for number in range(1, arguments.until + 1):
            with rig.workspace("failstop") as base:
                trial(program, base, kind, number, totals)
    rig.check(len(totals["statuses"]) == 1, f"one reason, one exit status: {totals['statuses']}")
    print(
        f"failstop: {2 * arguments.until} failed requests, "
        f"{totals['acked']} acknowledged writes, none lost; "
        f"exit status {totals['statuses'].pop()}"
    )


if __name__ == "__main__":
    rig.main(run)
