#!/usr/bin/env python3
"""A full disk: writes are refused, reads go on, space brings writes back, and nothing
acknowledged is lost.

The server's directory is a small ext4 on a loop device; a filler file takes what the log leaves.

    writes until every core refuses -> transactions over both are refused whole -> reads, PING ->
    kill -9, start on the full disk, all there; again, until a start says that there is no room for
    it -> filler removed -> start, writes again -> kill -9, start, all there -> wal verify

Red when: a full disk ends the process like any other error; a failed preparation of a segment is
taken for a success; a refused write is applied in memory; the refusal is not MISCONF; the server
cannot start where not one block is free; writes stay refused after space came back; one core's full
log lets through the part of a transaction that another core has room for; a start takes its room
from what it first gives back to the disk, where another core is quicker; a start without room waits
for ever, or ends without a word about it.

Usage: fulldisk.py --toroid PATH
Exit status: 0 passed, 1 wrong, 2 cannot run here.
"""

import argparse
import os

import rig
from resp import Client, ReplyError, encode
from server import Program, Server, core_of, default_binary, key_on, verify_log

IMAGE_SIZE = 160 << 20
STATUS_DIRECTORY = 4
# Starts that must succeed on a full disk, and those after which the room for them must be used up.
STARTS_MIN, STARTS_MAX = 3, 12
CORES, SLICES = 2, 16
VALUE = b"x" * 20000


def fill(path):
    """Takes every free block."""
    with open(path, "wb", buffering=0) as file:
        try:
            while True:
                file.write(b"\0" * (1 << 20))
        except OSError:
            pass
        try:
            while True:
                file.write(b"\0" * 4096)
        except OSError:
            pass
        try:
            os.fsync(file.fileno())
        except OSError:
            pass


def write_until_refused(server, acked, start, refused):
    """Writes fresh keys until every core refuses; returns the refusals and the last number."""
    refusals = {}
    with Client(server.port) as client:
        for number in range(start, start + 50_000):
            name = f"key-{number}"
            core = core_of(name, SLICES, CORES)
            if core in refusals:
                continue  # the others still have room
            reply = client.call("SET", name, b"%d:" % number + VALUE)
            if reply == "OK":
                acked.add(number)
                continue
            refused.append(number)
            refusals[core] = reply
            refused_whole(client, core, name)
            if len(refusals) == CORES:
                return refusals, number
    raise rig.Failure("50,000 writes of 20 kB each went onto a full disk")


def refused_whole(client, full, stem):
    """Writes over several cores, one of which is full: refused soon, and then no part is done."""

    def mset(keys):
        return client.call("MSET", *(word for name in keys for word in (name, VALUE)))

    def transaction(keys):
        sets = b"".join(encode("SET", name, VALUE) for name in keys)
        client.send(encode("MULTI") + sets + encode("EXEC"))
        return [client.receive() for _ in range(len(keys) + 2)][-1]

    for what in (mset, transaction):
        # A loan may count its room more finely than a single write does: a few may still fit.
        for number in range(500):
            name = f"{what.__name__}-{stem}-{number}"
            keys = [key_on(core, name) for core in range(CORES)]
            reply = what(keys)
            is_done = not isinstance(reply, ReplyError)
            left = client.call("MGET", *keys)
            wanted = [VALUE if is_done else None] * CORES
            rig.check(
                left == wanted,
                f"core {full} was full, {what.__name__} answered {reply!r:.99}, and half was done",
            )
            if not is_done:
                rig.check(
                    reply.startswith(("MISCONF", "EXECABORT")), f"{what.__name__}: {reply!r:.99}"
                )
                break
        else:
            raise rig.Failure(f"core {full} is full, and still takes every {what.__name__}")


def is_refused(reply, what):
    rig.check(
        isinstance(reply, ReplyError) and reply.startswith("MISCONF"),
        f"{what} on a full disk answers {reply!r:.99}, not MISCONF ...",
    )


def all_there(server, acked, refused):
    with Client(server.port) as client:
        for number in sorted(acked):
            value = client.call("GET", f"key-{number}")
            rig.check(
                value == b"%d:" % number + VALUE,
                f"key-{number} was acknowledged and is {str(value)[:40]!r}",
            )
        for number in refused:
            value = client.call("GET", f"key-{number}")
            rig.check(value is None, f"key-{number} was refused and is there all the same")


def starve(server, filler, acked, refused):
    """Kills and starts on the full disk until a start finds no room; returns how many served."""
    for number in range(STARTS_MAX):
        server.kill()
        server.reap()
        fill(f"{filler}-{number}")
        server.spawn()
        try:
            server.wait_until_ready()
        except rig.Failure:
            if server.process.poll() is None:
                raise  # it neither serves nor ends
            said = server.says()
            status = server.reap()
            rig.check(
                status == STATUS_DIRECTORY and "too full to start" in said,
                f"a start without room must end with {STATUS_DIRECTORY} and say so, not {status}\n"
                + said,
            )
            rig.check(STARTS_MIN <= number, f"only {number} starts found room on the full disk")
            return number
        all_there(server, acked, refused)
        with Client(server.port) as client:
            for core in range(CORES):
                rig.wait_for(
                    f"core {core} to see that the disk is full",
                    lambda core=core: isinstance(
                        client.call("SET", key_on(core, "probe"), VALUE), ReplyError
                    ),
                )
    raise rig.Failure(f"{STARTS_MAX} starts on a full disk, and none ran out of room")


def run():
    parser = argparse.ArgumentParser()
    parser.add_argument("--toroid", default=default_binary())
    arguments = parser.parse_args()
    rig.require_host()
    program = Program.named("toroid", arguments.toroid)
    with rig.workspace("fulldisk") as base:
        image, mountpoint = os.path.join(base, "image"), os.path.join(base, "fs")
        os.mkdir(mountpoint)
        with open(image, "wb") as file:
            file.truncate(IMAGE_SIZE)
        rig.command("mkfs.ext4", "-q", "-F", "-m", "0", image)
        loop = rig.command("losetup", "--direct-io=on", "--find", "--show", image)
        server = None
        try:
            rig.command("mount", loop, mountpoint)
            data, filler = os.path.join(mountpoint, "data"), os.path.join(mountpoint, "filler")
            extra = ["--cores", str(CORES), "--slices", str(SLICES)]
            extra += ["--wal-segment-size", str(4 << 20)]
            server = Server(program, data, base, extra)
            server.start()
            acked, refused = set(), []
            with Client(server.port) as client:
                for number in range(100):
                    rig.check(
                        client.call("SET", f"key-{number}", b"%d:" % number + VALUE) == "OK",
                        "room is left",
                    )
                    acked.add(number)

            fill(filler)
            refusals, number = write_until_refused(server, acked, 100, refused)
            for core, reply in refusals.items():
                is_refused(reply, f"SET on core {core}")
            print(f"refused after {len(acked)} acknowledged writes: {refusals[0]}", flush=True)
            all_there(server, acked, refused)
            with Client(server.port) as client:
                rig.check(client.call("PING") == "PONG", "PING answers on a full disk")
                for words in (("DEL", "key-0"), ("INCR", "counter"), ("FLUSHALL",)):
                    is_refused(client.call(*words), words)
            all_there(server, acked, refused)

            starts = starve(server, filler, acked, refused)
            print(f"{starts} starts on the full disk, then one that said why not", flush=True)

            for name in os.listdir(mountpoint):
                if name.startswith("filler"):
                    os.remove(os.path.join(mountpoint, name))
            server.start()
            all_there(server, acked, refused)
            with Client(server.port) as client:
                rig.wait_for(
                    "writes on every core after space came back",
                    lambda: all(
                        client.call("SET", key_on(core, "again"), "1") == "OK"
                        for core in range(CORES)
                    ),
                )
                pairs = [w for core in range(CORES) for w in (key_on(core, "pair"), "1")]
                rig.check(client.call("MSET", *pairs) == "OK", "MSET after space came back")
                for number in range(number + 1, number + 500):
                    rig.check(
                        client.call("SET", f"key-{number}", b"%d:" % number + VALUE) == "OK",
                        "writes go on after space came back",
                    )
                    acked.add(number)
            server.kill()
            server.reap()
            server.start()
            all_there(server, acked, refused)
            server.stop()
            verify_log(program, data)
            print(f"fulldisk: {len(acked)} acknowledged writes, none lost")
        finally:
            if server is not None:
                server.close()
            rig.unmount(mountpoint)
            rig.command("losetup", "--detach", loop)


if __name__ == "__main__":
    rig.main(run)
