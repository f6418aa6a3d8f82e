#!/usr/bin/env python3
"""A crowd of clients that are slow, dead or rude: nobody else waits for them, and nothing they
left behind stays.

    idle        10,000 connections over all cores, each served; then 1,000 of them idle
    readers     clients that ask for gigabytes and read nothing
    rude        clients that vanish within MULTI, behind EXEC, after WATCH, within a pipeline of
                10,000 requests, within a value of 512 MB
    half-open   clients that vanish without a word: their host lost its power (TCP_REPAIR)

Meanwhile bystanders write and read keys of all slices, alone and in transactions, and check each
answer. Before and after each part every core's books must be as before: connections, memory.

Red when: replies that nobody reads are gathered without bound; what a connection held is kept
after its end (its input, its queue of MULTI, its watches); a loan for a client that is gone is never
given back; half of what a vanished client sent is executed; an idle core spins; a connection is
not probed (SO_KEEPALIVE).

Usage: crowd.py --toroid PATH [--connections 10000] [--cores 2]
                [--only idle,readers,rude,half-open]
Exit status: 0 passed, 1 wrong, 2 cannot run here.
"""

import argparse
import contextlib
import os
import random
import resource
import socket
import struct
import subprocess
import threading
import time

import rig
from bank import Bank, account
from resp import Client, encode
from server import Program, Server, default_binary, verify_log

MIB = 1 << 20
TCP_REPAIR = 19
SLICES = 16
# What all replies that nobody has read yet may take together, and what an allocator may keep.
OUTPUT_BUDGET = 1024 * MIB
SLACK = 256 * MIB
CONNECTION_BYTES_MAX = 16 << 10


def resident(server):
    with open(f"/proc/{server.process.pid}/status", encoding="ascii") as file:
        line = next(line for line in file if line.startswith("VmRSS:"))
    return int(line.split()[1]) * 1024


def processor_seconds(server):
    with open(f"/proc/{server.process.pid}/stat", encoding="ascii") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Bystander(threading.Thread):
    """Goes about its business, and looks at every answer."""

    def __init__(self, port, number):
        super().__init__()
        self.port, self.number = port, number
        self.rounds = 0
        self.longest = 0.0
        self.failure = None
        self.stopping = threading.Event()

    def run(self):
        try:
            with Client(self.port) as client:
                while not self.stopping.is_set():
                    before = time.monotonic()
                    self.round(client)
                    self.longest = max(self.longest, time.monotonic() - before)
                    self.rounds += 1
                    time.sleep(0.002)
        except Exception as error:
            self.failure = f"bystander {self.number}: {error!r}"

    def round(self, client):
        value = b"%d" % self.rounds
        keys = [f"by:{self.number}:{at}" for at in range(2 * SLICES)]
        rig.check(client.call("SET", keys[0], value) == "OK", "SET answers OK")
        rig.check(client.call("GET", keys[0]) == value, "GET answers what was set")
        rig.check(client.call("MSET", *(w for k in keys for w in (k, value))) == "OK", "MSET is OK")
        client.send(encode("MULTI") + encode("MGET", *keys) + encode("EXEC"))
        replies = [client.receive() for _ in range(3)]
        rig.check(replies[2] == [[value] * len(keys)], f"MGET within MULTI: {replies[2]!r:.200}")


class Crowd:
    def __init__(self, server, arguments):
        self.server, self.arguments = server, arguments
        self.bystanders = []
        self.chance = random.Random(7)

    def part(self, name, run):
        """One part of the test, with what must hold after each. Only the dead may stay: nobody but
        the kernel's probes, minutes later, can tell."""
        server = self.server
        before = resident(server)
        self.bystanders = [Bystander(server.port, number) for number in range(4)]
        for bystander in self.bystanders:
            bystander.start()
        try:
            said = run()
            self.all_go_on()
        finally:
            for bystander in self.bystanders:
                bystander.stopping.set()
            for bystander in self.bystanders:
                bystander.join(rig.DEADLINE_S * 2)
        for bystander in self.bystanders:
            rig.check(bystander.failure is None, f"{name}: {bystander.failure}")
        longest = max(bystander.longest for bystander in self.bystanders)
        rounds = sum(bystander.rounds for bystander in self.bystanders)
        with Client(server.port) as client:
            if name != "half-open":
                rig.wait_for(f"{name}: all connections to be gone", lambda: connected(client) == 1)
        after = resident(server)
        print(
            f"{name}: {said}; bystanders {rounds} rounds, the longest {longest * 1000:.0f} ms; "
            f"resident {before // MIB} MiB before, {after // MIB} after",
            flush=True,
        )
        rig.check(after < before + SLACK, f"{name}: memory grew from {before} to {after}")

    def all_go_on(self):
        """Every bystander gets a whole round done from now on."""
        before = [bystander.rounds for bystander in self.bystanders]

        def went_on():
            for bystander, rounds in zip(self.bystanders, before):
                rig.check(bystander.failure is None, bystander.failure)
                if bystander.rounds < rounds + 2:
                    return False
            return True

        rig.wait_for("the bystanders to be served", went_on)

    def idle(self):
        server, count = self.server, self.arguments.connections
        before = resident(server)
        clients = [Client(server.port) for _ in range(count)]
        try:
            for number, client in enumerate(clients):
                client.send(encode("SET", f"crowd:{number % 500}", number))
            for client in clients:
                rig.check(client.receive() == "OK", "SET answers OK")
            for number, client in enumerate(clients):
                client.send(encode("MULTI") + encode("INCR", "crowd") + encode("EXEC"))
            for client in clients:
                replies = [client.receive() for _ in range(3)]
                rig.check(isinstance(replies[2], list), f"EXEC answered {replies[2]!r}")
            rig.check(
                clients[0].call("GET", "crowd") == b"%d" % count,
                "each of the crowd counted once",
            )
            each = (resident(server) - before) // count
            rig.check(
                each <= CONNECTION_BYTES_MAX, f"{each} bytes for each of {count} connections"
            )
            self.all_go_on()
        finally:
            for client in clients:
                client.close()
        return f"{count} connections, {each} bytes each"

    def readers(self):
        server = self.server
        value = os.urandom(MIB)
        with Client(server.port) as client:
            for number in range(8):
                rig.check(client.call("SET", f"big:{number}", value) == "OK", "SET answers OK")
            before = resident(server)
        readers = [Client(server.port) for _ in range(24)]
        most = 0
        try:
            for reader in readers:
                keys = [f"big:{number}" for number in range(8)]
                reader.send(encode("MGET", *keys) * 10 + encode("GET", keys[0]) * 40)
            for _ in range(40):
                time.sleep(0.05)
                most = max(most, resident(server) - before)
            self.all_go_on()
            rig.check(
                most <= OUTPUT_BUDGET + SLACK,
                f"unread replies took {most} bytes, more than their budget",
            )
            # One of them reads in the end, and gets everything.
            for _ in range(10):
                reply = readers[3].receive()
                rig.check(reply == [value] * 8, "a slow reader's reply differs")
            for _ in range(40):
                rig.check(readers[3].receive() == value, "a slow reader's reply differs")
        finally:
            for reader in readers:
                reader.close()
        with Client(server.port) as client:
            client.call("DEL", *(f"big:{number}" for number in range(8)))
        return f"{len(readers)} clients left 2,800 MiB unread, which took {most // MIB} MiB"

    def rude(self):
        port = self.server.port
        kinds = [self.in_multi, self.behind_exec, self.after_watch, self.in_pipeline, self.in_value]
        count = 0
        for round_number in range(60):
            clients = []
            for number in range(5):
                client = Client(port)
                kinds[(round_number + number) % len(kinds)](client)
                clients.append(client)
                count += 1
            for client in clients:
                vanish(client)
        self.all_go_on()
        # Nothing they sent was executed by halves, and no slice is held by one of them.
        with Client(port) as client:
            client.send(Bank().audit_request())
            Bank().balance(client.receive())
            counts = {client.call("GET", f"rude:{at}") for at in range(32)}
            rig.check(len(counts) == 1, f"a pipeline's transaction was executed by halves: {counts}")
            keys = [account(number) for number in range(24)]
            rig.check(isinstance(client.call("MGET", *keys), list), "no slice is held")
        self.big_value()
        return f"{count} clients vanished"

    def transfer(self):
        payer, payee = self.chance.sample(range(24), 2)
        amount = self.chance.randrange(100)
        return encode("DECRBY", account(payer), amount) + encode("INCRBY", account(payee), amount)

    def in_multi(self, client):
        client.send(encode("WATCH", account(1)) + encode("MULTI") + self.transfer() * 20)

    def behind_exec(self, client):
        client.send((encode("MULTI") + self.transfer() * 5 + encode("EXEC")) * 20)

    def after_watch(self, client):
        client.send(encode("WATCH", *(account(number) for number in range(24))))
        rig.check(client.receive() == "OK", "WATCH answers OK")

    def in_pipeline(self, client):
        one = encode("MULTI") + b"".join(encode("INCR", f"rude:{at}") for at in range(32))
        request = (one + encode("EXEC")) * 300
        with contextlib.suppress(OSError):
            client.send(request[: self.chance.randrange(len(request))])

    def in_value(self, client):
        head = b"*3\r\n$3\r\nSET\r\n$9\r\nrude:half\r\n$536870912\r\n"
        with contextlib.suppress(OSError):
            client.send(head + b"x" * self.chance.randrange(2 * MIB))

    def big_value(self):
        """Nearly all of a value of 512 MB, and then nothing."""
        client = Client(self.server.port)
        client.send(b"*3\r\n$3\r\nSET\r\n$9\r\nrude:half\r\n$536870912\r\n")
        chunk = b"y" * MIB
        for _ in range(500):
            client.send(chunk)
        self.all_go_on()
        vanish(client)
        with Client(self.server.port) as other:
            rig.check(other.call("EXISTS", "rude:half") == 0, "half a value was taken")

    def half_open(self):
        port = self.server.port
        ports = []
        for number in range(300):
            client = Client(port)
            ports.append(client.socket.getsockname()[1])
            if number % 3 == 0:
                client.send(encode("MULTI") + self.transfer())
            elif number % 3 == 1:
                rig.check(client.call("PING") == "PONG", "PING answers PONG")
            else:
                # Its replies are on their way when it goes.
                client.send(encode("MGET", *(f"by:0:{at}" for at in range(32))) * 50)
            # The kernel forgets the connection and tells nobody.
            client.socket.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, 1)
            client.close()
        self.all_go_on()
        with Client(port) as client:
            held = connected(client)
        probed = subprocess.run(
            ["ss", "-tnoH", "state", "established", f"( sport = :{port} )"],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        ).stdout.splitlines()
        dead = [line for line in probed if any(f":{number} " in line + " " for number in ports)]
        rig.check(dead, "some connection is half open")
        wrong = [line for line in dead if "timer:" not in line]
        rig.check(not wrong, f"{len(wrong)} of {len(dead)} dead peers are not probed: {wrong[:2]}")
        return f"300 clients vanished without a word, {held} connections counted, all probed"


def vanish(client):
    """Ends a connection by a reset, with whatever is on its way."""
    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


def connected(client):
    info = client.call("INFO", "clients").decode()
    line = next(line for line in info.splitlines() if line.startswith("connected_clients:"))
    return int(line.split(":")[1])


def idle_cost(server):
    """Processor time of a server with 1,000 connections that say nothing, in shares of a core."""
    clients = [Client(server.port) for _ in range(1000)]
    try:
        for client in clients:
            rig.check(client.call("PING") == "PONG", "PING answers PONG")
        time.sleep(0.5)
        before, start = processor_seconds(server), time.monotonic()
        time.sleep(4)
        spent, took = processor_seconds(server) - before, time.monotonic() - start
    finally:
        for client in clients:
            client.close()
    # A core that spins would take nearly all of it.
    rig.check(spent < took / 4, f"1,000 idle connections cost {spent:.2f} s in {took:.2f} s")
    return spent / took


def run():
    parser = argparse.ArgumentParser()
    parser.add_argument("--toroid", default=default_binary())
    parser.add_argument("--connections", type=int, default=10_000)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--only", default="idle,readers,rude,half-open")
    arguments = parser.parse_args()
    rig.require_host()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < arguments.connections + 200:
        raise rig.Unable(f"{hard} open files are too few: ulimit -n {arguments.connections + 200}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    program = Program.named("toroid", arguments.toroid)
    with rig.workspace("crowd") as base:
        extra = ["--cores", str(arguments.cores), "--slices", str(SLICES)]
        extra += ["--maxclients", str(arguments.connections + 50)]
        server = Server(program, os.path.join(base, "data"), base, extra)
        try:
            server.start()
            crowd = Crowd(server, arguments)
            for name in arguments.only.split(","):
                crowd.part(name, getattr(crowd, name.replace("-", "_")))
                if name == "idle":
                    cost = idle_cost(server) * 100
                    print(f"1,000 idle connections: {cost:.1f} % of a core", flush=True)
            server.stop()
            verify_log(program, server.directory)
        finally:
            server.close()
    print("crowd: nobody waited, nothing stayed")


if __name__ == "__main__":
    rig.main(run)
