"""One file of the suite against one server: what passed, what failed and why, what was not reached.

The suite runs a file to its end unless a test hangs or the server goes away. A hanging test is
ended, counted as failed, and the file runs again without it on a fresh server; so is the test
during which a server ended, which is reported as an incident besides: no reason excuses it.
"""

import collections
import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, "rigs"))
from rig import Failure, Unable, tail, wait_for  # noqa: E402
from resp import Client  # noqa: E402
from server import Program, Server, free_port, verify_log  # noqa: E402

# In the order of the issues that ask for them.
UNITS = [
    "unit/type/string",
    "unit/type/incr",
    "unit/keyspace",
    "unit/expire",
    "unit/scan",
    "unit/bitops",
    "unit/bitfield",
    "unit/multi",
    "unit/protocol",
    "unit/introspection",
    "unit/introspection-2",
    "unit/info-command",
    "unit/slowlog",
    "unit/latency-monitor",
    "unit/lazyfree",
    "unit/pause",
    "unit/quit",
    "unit/pubsub",
    "unit/type/list",
    "unit/type/list-2",
    "unit/type/list-3",
    "unit/type/hash",
    "unit/type/set",
    "unit/type/zset",
    "unit/hashexpire",
    "unit/dump",
    "unit/sort",
    "unit/other",
]
# Files that have none but slow tests: they run with them, or nothing of them would run.
SLOW_UNITS = ("unit/type/list-2",)
# The longest test takes 6 s on an idle machine, but one of them waits for 10,000 flushes of the
# disk one after another; one without progress for this long hangs.
HANG_S = 60
# The longest file takes 12 s on an idle machine.
UNIT_S = 300
RUNS_MAX = 12
COLOUR = re.compile(r"\x1b\[[0-9;]*m")
STATUS = re.compile(r"^\[(ok|err|skip|ignore|exception|TIMEOUT|ready|\d+/\d+ done)\]: (.*)$")
TIMEOUT = re.compile(r"^\*\*\* \[TIMEOUT\]: (.*) in \S*$")
GONE = ("I/O error reading reply", "connection refused", "connection reset", "broken pipe")


class Result:
    """What one file showed."""

    def __init__(self, unit):
        self.unit = unit
        self.passed = collections.Counter()
        self.failed = {}
        # Failures of a block of tests outside every test: what follows in the block is not reached.
        self.blocks = []
        # What no reason excuses: a server that ended, a file that never came to its end.
        self.incidents = []


def parse(text):
    """Reads the suite's output; returns a Result without its name, and the test that hung."""
    result, hung, entry = Result(None), None, None

    def close():
        if entry is None:
            return
        first, message = entry[0], "\n".join(entry[1:])
        named = re.match(r"^(.*) in tests/\S+\.tcl$", first)
        if named:
            result.failed[named.group(1)] = message
        else:
            result.blocks.append("\n".join(entry))

    for line in COLOUR.sub("", text).splitlines():
        timeout = TIMEOUT.match(line)
        if timeout:
            hung = timeout.group(1)
        status = STATUS.match(line)
        if status is None:
            if line.strip() == "The End" or line.startswith("***"):
                close()
                entry = None
            elif entry is not None:
                entry.append(line)
            continue
        close()
        entry = None
        kind, rest = status.groups()
        if kind == "ok":
            result.passed[re.sub(r" \(\d+ ms\)$", "", rest)] += 1
        elif kind in ("err", "exception"):
            entry = [rest]
    close()
    return result, hung


class Valkey(Program):
    """Stock Valkey as the suite itself starts it: with DEBUG."""

    def __init__(self, binary, more=()):
        super().__init__("valkey", binary, more)

    def line(self, port, directory, extra):
        os.makedirs(directory, exist_ok=True)
        words = [self.binary, "--bind", "127.0.0.1", "--port", str(port), "--dir", directory]
        return words + ["--save", "", "--enable-debug-command", "yes", *self.arguments, *extra]


class Toroid(Program):
    """Toroid with its defaults: durable, on that many cores."""

    def __init__(self, binary, cores):
        if not os.access(binary, os.X_OK):
            raise Unable(f"{binary} is not there: cargo build --release")
        done = subprocess.run([binary, "serve", "--help"], capture_output=True, check=False)
        words = ["--cores", str(cores)]
        if b"--enable-debug-command" in done.stdout:
            words += ["--enable-debug-command", "yes"]
        super().__init__("toroid", binary, words)


def run_suite(suite, unit, port, skipped, output):
    """Runs one file once; returns what it said. Its process group never outlives the deadline."""
    words = ["./runtest", "--host", "127.0.0.1", "--port", str(port), "--durable"]
    if unit not in SLOW_UNITS:
        words += ["--tags", "-slow"]
    words += ["--timeout", str(HANG_S), "--baseport", str(free_port())]
    for name in skipped:
        words += ["--skiptest", name]
    words += ["--single", unit]
    with open(output, "wb") as file:
        process = subprocess.Popen(
            words,
            cwd=suite,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={**os.environ, "VALKEY_BIN_DIR": os.path.join(suite, "bin")},
        )
        late = False
        try:
            process.wait(timeout=UNIT_S)
        except subprocess.TimeoutExpired:
            late = True
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    with open(output, encoding="utf-8", errors="replace") as file:
        return file.read(), late


def run_unit(suite, unit, program, work, hanging=None):
    """Runs one file, without the tests `hanging`, until it comes to its end; returns its Result."""
    skipped, incidents = dict(hanging or {}), []
    for attempt in range(1, RUNS_MAX + 1):
        at = os.path.join(work, f"{unit.replace('/', '-')}-{attempt}")
        shutil.rmtree(at, ignore_errors=True)
        os.makedirs(at)
        server = Server(program, os.path.join(at, "data"), at)
        try:
            server.start()
            port = server.port
            text, late = run_suite(suite, unit, port, skipped, os.path.join(at, "suite.txt"))
            status = server.process.poll()
            if status is None:
                incidents += ended(server, program, at)
        finally:
            server.close()
        shutil.rmtree(os.path.join(at, "data"), ignore_errors=True)
        result, hung = parse(text)
        if late:
            incidents.append(f"the file was not at its end after {UNIT_S} s")
        elif status is None and hung is None:
            break
        if status is not None:
            broken = [name for name, why in result.failed.items() if any(w in why for w in GONE)]
            culprit = broken[0] if broken else hung
            incidents.append(f"the server ended with {status} in: {culprit}: {tail(server.stderr)}")
            why = "the server ended"
        else:
            culprit, why = hung, f"no reply within {HANG_S} s"
        if culprit is None or culprit in skipped:
            incidents.append("the file did not come to its end")
            break
        skipped[culprit] = why
        print(f"  {unit}: again without `{culprit}`: {why}", flush=True)
    else:
        incidents.append(f"the file did not come to its end in {RUNS_MAX} runs")
    result.unit, result.incidents = unit, incidents
    result.failed.update(skipped)
    return result


def ended(server, program, at):
    """Ends the server as an operator would; returns what was wrong with that."""
    if not program.is_toroid:
        return []
    try:
        # A test may have left clients paused; an operator's signal must be heard all the same.
        with Client(server.port) as client:
            wait_for("PONG", lambda: client.call("PING") == "PONG", 10)
        server.stop()
        verify_log(program, os.path.join(at, "data"))
    except (Failure, OSError) as failure:
        return [f"after the file: {failure}"]
    return []
