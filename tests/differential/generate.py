"""The commands of one seed: what a client may send, near the edges where servers differ.

A round is a list of steps; a step is one command on one connection, or a marker that the driver
carries out itself (`MARKERS`). Commands are taken from the dictionary of both servers: a
command without arguments of its own here is sent with too few arguments, with an unknown
subcommand, or is in `NOT_SENT` with the reason.
"""

from chooser import Chooser
from on_keys import bits, keys, strings
from on_server import server, sessions
from on_types import fields, hashes, lists, names, sets, sorted_sets, values

SLEEP = b"#SLEEP"  # milliseconds
SCANALL = b"#SCANALL"  # options of SCAN: a whole iteration, compared as a set
ROUNDTRIP = b"#ROUNDTRIP"  # a key, another one, and what RESTORE takes: DUMP of one is the other's
RECEIVE = b"#RECEIVE"  # what was pushed to a subscriber or a monitor
SILENT = b"#SILENT"  # a command that has no reply
MARKERS = (SLEEP, SCANALL, ROUNDTRIP, RECEIVE, SILENT)

CONNECTIONS = 3
STEPS = 400

# Sent in another way, or not at all.
NOT_SENT = {
    "sync": "a protocol of its own instead of replies",
    "psync": "a protocol of its own instead of replies",
    "replconf": "a protocol of its own instead of replies",
    "dump": "a format of each server's own: RESTORE takes it back",
    "restore-asking": "a format of each server's own",
    "migrate": "needs another server",
    "bgsave": "works in the background: even one server answers now one thing, now another",
    "bgrewriteaof": "works in the background: even one server answers now one thing, now another",
}
# They change the meaning of a connection, so that a round sends them with what follows.
STAGED = ("subscribe", "psubscribe", "ssubscribe", "monitor", "quit")
# With their arguments only: with fewer they would do what a round does not survive, or what is
# left to chance.
WHOLE = ("shutdown", "replicaof", "slaveof", "lolwut", "spop")

FAMILIES = {
    "strings": (10, strings),
    "bits": (5, bits),
    "keys": (9, keys),
    "sessions": (2, sessions),
    "server": (1, server),
    "lists": (6, lists),
    "sets": (6, sets),
    "hashes": (5, hashes),
    "fields": (4, fields),
    "sorted_sets": (9, sorted_sets),
    "names": (3, names),
    "values": (3, values),
}
# The keys that a family takes most often, or every value would be of the wrong type.
HOMES = {
    "strings": slice(0, 5),
    "bits": slice(0, 5),
    "lists": slice(5, 7),
    "sets": slice(7, 9),
    "hashes": slice(9, 11),
    "fields": slice(9, 11),
    "sorted_sets": slice(11, 13),
    "names": slice(13, 14),
}
# Markers that stand for a command which both servers must have.
MARKED = {"#scan": "scan", "#roundtrip": "restore"}


class Generator:
    """One seed's round, over the commands both servers have."""

    def __init__(self, seed, dictionary, missing=frozenset()):
        """`missing` are subcommands, as `container|name`, that only the other server has."""
        self.c, self.missing = Chooser(seed), missing
        self.dictionary = dictionary
        self.families, self.weights, self.made = [], [], set()
        for name, (weight, family) in FAMILIES.items():
            commands = {
                command: make
                for command, make in family(self.c).items()
                if MARKED.get(command, command) in dictionary
            }
            self.made |= set(commands)
            if commands:
                self.families.append((name, list(commands.items())))
                self.weights.append(weight)
        self.bare = sorted(set(dictionary) - set(NOT_SENT) - self.made - set(STAGED))

    def command(self):
        c = self.c
        if c.odds(150):
            return self.unknown()
        if self.bare and c.odds(60):
            return self.without_arguments(c.random.choice(self.bare))
        family, commands = c.random.choices(self.families, self.weights)[0]
        name, make = c.random.choice(commands)
        if name in ("multi", "flushall", "flushdb", "swapdb", "reset", "exec") and not c.odds(6):
            return self.command()  # Often enough, or nothing is ever there.
        c.home = HOMES.get(family)
        arguments = make()
        c.home = None
        if name == "#scan":
            return [SCANALL, *arguments]
        if name == "#roundtrip":
            return [ROUNDTRIP, *arguments]
        if name in WHOLE:
            return [c.word(name), *arguments]
        if c.odds(60):
            arguments = arguments[: c.random.randint(0, len(arguments))]
        elif c.odds(100):
            arguments.insert(c.random.randint(0, len(arguments)), c.value())
        if name in ("unsubscribe", "punsubscribe", "sunsubscribe"):
            arguments = arguments[:1]  # One reply each: a pipeline counts its replies.
        if arguments and f"{name}|{arguments[0].decode('latin-1').lower()}" in self.missing:
            return self.command()
        return [c.word(name), *arguments]

    def without_arguments(self, name):
        """Too few arguments by the dictionary, or a subcommand that no one has."""
        c = self.c
        arity = self.dictionary[name]
        if abs(arity) < 2:
            return self.unknown()
        if arity == -2 and c.odds(2):
            return [c.word(name), b"nosuchsubcommand"]
        return [c.word(name), *[b"x"] * c.random.randint(0, abs(arity) - 2)]

    def unknown(self):
        c = self.c
        return [c.among(b"nosuch", b"", b"GET\r\n", b"x" * 200), *[c.value() for _ in range(2)]]

    def transaction(self):
        """MULTI to EXEC, with what may go wrong between."""
        c = self.c
        steps = [[b"MULTI"]]
        for _ in range(c.random.randint(0, 6)):
            command = self.command()
            if command[0] not in MARKERS:
                steps.append(command)
        steps.append([c.among(b"EXEC", b"EXEC", b"EXEC", b"DISCARD", b"exec")])
        return steps

    def expiring(self):
        """A key that ends during the run; then it is read, so that both have taken it away."""
        c = self.c
        key = c.key()
        steps = [[b"SET", key, c.value(), b"PX", b"5"]] if c.odds(2) else [[b"PEXPIRE", key, b"5"]]
        return [*steps, [SLEEP, b"25"], [b"EXISTS", key], [b"GET", key], [b"TTL", key]]

    def watched(self):
        """A transaction that depends on keys which another connection may change before EXEC."""
        c = self.c
        watcher, other = c.random.sample(range(CONNECTIONS), 2)
        steps = [
            (watcher, [b"DISCARD"]),
            (other, [b"DISCARD"]),
            (watcher, [b"WATCH", *c.some_keys()]),
        ]
        transaction = [(watcher, command) for command in self.transaction()]
        between = [(other, self.command()) for _ in range(c.random.randint(0, 2))]
        at = c.random.randint(0, len(transaction) - 1)
        return steps + transaction[:at] + between + transaction[at:]

    def subscription(self):
        """A subscriber hears what another connection publishes. Neither is in a transaction."""
        c = self.c
        subscriber, publisher = c.random.sample(range(CONNECTIONS), 2)
        name, sought, publish = c.among(
            (b"SUBSCRIBE", b"channel", b"PUBLISH"),
            (b"PSUBSCRIBE", b"ch*", b"PUBLISH"),
            (b"SSUBSCRIBE", b"channel", b"SPUBLISH"),
        )
        prefix = name.removesuffix(b"SUBSCRIBE")
        return [
            (subscriber, [b"DISCARD"]),
            (publisher, [b"DISCARD"]),
            (subscriber, [name, sought]),
            (publisher, [publish, b"channel", c.value()]),
            (publisher, [publish, b"other", c.value()]),
            (subscriber, [RECEIVE, b"1"]),
            (subscriber, [c.among(b"GET", b"PING", b"ECHO"), b"a"]),
            (publisher, [b"PUBSUB", b"NUMSUB", b"channel"]),
            (publisher, [b"PUBSUB", b"NUMPAT"]),
            (publisher, [b"PUBSUB", b"CHANNELS"]),
            (publisher, [b"PUBSUB", b"SHARDCHANNELS"]),
            (publisher, [b"PUBSUB", b"SHARDNUMSUB", b"channel"]),
            (subscriber, [prefix + b"UNSUBSCRIBE", sought]),
        ]

    def monitoring(self):
        """A monitor sees what another connection sends, in order, until it ends with RESET."""
        c = self.c
        monitor, other = c.random.sample(range(CONNECTIONS), 2)
        steps = [(monitor, [b"DISCARD"]), (other, [b"DISCARD"]), (monitor, [b"MONITOR"])]
        for _ in range(c.random.randint(1, 4)):
            seen = [c.among(b"GET", b"SET", b"echo", b"StrLen", b"GETRANGE"), c.key(), c.value()]
            seen = seen[: {b"GET": 2, b"echo": 2, b"StrLen": 2}.get(seen[0], 3)]
            seen += [b"1"] if seen[0] == b"GETRANGE" else []
            steps += [(other, seen), (monitor, [RECEIVE, b"1"])]
        return [*steps, (monitor, [b"RESET"])]

    def muted(self):
        """Commands whose replies the client does not want."""
        c = self.c
        connection = c.random.randrange(CONNECTIONS)

        def silent():
            return (connection, [SILENT, *c.among([b"SET", c.key(), c.value()], [b"nosuch"])])

        steps = [(connection, [b"DISCARD"])]
        if c.odds(2):
            steps += [(connection, [SILENT, b"CLIENT", b"REPLY", b"SKIP"]), silent()]
        else:
            steps += [(connection, [SILENT, b"CLIENT", b"REPLY", b"OFF"])]
            steps += [silent() for _ in range(c.random.randint(0, 3))]
            steps += [(connection, [b"CLIENT", b"REPLY", b"ON"])]
        return [*steps, (connection, [b"EXISTS", *c.keys])]

    def round(self):
        """Steps: (connection, command). Runs of commands on one connection become pipelines."""
        c = self.c
        protocols = [c.among(b"2", b"3") for _ in range(CONNECTIONS)]
        steps = []
        for index, protocol in enumerate(protocols):
            if protocol == b"3":
                steps.append((index, [b"HELLO", b"3"]))
        while len(steps) < STEPS:
            connection = c.random.randrange(CONNECTIONS)
            if c.odds(12) and "watch" in self.dictionary:
                steps += self.watched()
            if c.odds(60) and "psubscribe" in self.dictionary:
                steps += self.subscription()
            if c.odds(60) and "monitor" in self.dictionary:
                steps += self.monitoring()
            if c.odds(60):
                steps += self.muted()
            for _ in range(c.random.randint(1, 24)):
                if c.odds(40) and "exec" in self.dictionary:
                    chosen = self.transaction()
                elif c.odds(400) and "pexpire" in self.dictionary:
                    chosen = self.expiring()
                else:
                    chosen = [self.command()]
                steps += [(connection, command) for command in chosen]
                # A key set to a time in the past is counted by DBSIZE until someone asks for it.
                for command in chosen:
                    if command[0].lower() == b"set" and len(command) > 3:
                        steps.append((connection, [b"EXISTS", command[1]]))
        return steps + self.everything()

    def everything(self):
        """The end of a round: what is there, in every database a round uses."""
        steps = [(index, [b"DISCARD"]) for index in range(CONNECTIONS)]
        for database in (b"0", b"1", b"2", b"15"):
            steps += [(0, [b"SELECT", database]), (0, [b"KEYS", b"*"]), (0, [b"DBSIZE"])]
            for key in self.c.keys:
                steps += [(0, [name, key]) for name in (b"GET", b"PTTL", b"TYPE")]
                if database == b"0":
                    steps += [(0, [b"LRANGE", key, b"0", b"-1"]), (0, [b"SMEMBERS", key])]
                    steps += [(0, [b"ZRANGE", key, b"0", b"-1", b"WITHSCORES"])]
                    steps += [(0, [b"HGETALL", key])]
        steps += [(index, [b"QUIT"]) for index in range(CONNECTIONS)]
        return [step for step in steps if step[1][0].decode().lower() in self.dictionary]
