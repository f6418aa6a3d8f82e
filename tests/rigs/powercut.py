#!/usr/bin/env python3
"""Power cuts under load: nothing acknowledged, and nothing shown, may be missing afterwards, and
no half of a transaction may be there.

The server writes to a file system on a disk that loses what was not flushed (disk.py). A cut
takes the disk and the server away in one moment; then the disk comes back, the file system
replays its journal, the server recovers, and every key of the ledger is read. Four kinds of
rounds, by the seed:

    load, cut                          the plain case
    load, cut, cut while recovering    recovery must survive its own interruption
    load, kill -9, read all, cut       what a recovered server shows must be durable already
    load, clean stop, cut              a clean stop leaves nothing unflushed

The load is a ledger of single keys and a bank of transactions over all slices (ledger.py, bank.py).
Now and then the server comes back with another number of cores, and begins new logs beside the old.
With most starts snapshots are taken all the time, so that cuts fall into what is written,
published, trimmed and removed.

(On `--program redis-always` the third kind is red, rightly: redis-server shows what it found in
its file without flushing it first.)

First the canaries: a server that answers before its flush, and one that logs what a transaction
wrote in several slices without fragments, run on the same rig and must be caught. A rig that does
not catch them proves nothing, and fails.

Red when: the log is open without O_DSYNC; replies are released when a frame is submitted; a frame
counts as durable before an older one is; a read answers a value whose frame is in flight;
recovery leaves out an effect; hints run ahead of the truth; a transaction counts as soon as one
core has its part on disk; a start with another number of cores leaves out older logs. Not caught
here, but by the simulator: a recovered tail that is used without a flush (any later flush covers
it on this disk).

Usage: powercut.py --toroid PATH [--cuts 50] [--seed N] [--program toroid] [--canary toroid-memory]
                   [--planted PATH]
Exit status: 0 passed, 1 an acknowledged write is missing or the canary was not caught, 2 cannot
run here.
"""

import argparse
import os
import random
import time

import rig
from bank import Bank, Day
from ledger import Ledger, Load
from server import Program, Server, default_binary, planted_binary, verify_log

DISK_SIZE = 3 << 29
# Another size of segments belongs to another file system: it is made after this many cuts.
CUTS_PER_DISK = 10
CANARY_CUTS_MAX = 20
ACKED_PER_CUT_MIN = 200
TRANSFERS_PER_CUT_MIN = 20
SLICES = 16
CORES = (1, 2)
SEGMENT_SIZES = (64 << 10, 256 << 10, 4 << 20)
SNAPSHOT_LOG_SIZES = ("64kb", "64kb", "1mb", "256mb")


# The longest time the disk takes for a write and for a flush, in microseconds.
PACES = ((0, 2000), (500, 2000), (3000, 3000), (0, 0), (0, 20000))
CANARY_PACES = ((0, 20000), (6000, 20000))


class Totals:
    def __init__(self):
        self.cuts = self.acked = self.seen = 0
        self.transfers = self.refused = self.audits = self.regrouped = 0
        self.dropped = self.kept = self.torn = self.unflushed = 0
        self.kinds = {}

    def add(self, tally):
        self.cuts += 1
        for name in ("dropped", "kept", "torn", "unflushed"):
            setattr(self, name, getattr(self, name) + tally[name])


def arrange(server, before, cores, segment_size, snapshot_log_size, totals=None):
    """With how many cores the server starts next, and how often it takes snapshots."""
    if server.program.is_toroid:
        sizes = ["--wal-segment-size", str(segment_size), "--slices", str(SLICES)]
        snapshots = ["--snapshot-log-size", snapshot_log_size]
        server.extra = [*sizes, *snapshots, "--cores", str(cores)]
        if totals is not None and cores != before:
            totals.regrouped += 1
    return cores


def run_disk(program, cuts, seed, totals, base, may_lose):
    """Cuts the power `cuts` times on one fresh disk. Returns what was found missing."""
    chance = random.Random(seed)
    disk = rig.FakeDisk(base, DISK_SIZE)
    server = None
    try:
        disk.attach(make=True)
        server = Server(program, os.path.join(disk.mountpoint, "data"), base)
        segment_size = chance.choice(SEGMENT_SIZES)
        cores = arrange(server, 0, max(CORES), segment_size, chance.choice(SNAPSHOT_LOG_SIZES))
        server.start()
        ledger, bank = Ledger(), Bank()
        done = 0
        cut_at = None

        def cut(kind):
            nonlocal done, cut_at
            # Mostly when something is between its write and its flush, by preference the frames of
            # several cores; sometimes at any moment.
            end, least = time.monotonic() + chance.choice((0, 0.1, 0.2)), chance.choice((1, 2))
            while time.monotonic() < end and disk.status()["pending"] < least:
                pass
            cut_at = time.monotonic()
            tally = disk.tell(f"cut {chance.getrandbits(32)} mix")
            server.kill()
            server.reap()
            totals.add(tally)
            totals.kinds[kind] = totals.kinds.get(kind, 0) + 1
            done += 1
            return tally

        def power_on():
            nonlocal cores
            disk.detach()
            disk.tell("on")
            disk.attach()
            wanted = chance.choice(CORES) if chance.random() < 0.4 else cores
            often = chance.choice(SNAPSHOT_LOG_SIZES)
            cores = arrange(server, cores, wanted, segment_size, often, totals)

        def verify():
            return ledger.verify(server.port) + bank.verify(server.port)

        def join():
            load.join()
            day.join(cut_at)
            totals.transfers += day.transfers
            totals.refused += day.refused
            totals.audits += day.audits

        while done < cuts:
            # Slow enough that something is mostly between a write and its flush.
            write_us, flush_us = chance.choice(CANARY_PACES if may_lose else PACES)
            disk.tell(f"delay {write_us} {flush_us}")
            # The canary must fall to a cut; a kill might do, and would say nothing of the disk.
            odds = (6, 3, 0, 0) if may_lose else (6, 3, 3, 1)
            kind = chance.choices(("load", "twice", "kill", "stop"), odds)[0]
            load = Load(server.port, chance.getrandbits(32), ledger)
            day = Day(server.port, chance.getrandbits(32), bank)
            cut_at = None
            load.start()
            day.start()
            time.sleep(chance.uniform(0.2, 1.2))
            if kind in ("load", "twice"):
                cut(kind)
                join()
                power_on()
                if kind == "twice" and done < cuts:
                    server.spawn()
                    time.sleep(chance.uniform(0, 0.15))
                    cut("recovering")
                    power_on()
                server.start()
            else:
                if kind == "kill":
                    server.kill()
                    join()
                    server.reap()
                    server.start()
                    wrong = verify()
                    if wrong:
                        return ["after a kill -9 alone:", *wrong]
                    cut("killed before")
                else:
                    load.stopping.set()
                    join()
                    server.stop()
                    server.spawn()
                    cut("stopped before")
                power_on()
                server.start()
            totals.acked += load.acked
            totals.seen += load.seen
            wrong = verify()
            if wrong:
                return [f"in a round of kind '{kind}':", *wrong]
        disk.tell("delay 0 0")
        server.stop()
        verify_log(program, server.directory)
        return []
    except rig.Failure as failure:
        if may_lose:
            return [str(failure)]  # a canary that cannot even start again has lost as well
        raise
    finally:
        if server is not None:
            server.close()
        disk.close()


def convict(canary, seed, words):
    """Runs a server that loses something until it is caught, for what it does wrong."""
    totals = Totals()
    caught = []
    while not caught and totals.cuts < CANARY_CUTS_MAX:
        with rig.workspace("canary") as base:
            caught = run_disk(
                canary, CUTS_PER_DISK, seed + totals.cuts, totals, base, may_lose=True
            )
    rig.check(
        caught,
        f"the canary {canary.name} lost nothing in {totals.cuts} cuts ({totals.acked} acknowledged "
        f"writes, {totals.transfers} transfers, {totals.dropped} unflushed writes dropped): this "
        "rig proves nothing",
    )
    text = "\n".join(caught)
    rig.check(words in text, f"the canary {canary.name} was caught for another reason: {text}")
    said = next(line for line in text.splitlines() if words in line and not line.endswith(":"))
    print(f"canary: {canary.name} caught after {totals.cuts} cuts: {said}", flush=True)


def run():
    parser = argparse.ArgumentParser()
    parser.add_argument("--toroid", default=default_binary())
    parser.add_argument("--program", default="toroid")
    parser.add_argument("--canary", default="toroid-memory")
    parser.add_argument("--planted", default=planted_binary())
    parser.add_argument("--cuts", type=int, default=50)
    parser.add_argument("--seed", type=int, default=None)
    arguments = parser.parse_args()
    rig.require_host()
    seed = arguments.seed if arguments.seed is not None else random.SystemRandom().getrandbits(32)
    print(f"powercut: program {arguments.program}, seed {seed}", flush=True)

    convict(Program.named(arguments.canary, arguments.toroid), seed, "")
    convict(Program.planted("ForgetFragment", arguments.planted), seed, "half a transfer")

    program = Program.named(arguments.program, arguments.toroid)
    totals = Totals()
    disks = 0
    while totals.cuts < arguments.cuts:
        with rig.workspace("powercut") as base:
            cuts = min(CUTS_PER_DISK, arguments.cuts - totals.cuts)
            wrong = run_disk(program, cuts, seed * 100 + disks, totals, base, may_lose=False)
            rig.check(
                not wrong,
                f"after cut {totals.cuts} (seed {seed}, disk {disks}) {len(wrong) - 1} keys are "
                "wrong, " + "\n  ".join(wrong[:10]),
            )
        disks += 1
        print(
            f"cuts {totals.cuts}, acknowledged writes {totals.acked}, reads {totals.seen}, "
            "unflushed writes "
            f"{totals.unflushed}: dropped {totals.dropped}, torn {totals.torn}, kept {totals.kept}",
            flush=True,
        )
        print(
            f"transfers {totals.transfers}, refused by a watch {totals.refused}, audits "
            f"{totals.audits}, starts with another number of cores {totals.regrouped}",
            flush=True,
        )
    print(
        "rounds by kind: "
        + ", ".join(f"{kind} {count}" for kind, count in sorted(totals.kinds.items()))
    )
    rig.check(totals.dropped > 0, "no unflushed write was ever dropped: this rig proves nothing")
    rig.check(
        totals.cuts < 20 or totals.torn > 0,
        "no unflushed write was ever torn: this rig proves little",
    )
    rig.check(
        totals.acked >= ACKED_PER_CUT_MIN * totals.cuts,
        f"only {totals.acked} acknowledged writes in {totals.cuts} cuts prove nothing",
    )
    rig.check(
        totals.transfers >= TRANSFERS_PER_CUT_MIN * totals.cuts,
        f"only {totals.transfers} transfers in {totals.cuts} cuts prove nothing",
    )
    rig.check(totals.audits >= totals.cuts, f"only {totals.audits} audits prove nothing")
    rig.check(
        not program.is_toroid or totals.cuts < 20 or totals.regrouped > 0,
        "the number of cores never changed",
    )
    print("powercut: nothing acknowledged is missing, and no transaction is half there")


if __name__ == "__main__":
    rig.main(run)
