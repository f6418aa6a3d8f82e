#!/usr/bin/env python3
"""A full disk: writes are refused, reads go on, space brings writes back, and nothing
acknowledged is lost.

The server's directory is a small ext4 on a loop device; a filler file takes what the log leaves.

    writes until refused -> reads, PING -> kill -9, start on the full disk, all there ->
    filler removed -> writes again -> kill -9, start, all there -> wal verify

Red when: a full disk ends the process like any other error; a failed preparation of a segment is
taken for a success; a refused write is applied in memory; the refusal is not MISCONF; the server
cannot start where not one block is free; writes stay refused after space came back.

Usage: fulldisk.py --toroid PATH
Exit status: 0 passed, 1 wrong, 2 cannot run here.
"""

import argparse
import os

import rig
from resp import Client, ReplyError
from server import Program, Server, default_binary, verify_log

IMAGE_SIZE = 160 << 20
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


def write_until_refused(server, acked, start):
    """Writes fresh keys until one is refused; returns the refusal and its number."""
    with Client(server.port) as client:
        for number in range(start, start + 50_000):
            reply = client.call("SET", f"key-{number}", b"%d:" % number + VALUE)
            if reply != "OK":
                return reply, number
            acked.add(number)
    raise rig.Failure("50,000 writes of 20 kB each went onto a full disk")


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
            server = Server(program, data, base, ["--wal-segment-size", str(4 << 20)])
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
            reply, number = write_until_refused(server, acked, 100)
            refused.append(number)
            rig.check(
                isinstance(reply, ReplyError) and reply.startswith("MISCONF"),
                f"a write on a full disk answers {reply!r}, not MISCONF ...",
            )
            print(f"refused after {len(acked)} acknowledged writes: {reply}", flush=True)
            all_there(server, acked, refused)
            with Client(server.port) as client:
                rig.check(client.call("PING") == "PONG", "PING answers on a full disk")
                for words in (("DEL", "key-0"), ("INCR", "counter"), ("FLUSHALL",)):
                    reply = client.call(*words)
                    rig.check(
                        isinstance(reply, ReplyError) and reply.startswith("MISCONF"),
                        f"{words} on a full disk answers {reply!r}",
                    )
            all_there(server, acked, refused)

            for attempt in range(3):
                server.kill()
                server.reap()
                fill(filler + f"-{attempt}")
                server.start()
                all_there(server, acked, refused)
            reply, number = write_until_refused(server, acked, number + 1)
            refused.append(number)
            print(
                f"after three kills on the full disk {len(acked)} acknowledged writes, all there",
                flush=True,
            )

            for name in os.listdir(mountpoint):
                if name.startswith("filler"):
                    os.remove(os.path.join(mountpoint, name))
            with Client(server.port) as client:
                rig.wait_for(
                    "writes after space came back", lambda: client.call("SET", "again", "1") == "OK"
                )
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
