"""The server under test: started, waited for, killed by its process id, always reaped."""

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess

from resp import Client
from rig import DEADLINE_S, ROOT, Failure, Unable, check, tail, wait_for


def free_port():
    """A free port below the ephemeral range, so that no outgoing connection sits on it later."""
    while True:
        port = random.SystemRandom().randrange(20000, 32000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue


def default_binary():
    """TOROID_BIN, or what `cargo build --release` makes."""
    target = os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target"))
    return os.environ.get("TOROID_BIN") or os.path.join(target, "release", "toroid")


def planted_binary():
    """TOROID_PLANTED_BIN, or what the build with planted bugs makes (README.md)."""
    target = os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target"))
    planted = os.path.join(target, "planted", "release", "toroid")
    return os.environ.get("TOROID_PLANTED_BIN") or planted


class Program:
    """How to start the server: the real one, or a stand-in that shows what a rig can see."""

    def __init__(self, name, binary, arguments=(), plant=None):
        self.name, self.binary, self.arguments = name, binary, list(arguments)
        self.environment = dict(os.environ)
        if plant is not None:
            self.environment["TOROID_PLANT"] = plant

    @staticmethod
    def planted(plant, binary):
        """Toroid with a planted bug."""
        if not os.access(binary, os.X_OK):
            raise Unable(
                f"{binary} is not there: cargo build --release --features planted "
                "--target-dir target/planted"
            )
        return Program(f"toroid with {plant}", binary, ["--durability", "local"], plant)

    @staticmethod
    def named(name, binary):
        if name.startswith("toroid") and not os.access(binary, os.X_OK):
            raise Unable(f"{binary} is not there: cargo build --release")
        if name == "toroid":
            return Program(name, binary, ["--durability", "local"])
        if name == "toroid-memory":
            return Program(name, binary, ["--durability", "memory"])
        if name in ("redis-always", "redis-everysec"):
            redis = shutil.which("redis-server") or shutil.which("valkey-server")
            if redis is None:
                raise Unable("redis-server is not installed: apt-get install redis-server")
            return Program(name, redis)
        raise Unable(f"no such program: {name}")

    @property
    def is_toroid(self):
        return self.name.startswith("toroid")

    def line(self, port, directory, extra):
        if self.is_toroid:
            return [
                self.binary,
                "serve",
                "--bind",
                "127.0.0.1",
                "--port",
                str(port),
                "--dir",
                directory,
                *self.arguments,
                *extra,
            ]
        os.makedirs(directory, exist_ok=True)
        return [
            self.binary,
            "--bind",
            "127.0.0.1",
            "--port",
            str(port),
            "--dir",
            directory,
            "--save",
            "",
            "--appendonly",
            "yes",
            "--appendfsync",
            self.name.split("-")[1],
            "--auto-aof-rewrite-percentage",
            "0",
        ]


class Server:
    """One running server. Its output goes to files beside the disk under test."""

    def __init__(self, program, directory, logs, extra=(), port=None):
        self.program, self.directory, self.logs, self.extra = program, directory, logs, list(extra)
        self.port = port or free_port()
        self.process = None
        self.starts = 0
        self.is_ready = False

    def spawn(self):
        assert self.process is None, "a server is started once at a time"
        self.starts += 1
        self.is_ready = False
        self.stdout = os.path.join(self.logs, f"server-{self.starts}.stdout")
        self.stderr = os.path.join(self.logs, f"server-{self.starts}.stderr")
        with open(self.stdout, "wb") as out, open(self.stderr, "wb") as err:
            self.process = subprocess.Popen(
                self.program.line(self.port, self.directory, self.extra),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
                cwd="/",
                env=self.program.environment,
            )

    def says(self):
        return f"stdout:\n{tail(self.stdout)}\nstderr:\n{tail(self.stderr)}"

    def wait_until_ready(self, deadline_s=DEADLINE_S):
        def ready():
            status = self.process.poll()
            if status is not None:
                raise Failure(f"the server ended with {status} instead of serving\n{self.says()}")
            with contextlib.suppress(OSError):
                with Client(self.port) as client:
                    self.is_ready = client.call("PING") == "PONG"
                    return self.is_ready
            return False

        try:
            wait_for("the server's first PONG", ready, deadline_s)
        except Failure as failure:
            raise Failure(f"{failure}\n{self.says()}") from None

    def start(self):
        self.spawn()
        self.wait_until_ready()

    def kill(self, number=signal.SIGKILL):
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(number)

    def reap(self, deadline_s=DEADLINE_S):
        try:
            status = self.process.wait(timeout=deadline_s)
        except subprocess.TimeoutExpired:
            raise Failure(f"the server did not end within {deadline_s} s\n{self.says()}") from None
        self.process = None
        return status

    def stop(self):
        """A clean end: SIGTERM, exit status 0."""
        self.kill(signal.SIGTERM)
        status = self.reap()
        check(
            status == 0,
            f"SIGTERM must end the server with 0, it ended with {status}\n{self.says()}",
        )

    def close(self):
        if self.process is not None:
            self.kill()
            with contextlib.suppress(Exception):
                self.process.wait(timeout=30)
            self.process = None


def verify_log(program, directory):
    """`toroid wal verify` on the log left behind finds nothing."""
    if not program.is_toroid:
        return
    done = subprocess.run(
        [program.binary, "wal", "verify", directory],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=600,
    )
    check(
        done.returncode == 0,
        f"toroid wal verify {directory} ended with {done.returncode}:\n{done.stdout[-3000:]}",
    )


SLOTS = 16384


def slot_of(name):
    """The hash slot of a key: CRC16 (XMODEM) of its hash tag, or of all of it."""
    key = name.encode()
    start = key.find(b"{")
    if start >= 0:
        end = key.find(b"}", start + 1)
        if end > start + 1:
            key = key[start + 1 : end]
    crc = 0
    for byte in key:
        crc ^= byte << 8
        for _ in range(8):
            crc = (crc << 1 ^ 0x1021 if crc & 0x8000 else crc << 1) & 0xFFFF
    return crc % SLOTS


def core_of(name, slices, cores):
    """The core that serves a key: its slice, dealt out in turn."""
    return slot_of(name) // (SLOTS // slices) % cores


def key_on(core, stem, slices=16, cores=2):
    """A key that begins with `stem` and is served by `core`."""
    numbers = (f"{stem}-{number}" for number in range(10_000))
    return next(name for name in numbers if core_of(name, slices, cores) == core)
