#!/usr/bin/env python3
"""The same random commands to Toroid and to Valkey: every reply must be the same.

One seed is one round of some 400 commands over three connections, RESP2 and RESP3, with
transactions, watched keys, keys that end, bad arguments and big numbers, in pipelines. The commands
are those both servers list in COMMAND; what is compared how is in tests/differential/compare.py,
the differences that are explained are in explained.py. Where an explanation depends on what was
there, that is asked just before the command (looks.py). A difference is shrunk and printed with its
seed.

Every run begins with the canary, Valkey against Valkey: it must find nothing, and must find a proxy
that alters or drops one reply in 10,000.

Red when: one reply differs without an explanation, a reply is missing, a server ends.

Usage: differential.py [--toroid PATH] [--cores 2] [--commands 200000] [--seed N] [--findings 10]
       differential.py --replay SEED        one round again, shrunk
Exit status: 0 passed, 1 wrong, 2 cannot run here.
"""

import argparse
import os
import random
import re
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
for directory in ("rigs", "conformance", "differential"):
    sys.path.insert(0, os.path.join(HERE, directory))
import compare  # noqa: E402
import looks  # noqa: E402
import rig  # noqa: E402
import suite  # noqa: E402
from generate import CONNECTIONS, MARKERS, NOT_SENT, RECEIVE, ROUNDTRIP, SCANALL  # noqa: E402
from generate import SILENT, SLEEP, Generator  # noqa: E402
from looks import Look  # noqa: E402
from proxy import MODES, Proxy  # noqa: E402
from server import Server, default_binary  # noqa: E402
from unit import Toroid, Valkey  # noqa: E402
from wire import REPLY_S, Connection, Lost, decode, encode  # noqa: E402

PIPELINE = 32
CANARY_COMMANDS = 25_000
CANARY_ONE_IN = 10_000
CANARY_WAIT_S = 2
SCAN_PAGES_MAX = 10_000
SHRINK_S = 30
SHRINK_RUNS = 400
# So many rounds with a difference are enough to report, whatever was not compared.
ROUNDS_WRONG_MAX = 300


class Side:
    """One of the two servers as a round sees it."""

    def __init__(self, name, port, wait_s=REPLY_S, server=None):
        self.name, self.port, self.wait_s, self.server = name, port, wait_s, server
        self.connections = []
        self.deaths = []

    def begin(self):
        self.close()
        self.revive()
        self.connections = [Connection(self.port, self.wait_s) for _ in range(CONNECTIONS)]
        try:
            reply = self.connections[0].call("FLUSHALL")
        except Lost as lost:
            reply = lost
        rig.check(reply == ("+", b"OK"), f"{self.name}: FLUSHALL: {reply}")

    def revive(self):
        """A server that ended is noted and started anew on an empty directory."""
        if self.server is None or self.server.process.poll() is None:
            return
        self.deaths.append(f"{self.name} ended, {last_words(self.server)}")
        self.server.process = None
        self.server.directory = (
            f"{self.server.directory.split('-again')[0]}-again{len(self.deaths)}"
        )
        self.server.start()

    def close(self):
        for connection in self.connections:
            connection.close()
        self.connections = []

    def send(self, connection, data):
        try:
            self.connections[connection].send(data)
        except Lost:
            pass  # The missing replies say it.

    def receive(self, connection):
        try:
            return self.connections[connection].receive()
        except Lost as lost:
            return ("lost", str(lost).encode())

    def scan_all(self, connection, options):
        """A whole iteration: the set of keys it returned."""
        found, cursor = set(), b"0"
        for _ in range(SCAN_PAGES_MAX):
            try:
                reply = self.connections[connection].call(b"SCAN", cursor, *options)
            except Lost as lost:
                return ("lost", str(lost).encode())
            if reply[0] != "*" or len(reply[1]) != 2:
                return reply
            cursor = reply[1][0][1]
            found |= {key[1] for key in reply[1][1][1]}
            if cursor == b"0":
                return ("*", sorted(found))
        return ("lost", b"the iteration has no end")

    def round_trip(self, connection, key, other, *words):
        """What RESTORE says of what DUMP returned."""
        try:
            dumped = self.connections[connection].call(b"DUMP", key)
            if dumped[0] != "$" or dumped[1] is None:
                return dumped
            time, *options = words
            return self.connections[connection].call(b"RESTORE", other, time, dumped[1], *options)
        except Lost as lost:
            return ("lost", str(lost).encode())


def last_words(server):
    """Why a server ended: what it said when it panicked, or the end of what it said."""
    said = rig.tail(server.stderr)
    panic = re.search(r"panicked at (.*)\n(.*)", said)
    return ": ".join(panic.groups()) if panic else said


def pipelines(steps):
    """Steps on one connection that may be sent together; a marker stands alone."""
    group = []
    for step in steps:
        marker = step[1][0] in MARKERS
        if group and (marker or step[0] != group[0][0] or len(group) == PIPELINE):
            yield group
            group = []
        if marker:
            yield [step]
        else:
            group.append(step)
    if group:
        yield group


def with_looks(commands):
    """Commands, each behind the looks that it wants."""
    return [word for command in commands for word in (*looks.before(command), command)]


class Fuzzer:
    """Runs rounds, counts, and shrinks what it finds."""

    def __init__(self, left, right, dictionary):
        self.sides, self.dictionary = (left, right), dictionary
        self.missing = subcommands(right.port) - subcommands(left.port)
        self.compared, self.explained, self.sent = 0, {}, {}

    def revive(self):
        for side in self.sides:
            side.revive()

    def last_death(self, side):
        return (self.sides[side].deaths or ["goes on"])[-1]

    def steps(self, seed):
        return Generator(seed, self.dictionary, self.missing).round()

    def execute(self, steps):
        """Runs steps from an empty keyspace; returns the first difference as (index, ...)."""
        for side in self.sides:
            side.begin()
        round_ = compare.Round()
        sessions = [compare.Session(round_) for _ in range(CONNECTIONS)]
        index = 0
        for group in pipelines(steps):
            connection = group[0][0]
            if group[0][1][0] == SLEEP:
                time.sleep(int(group[0][1][1]) / 1000)
                index += 1
                continue
            if group[0][1][0] == SCANALL:
                if sessions[connection].queue is None:
                    options = group[0][1][1:]
                    replies = [[side.scan_all(connection, options)] for side in self.sides]
                    names = [[b"SCAN", b"0", *options]]
                else:
                    replies, names = [[], []], []
            elif group[0][1][0] == ROUNDTRIP:
                # In a transaction DUMP would be answered by EXEC, too late to be restored.
                replies, names = [[], []], []
                if sessions[connection].queue is None:
                    words = group[0][1][1:]
                    replies = [[side.round_trip(connection, *words)] for side in self.sides]
                    names = [[b"RESTORE", *words]]
            else:
                names = with_looks(command for _, command in group)
                if names[0][0] == SILENT:
                    for side in self.sides:
                        side.send(connection, encode(names[0][1:]))
                    names = group = []
                elif names[0][0] != RECEIVE:
                    data = b"".join(encode(command) for command in names)
                    for side in self.sides:
                        side.send(connection, data)
                replies = [[] for _ in self.sides]
                for side, got in zip(self.sides, replies):
                    for _ in names:
                        got.append(side.receive(connection))
                        if got[-1][0] == "lost":
                            break
            at = -1  # Of the last command that is not a look.
            for command, left, right in zip(names, *replies):
                if not isinstance(command, Look):
                    at += 1
                    self.compared += 1
                    name = command[0].lower()
                    self.sent[name] = self.sent.get(name, 0) + 1
                if "lost" in (left[0], right[0]):
                    return index + at + isinstance(command, Look), command, left, right
                for found, one, other, why in sessions[connection].compare(command, left, right):
                    if not why:
                        # A look differs before its command.
                        at += isinstance(command, Look)
                        return index + at, found, one, other
                    self.explained[why.why] = self.explained.get(why.why, 0) + 1
                    if why.parts:
                        return None
            index += max(len(group), 1)
        return None

    def shrink(self, steps, difference):
        """Leaves out what the difference does not need, within a bound."""
        steps = steps[: difference[0] + 1]
        wanted = compare.signature(*difference[1:])
        deadline, runs = time.monotonic() + SHRINK_S, 0
        size = len(steps) // 2
        while size:
            at = 0
            while at < len(steps):
                if time.monotonic() > deadline or runs > SHRINK_RUNS:
                    return steps, difference
                runs += 1
                less = steps[:at] + steps[at + size :]
                found = self.execute(less)
                if found and compare.signature(*found[1:]) == wanted:
                    steps, difference = less[: found[0] + 1], found
                else:
                    at += size
            size //= 2
        return steps, difference


def dictionary(*ports):
    """The commands that all servers list, with their arity; those only the first lists; and those
    whose arity differs."""
    listed = []
    for port in ports:
        connection = Connection(port)
        kind, items = connection.call("COMMAND")
        connection.close()
        rig.check(kind == "*" and items, f"COMMAND answers {kind}")
        listed.append({entry[1][0][1].decode(): int(entry[1][1][1]) for entry in items})
    common = set(listed[0]).intersection(*listed[1:])
    rig.check(len(common) > 5, f"both servers have only {sorted(common)}")
    different = sorted(name for name in common if len({one[name] for one in listed}) > 1)
    known = {name: listed[0][name] for name in sorted(common)}
    return known, sorted(set(listed[0]) - common), different


def subcommands(port):
    """The subcommands a server lists, as `container|name`."""
    connection = Connection(port)
    _, items = connection.call("COMMAND", "LIST")
    connection.close()
    return {item[1].decode() for item in items if b"|" in item[1]}


def text(command):
    if command[0] in MARKERS:
        command = [command[0][1:], *command[1:]]
    return " ".join(repr(word[:200])[1:] if word else "''" for word in command)


def show(seed, steps, difference):
    _, command, left, right = difference
    print(f"\nDIFFERENCE with seed {seed}, in {len(steps)} steps, at: {text(command)}")
    for connection, step in steps[-40:]:
        print(f"  [{connection}] {text(step)[:300]}")
    print(f"  Toroid: {str(left)[:600]}")
    print(f"  Valkey: {str(right)[:600]}", flush=True)


def fuzz(fuzzer, seeds, commands, findings_max, is_shown=True):
    """Rounds until enough commands were compared; returns rounds without and with a difference."""
    good, signatures = 0, {}
    while fuzzer.compared < commands and len(signatures) < findings_max:
        if ROUNDS_WRONG_MAX < sum(signatures.values()):
            break
        seed = next(seeds, None)
        if seed is None:
            break
        steps = fuzzer.steps(seed)
        found = fuzzer.execute(steps)
        if found is None:
            good += 1
            continue
        signature = compare.signature(*found[1:])
        if "lost" in (found[2][0], found[3][0]):
            # Whatever was asked when it ended: one way to end is one finding.
            fuzzer.revive()
            signature = (b"any", fuzzer.last_death(0), fuzzer.last_death(1))
        signatures[signature] = signatures.get(signature, 0) + 1
        if is_shown and signatures[signature] == 1:
            before = fuzzer.compared
            print(f"\nshrinking what seed {seed} finds", flush=True)
            show(seed, *fuzzer.shrink(steps, found))
            fuzzer.compared = before
    return good, signatures


def canary(stock, other, seed):
    """Valkey against Valkey: nothing is found, until a proxy spoils one reply in so many."""
    known, _, _ = dictionary(stock, other)
    fuzzer = Fuzzer(Side("Valkey", stock), Side("Valkey", other), known)
    _, found = fuzz(fuzzer, seeds_from(seed), CANARY_COMMANDS, 1)
    rig.check(not found, f"Valkey differs from Valkey: {found}")
    for mode in MODES:
        proxy = Proxy(other, mode, CANARY_ONE_IN)
        spoiled = Side("Valkey, spoiled", proxy.port, CANARY_WAIT_S)
        fuzzer = Fuzzer(spoiled, Side("Valkey", stock), known)
        _, found = fuzz(fuzzer, seeds_from(seed), CANARY_COMMANDS, 1, is_shown=False)
        proxy.close()
        rig.check(proxy.spoiled and found, f"{mode}: {proxy.spoiled} replies, none was found")
    print("canary: a reply altered and a reply dropped in 10,000 are both found", flush=True)


def seeds_from(seed):
    while True:
        yield seed
        seed += 1


def run(arguments):
    toroid = Toroid(arguments.toroid, arguments.cores)
    valkey = Valkey(suite.stock())
    with rig.workspace("differential") as work:
        servers = []
        for name, program in (("toroid", toroid), ("valkey", valkey), ("canary", valkey)):
            logs = os.path.join(work, name)
            os.makedirs(logs)
            servers.append(Server(program, os.path.join(logs, "data"), logs))
        try:
            for server in servers:
                server.start()
            wrong = compare_all(arguments, *servers)
        finally:
            for server in servers:
                server.close()
        if wrong:
            sys.exit(1)


def compare_all(arguments, toroid, valkey, other):
    seed = arguments.seed
    if arguments.replay is None:
        canary(valkey.port, other.port, seed)
    known, ours, arities = dictionary(toroid.port, valkey.port)
    ours_side = Side("Toroid", toroid.port, server=toroid)
    fuzzer = Fuzzer(ours_side, Side("Valkey", valkey.port, server=valkey), known)
    started = time.monotonic()
    if arguments.replay is not None:
        good, found = fuzz(fuzzer, iter([arguments.replay]), arguments.commands, 1)
    else:
        print(f"seeds from {seed}", flush=True)
        good, found = fuzz(fuzzer, seeds_from(seed), arguments.commands, arguments.findings)
    took = time.monotonic() - started
    unsent = [name for name in known if name.encode() not in fuzzer.sent]
    print(f"{fuzzer.compared} commands compared in {took:.1f} s, {len(fuzzer.sent)} names")
    unsent = ", ".join(f"{name} ({NOT_SENT.get(name, 'by chance')})" for name in unsent)
    print(f"not sent: {unsent or 'none'}")
    missing = sorted(name for name in fuzzer.missing if name.split("|")[0] in known)
    print(f"subcommands not in Toroid, not sent: {', '.join(missing) or 'none'}")
    print(f"only in Toroid: {', '.join(ours) or 'none'}")
    for reason, count in fuzzer.explained.items():
        print(f"explained {count} times: {reason}")
    for (name, left, right), count in found.items():
        print(f"FAILED {count} times: {name.decode('latin-1')}: Toroid {left}; Valkey {right}")
    fuzzer.revive()
    deaths = [death for side in fuzzer.sides for death in side.deaths]
    for death in dict.fromkeys(deaths):
        print(f"FAILED: {death}")
    for name in arities:
        print(f"FAILED: {name}: COMMAND tells another arity than Valkey's")
    failed = sum(found.values()) + len(deaths) + len(arities)
    print(f"{good} passed, {failed} failed")
    return bool(failed)


def self_test():
    """The reader of replies is tried on every type once."""
    data = b"|1\r\n+a\r\n:1\r\n+b\r\n"
    assert decode(data, 0) == (("|", [("+", b"a"), (":", b"1"), ("+", b"b")]), len(data))
    data = b"*3\r\n$-1\r\n:5\r\n%1\r\n+a\r\n~2\r\n#t\r\n_\r\n"
    reply, at = decode(data, 0)
    tree = ("%", [("+", b"a"), ("~", [("#", b"t"), ("_", b"")])])
    assert (reply, at) == (("*", [("$", None), (":", b"5"), tree]), len(data)), reply


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--toroid", default=default_binary())
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--commands", type=int, default=200_000)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    parser.add_argument("--findings", type=int, default=10)
    parser.add_argument("--replay", type=int)
    arguments = parser.parse_args()
    self_test()
    looks.self_test()
    rig.main(lambda: run(arguments))


if __name__ == "__main__":
    main()
