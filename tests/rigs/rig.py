"""What every rig needs: how it fails, how it waits, the fake disk with a file system on it.

Nothing here decides whether a test passes; that is in the rig that imports it. Everything
started is ended by its own process id, and everything mounted is unmounted, also after a failure.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
DEADLINE_S = 60


class Failure(Exception):
    """The thing under test did something wrong. Not for a rig that cannot run: that is `Unable`."""


class Unable(Exception):
    """The rig cannot run here: what is missing, and how to get it."""


def check(condition, message):
    if not condition:
        raise Failure(message)


def wait_for(what, condition, deadline_s=DEADLINE_S):
    """Polls until `condition()` is true; returns its value."""
    end = time.monotonic() + deadline_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise Failure(f"{what}: not within {deadline_s} s")
        time.sleep(0.005)


def tail(path, size=3000):
    with open(path, "rb") as file:
        file.seek(max(0, os.path.getsize(path) - size))
        return file.read().decode("utf-8", "replace")


def command(*words):
    """Runs a tool and returns its stdout; a failing tool is an error with what it said."""
    done = subprocess.run(
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False
    )
    if done.returncode != 0:
        raise OSError(f"{' '.join(words)} ended with {done.returncode}: {done.stderr.strip()}")
    return done.stdout.strip()


def require_host():
    """Refuses to start where no rig can work; a skipped cut would look like a passed one."""
    if os.geteuid() != 0:
        raise Unable("mounting file systems needs root: run this as root")
    for path, why in (("/dev/fuse", "modprobe fuse"), ("/dev/loop-control", "modprobe loop")):
        if not os.path.exists(path):
            raise Unable(f"{path} is missing: {why}, or run where the kernel has it")
    for tool, package in (
        ("losetup", "mount"),
        ("mkfs.ext4", "e2fsprogs"),
        ("mount", "mount"),
        ("umount", "mount"),
        ("fsck.ext4", "e2fsprogs"),
    ):
        if shutil.which(tool) is None:
            raise Unable(f"{tool} is not installed: apt-get install {package}")


def unmount(mountpoint):
    """Unmounts what is mounted there; waits for what a killed process still has to let go of."""
    if os.path.ismount(mountpoint):
        words = ["umount", mountpoint]
        wait_for(
            " ".join(words),
            lambda: subprocess.run(words, stderr=subprocess.DEVNULL, check=False).returncode == 0,
        )


class FakeDisk:
    """The process of disk.py, a loop device on its file, a file system on that."""

    def __init__(self, directory, size):
        self.below = os.path.join(directory, "below")
        self.mountpoint = os.path.join(directory, "fs")
        os.makedirs(self.below)
        os.makedirs(self.mountpoint)
        self.errors = open(os.path.join(directory, "disk.stderr"), "wb")
        self.process = subprocess.Popen(
            [sys.executable, os.path.join(HERE, "disk.py"), self.below, str(size)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            start_new_session=True,
        )
        self.lock = threading.Lock()
        self.loop = None
        self.is_mounted = False
        try:
            if self.answer() != {"ready": True}:
                raise Unable("the disk process did not come up: " + tail(self.errors.name))
        except BaseException:
            self.close()
            raise

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            self.errors.flush()
            raise Unable("the disk process died: " + tail(self.errors.name))
        return json.loads(line)

    def tell(self, line):
        with self.lock:
            self.process.stdin.write(line.encode() + b"\n")
            self.process.stdin.flush()
            answer = self.answer()
        if "error" in answer:
            raise OSError(answer["error"])
        return answer

    def status(self):
        return self.tell("status")

    def attach(self, make=False, options="errors=remount-ro"):
        self.loop = command(
            "losetup", "--direct-io=on", "--find", "--show", os.path.join(self.below, "disk")
        )
        with open(
            f"/sys/block/{os.path.basename(self.loop)}/queue/write_cache", encoding="ascii"
        ) as file:
            cache = file.read().strip()
        if cache != "write back":
            raise Unable(
                f"{self.loop} says its cache is '{cache}': no flush would ever reach the disk"
            )
        if make:
            command(
                "mkfs.ext4",
                "-q",
                "-F",
                "-m",
                "0",
                "-E",
                "nodiscard,lazy_itable_init=0,lazy_journal_init=0",
                self.loop,
            )
        command("mount", "-t", "ext4", "-o", options, self.loop, self.mountpoint)
        self.is_mounted = True

    def detach(self):
        if self.is_mounted:
            # After a cut the file system cannot write its journal; it is unmounted all the same.
            unmount(self.mountpoint)
            self.is_mounted = False
        if self.loop:
            command("losetup", "--detach", self.loop)
            loop = os.path.basename(self.loop)
            wait_for("losetup --detach", lambda: not os.path.exists(f"/sys/block/{loop}/loop"))
            self.loop = None

    def close(self):
        with contextlib.suppress(Exception):
            self.tell("hold none")
            self.tell("delay 0 0")
            self.tell("release")
        with contextlib.suppress(Exception):
            self.detach()
        if self.is_mounted:
            subprocess.run(["umount", "-l", self.mountpoint], check=False)
        subprocess.run(["umount", self.below], stderr=subprocess.DEVNULL, check=False)
        with contextlib.suppress(Exception):
            self.process.stdin.close()
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        subprocess.run(["umount", "-l", self.below], stderr=subprocess.DEVNULL, check=False)
        self.errors.close()


@contextlib.contextmanager
def workspace(name, keep_after_failure=True):
    """A directory on a real file system; kept and named after a failure."""
    base = os.environ.get("TOROID_RIG_DIR") or os.path.join(
        os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target")), "rigs"
    )
    os.makedirs(base, exist_ok=True)
    path = tempfile.mkdtemp(prefix=name + "-", dir=base)
    try:
        yield path
    except BaseException:
        if keep_after_failure:
            print(f"{name}: what the server said is kept in {path}", file=sys.stderr)
        else:
            shutil.rmtree(path, ignore_errors=True)
        raise
    else:
        shutil.rmtree(path)


def main(run):
    """Runs a rig: 0 passed, 1 the server is wrong, 2 the rig cannot run here."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(3))
    try:
        run()
    except Unable as unable:
        print(f"cannot run: {unable}", file=sys.stderr)
        sys.exit(2)
    except Failure as failure:
        print(f"FAILED: {failure}", file=sys.stderr)
        sys.exit(1)
    except OSError as error:
        traceback.print_exc()
        print(f"FAILED: a connection or a file broke that should not: {error}", file=sys.stderr)
        sys.exit(1)
