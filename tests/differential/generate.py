"""The commands of one seed: what a client may send, near the edges where servers differ.

A round is a list of steps; a step is one command on one connection, or a marker that the driver
carries out itself (`MARKERS`). Commands are taken from the dictionary of both servers: a
command without arguments of its own here is sent with too few arguments, with an unknown
subcommand, or is in `NOT_SENT` with the reason.
"""

import random

from on_types import fields, hashes, lists, names, sets, sorted_sets, values

SLEEP = b"#SLEEP"  # milliseconds
SCANALL = b"#SCANALL"  # options of SCAN: a whole iteration, compared as a set
ROUNDTRIP = b"#ROUNDTRIP"  # a key, another one, and what RESTORE takes: DUMP of one is the other's
RECEIVE = b"#RECEIVE"  # what was pushed to a subscriber or a monitor
SILENT = b"#SILENT"  # a command that has no reply
MARKERS = (SLEEP, SCANALL, ROUNDTRIP, RECEIVE, SILENT)

CONNECTIONS = 3
STEPS = 400
DATABASES = [b"0", b"0", b"0", b"1", b"2", b"15"]

KEYS = [b"a", b"b", b"c", b"key", b"{t}1", b"{t}2", b"{a}b", b"", b"bin\x00\xff\r\n", b"n1", b"n2"]
KEYS += [b"k%d" % index for index in range(6)] + [b"long" * 30]

INTEGERS = [0, 1, -1, 2, 7, 10, 100, 255, 256, 1000, 65535, 2**31 - 1, 2**31, -(2**31), 2**32]
INTEGERS += [2**53, 2**62, 2**63 - 2, 2**63 - 1, 2**63, 2**63 + 1, -(2**63), -(2**63) - 1, 2**64]
INTEGERS += [2**64 - 1, 10**19, 10**30]
ODD = [
    b"",
    b" ",
    b" 1",
    b"1 ",
    b"+1",
    b"-0",
    b"01",
    b"0x10",
    b"1.0",
    b"1e3",
    b"abc",
    b"nan",
    b"inf",
]
ODD += [b"-inf", b"-", b"--1", b"1\x00", b"\x00", b"9223372036854775808", b"-9223372036854775809"]
FLOATS = [
    b"0",
    b"0.1",
    b"1.5",
    b"-1.5",
    b"3.0e3",
    b"1e-5",
    b"1e17",
    b"1e18",
    b"123456789.123456789",
]
FLOATS += [b"0.30000000000000004", b"1e308", b"1e4932", b"5e-324", b"1.7976931348623157e308", b".5"]
FLOATS += [b"5.", b"-0.0", b"infinity", b"+inf", b"nan", b"1e", b"0x1p3", b" 1.5", b"1.5 ", b""]

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
# With their arguments only: with fewer they would do what a round does not survive.
WHOLE = ("shutdown", "replicaof", "slaveof", "lolwut")


class Chooser:
    """Chance, and the building blocks of arguments."""

    FIELDS = [b"f", b"1", b"2", b"field", b""]

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.keys = self.random.sample(KEYS, 14)
        self.home = None

    def odds(self, one_in):
        return self.random.randrange(one_in) == 0

    def among(self, *choices):
        return self.random.choice(choices)

    def key(self):
        if self.home and not self.odds(6):
            return self.random.choice(self.keys[self.home])
        return self.random.choice(self.keys)

    def numbered(self):
        """Keys after their number, as some commands take them."""
        keys = self.some_keys(3)
        return [b"%d" % len(keys) if not self.odds(20) else self.small(-1, 3), *keys]

    def member(self):
        """An element of a set or a sorted set, or a hash's field: few, so that they meet."""
        kind = self.random.randrange(12)
        if kind < 6:
            return b"%d" % self.random.randint(-2, 8)
        if kind < 10:
            return self.random.choice([b"f", b"field", b"", b"a", b"b", b"foo", b"x" * 65])
        return self.value()

    def score(self):
        if self.odds(2):
            return b"%d" % self.random.randint(-3, 6)
        if self.odds(2):
            return self.among(b"0.5", b"-1.5", b"inf", b"-inf", b"1e3")
        return self.float()

    def scanned(self):
        """A whole iteration in one page, as a cursor is a server's own."""
        words = [b"0", self.word("COUNT"), b"1000000"]
        if self.odds(3):
            words += [self.word("MATCH"), self.pattern()]
        if self.odds(12):
            return self.among([b"0", self.word("COUNT"), b"0"], [b"0", b"bogus"], [b"x"])
        return words

    def some_keys(self, most=4):
        return [self.key() for _ in range(self.random.randint(1, most))]

    def integer(self):
        if self.odds(12):
            return self.random.choice(ODD)
        if self.odds(3):
            return b"%d" % self.random.choice(INTEGERS)
        return b"%d" % self.random.randint(-20, 120)

    def small(self, least=-12, most=40):
        if self.odds(25):
            return self.integer()
        return b"%d" % self.random.randint(least, most)

    def float(self):
        if self.odds(4):
            return b"%r" % (self.random.uniform(-1, 1) * 10 ** self.random.randint(-12, 20))
        return self.random.choice(FLOATS) if self.odds(2) else self.integer()

    def blob(self):
        size = self.random.choice([0, 1, 2, 5, 19, 20, 21, 43, 44, 45, 63, 64, 100, 127, 128, 129])
        if self.odds(40):
            size = self.random.choice([511, 512, 1000, 4095, 4096, 20000])
        kind = self.random.randrange(3)
        if kind == 0:
            return self.random.randbytes(size)
        if kind == 1:
            return bytes([self.random.choice([0, 255, 15, 0x80])]) * size
        return bytes(self.random.choice(b"abcdab01") for _ in range(size))

    def value(self):
        kind = self.random.randrange(10)
        if kind < 4:
            return self.blob()
        if kind < 7:
            return self.integer()
        if kind == 7:
            return self.float()
        return self.random.choice([b"hello", b"foo", b"", b"ohmytext", b"mynewtext", b"10", b"0"])

    def word(self, text):
        """A keyword as clients write it, in one case or the other."""
        return self.random.choice([text.lower(), text.upper(), text.upper(), text.title()]).encode()

    def maybe(self, one_in, *words):
        return list(words) if self.odds(one_in) else []

    def flags(self, *choices, most=2):
        out = []
        for _ in range(self.random.choice([0, 0, 1, 1, most])):
            out += self.random.choice(choices)()
        return out

    def seconds(self):
        """A time to live that does not end during the run, or has ended already, or is bad."""
        kind = self.random.randrange(10)
        if kind < 6:
            return b"%d" % self.random.randint(1000, 10**6)
        if kind == 6:
            return self.among(b"0", b"-1", b"-100")
        if kind == 7:
            return b"%d" % self.random.choice([2**63 - 1, 2**62, -(2**63), 2**63])
        # Never the same twice: GT and LT would see in which millisecond a server was asked.
        far = self.random.randint(10**9, 10**10) * self.among(1, 10**5)
        return self.random.choice(ODD) if self.odds(2) else b"%d" % far

    def milliseconds(self):
        base = self.seconds()
        return base + b"000" if base.isdigit() and base != b"0" else base

    def unix(self, scale=1):
        """Far in the future, in the past, or bad."""
        kind = self.random.randrange(8)
        if kind < 5:
            return b"%d" % (self.random.randint(4 * 10**9, 9 * 10**9) * scale)
        if kind == 5:
            return self.among(b"1", b"1000000000", b"0", b"-1")
        if kind == 6:
            return b"%d" % self.random.choice([2**63 - 1, 2**62, -(2**63), 2**63])
        return self.random.choice(ODD)

    def expiry(self):
        word = self.among("EX", "PX", "EXAT", "PXAT")
        value = {
            "EX": self.seconds,
            "PX": self.milliseconds,
            "EXAT": self.unix,
            "PXAT": lambda: self.unix(1000),
        }[word]()
        return [self.word(word), value]

    def pattern(self):
        fixed = [b"*", b"k*", b"*a*", b"?", b"[a-c]", b"[^a]*", b"{t}*", b"\\*", b"[", b"[a", b""]
        fixed += [
            b"n[12]",
            b"k[0-3]",
            b"k[3-0]",
            b"**",
            b"*\\",
            b"[\\]]",
            b"long*",
            b"*\xff*",
            b"h?llo",
        ]
        return self.random.choice(fixed)


def strings(c):
    w = c.word
    set_flags = lambda: c.flags(  # noqa: E731
        lambda: [w(c.among("NX", "XX"))],
        lambda: [w("GET")],
        lambda: [w("KEEPTTL")],
        c.expiry,
        lambda: [c.among(b"bogus", b"EX", b"PX")],
    )
    return {
        "get": lambda: [c.key()],
        "set": lambda: [c.key(), c.value(), *set_flags()],
        "setnx": lambda: [c.key(), c.value()],
        "setex": lambda: [c.key(), c.seconds(), c.value()],
        "psetex": lambda: [c.key(), c.milliseconds(), c.value()],
        "getset": lambda: [c.key(), c.value()],
        "getdel": lambda: [c.key()],
        "getex": lambda: [c.key(), *c.flags(c.expiry, lambda: [w("PERSIST")], lambda: [b"NX"])],
        "mget": lambda: c.some_keys(),
        "mset": lambda: (
            [word for key in c.some_keys() for word in (key, c.value())] + c.maybe(20, b"odd")
        ),
        "msetnx": lambda: [word for key in c.some_keys(2) for word in (key, c.value())],
        "append": lambda: [c.key(), c.value()],
        "strlen": lambda: [c.key()],
        "getrange": lambda: [c.key(), c.small(), c.small()],
        "substr": lambda: [c.key(), c.small(), c.small()],
        "setrange": lambda: [
            c.key(),
            c.among(b"536870912", b"-1", b"4294967296") if c.odds(15) else c.small(0),
            c.among(b"", b"x") if c.odds(3) else c.value(),
        ],
        "incr": lambda: [c.key()],
        "decr": lambda: [c.key()],
        "incrby": lambda: [c.key(), c.integer()],
        "decrby": lambda: [c.key(), c.integer()],
        "incrbyfloat": lambda: [c.key(), c.float()],
        "lcs": lambda: [
            c.key(),
            c.key(),
            *c.flags(
                lambda: [w("LEN")],
                lambda: [w("IDX")],
                lambda: [w("IDX"), w("WITHMATCHLEN")],
                lambda: [w("IDX"), w("MINMATCHLEN"), c.small(0, 5)],
                lambda: [b"BOGUS"],
            ),
        ],
    }


def bits(c):
    w = c.word

    def offset():
        if c.odds(12):
            return c.among(
                b"4294967296", b"-1", b"4294967295x", b"", b"1.5", b"9223372036854775808"
            )
        return b"%d" % c.random.choice([0, 1, 7, 8, 9, 63, 64, 65, c.random.randint(0, 2000)])

    def unit():
        return c.among([], [], [w("BIT")], [w("BYTE")], [b"bogus"])

    def kind():
        if c.odds(15):
            return c.among(b"u64", b"i65", b"u0", b"i0", b"x8", b"u", b"", b"i-1", b"u8x")
        return c.among(b"u", b"i") + b"%d" % c.random.choice(
            [1, 2, 5, 8, 13, 16, 31, 32, 33, 62, 63]
        )

    def place():
        return c.maybe(2, b"#")[0:1] and b"#%d" % c.random.randint(0, 40) or offset()

    def operations():
        out = []
        for _ in range(c.random.randint(1, 4)):
            out += c.among(
                lambda: [w("GET"), kind(), place()],
                lambda: [w("SET"), kind(), place(), c.integer()],
                lambda: [w("INCRBY"), kind(), place(), c.integer()],
                lambda: [w("OVERFLOW"), w(c.among("WRAP", "SAT", "FAIL"))],
            )()
        return out + c.maybe(25, b"bogus") + c.maybe(30, w("OVERFLOW"), b"bogus")

    def span():
        return c.among(
            lambda: [],
            lambda: [c.small()],
            lambda: [c.small(), c.small(), *unit()],
            lambda: [c.small(-300, 300), c.small(-300, 300), *unit()],
        )()

    return {
        "setbit": lambda: [c.key(), offset(), c.among(b"0", b"1", b"1", b"1", b"2", b"-1", b"")],
        "getbit": lambda: [c.key(), offset()],
        "bitcount": lambda: [c.key(), *span()],
        "bitpos": lambda: [
            c.key(),
            c.among(b"0", b"1", b"0", b"1", b"0", b"1", b"2", b"x"),
            *span(),
        ],
        "bitop": lambda: [
            w(c.among("AND", "OR", "XOR", "NOT", "AND", "OR", "XOR"))
            if not c.odds(20)
            else b"NAND",
            c.key(),
            *c.some_keys(3),
        ],
        "bitfield": lambda: [c.key(), *operations()],
        "bitfield_ro": lambda: (
            [c.key(), w("GET"), kind(), place()] if not c.odds(4) else [c.key(), *operations()]
        ),
    }


def keys(c):
    w = c.word
    conditions = lambda: c.flags(  # noqa: E731
        *[(lambda word=word: [w(word)]) for word in ("NX", "XX", "GT", "LT")],
        lambda: [b"bogus"],
    )

    def scan():
        options = []
        if c.odds(2):
            options += [w("MATCH"), c.pattern()]
        if c.odds(2):
            options += [w("COUNT"), b"%d" % c.random.choice([1, 2, 5, 10, 100])]
        if c.odds(4):
            options += [w("TYPE"), c.among(b"string", b"STRING", b"list", b"zset")]
        return options

    return {
        "del": lambda: c.some_keys(),
        "unlink": lambda: c.some_keys(),
        "exists": lambda: c.some_keys(),
        "touch": lambda: c.some_keys(),
        "type": lambda: [c.key()],
        "keys": lambda: [c.pattern()],
        "dbsize": lambda: [],
        "randomkey": lambda: [],
        "rename": lambda: [c.key(), c.key()],
        "renamenx": lambda: [c.key(), c.key()],
        "copy": lambda: [
            c.key(),
            c.key(),
            *c.flags(
                lambda: [w("REPLACE")],
                lambda: [w("DB"), c.among(b"0", b"1", b"2", b"15", b"16", b"-1", b"x")],
                lambda: [b"bogus"],
            ),
        ],
        "move": lambda: [c.key(), c.among(b"0", b"1", b"2", b"15", b"16", b"-1", b"x")],
        "expire": lambda: [c.key(), c.seconds(), *conditions()],
        "pexpire": lambda: [c.key(), c.milliseconds(), *conditions()],
        "expireat": lambda: [c.key(), c.unix(), *conditions()],
        "pexpireat": lambda: [c.key(), c.unix(1000), *conditions()],
        "persist": lambda: [c.key()],
        "ttl": lambda: [c.key()],
        "pttl": lambda: [c.key()],
        "expiretime": lambda: [c.key()],
        "pexpiretime": lambda: [c.key()],
        "object": lambda: c.among(
            lambda: [w("ENCODING"), c.key()],
            lambda: [w("ENCODING"), c.key()],
            lambda: [w("REFCOUNT"), c.key()],
            lambda: [w("IDLETIME"), c.key()],
            lambda: [w("FREQ"), c.key()],
            lambda: [w("ENCODING")],
            lambda: [b"bogus", c.key()],
        )(),
        "memory": lambda: c.among(
            lambda: [w("USAGE"), c.key(), *c.maybe(3, w("SAMPLES"), c.small())],
            lambda: [b"bogus"],
        )(),
        "scan": lambda: (
            [c.among(b"x", b"-1", b"", b"0"), w("COUNT"), c.among(b"0", b"-1", b"x")]
            if c.odds(3)
            else [b"0", *c.among([b"MATCH"], [b"bogus"], [b"COUNT", b"1", b"x"])]
        ),
        "#scan": scan,
    }


def sessions(c):
    w = c.word
    name = lambda: c.among(b"name", b"other", b"", b"a b", b"a\n", b"x" * 70)  # noqa: E731
    return {
        "ping": lambda: c.maybe(2, c.value()) + c.maybe(20, b"x"),
        "echo": lambda: [c.value()],
        "select": lambda: [c.among(*DATABASES, b"16", b"-1", b"x", b"", b"99999999999999999999")],
        "swapdb": lambda: [c.among(*DATABASES, b"16", b"x"), c.among(*DATABASES, b"-1")],
        "flushdb": lambda: c.maybe(2, w(c.among("ASYNC", "SYNC"))) + c.maybe(20, b"x"),
        "flushall": lambda: c.maybe(2, w(c.among("ASYNC", "SYNC"))) + c.maybe(20, b"x"),
        "time": lambda: c.maybe(9, b"x"),
        "hello": lambda: c.among([b"2"], [b"3"], [b"3"], [b"4"], [b"x"], [b"2", b"bogus"], []),
        "reset": lambda: c.maybe(9, b"x"),
        "readonly": lambda: c.maybe(9, b"x"),
        "readwrite": lambda: c.maybe(9, b"x"),
        "publish": lambda: [c.among(b"channel", b"", b"other"), c.value()],
        "pubsub": lambda: c.among(
            [w("CHANNELS")],
            [w("CHANNELS"), b"*"],
            [w("NUMSUB")],
            [w("NUMSUB"), b"a", b"b"],
            [w("NUMPAT")],
            [w("NUMPAT"), b"x"],
            [b"bogus"],
        ),
        "unsubscribe": lambda: c.maybe(2, b"channel"),
        "punsubscribe": lambda: c.maybe(2, b"ch*"),
        "lastsave": lambda: c.maybe(2, b"x"),
        "wait": lambda: [b"0", c.among(b"0", b"1", b"-1", b"x")],
        "auth": lambda: c.among([b"x"], [b"default", b"x"], [b"nosuch", b"x"], [b"a", b"b", b"c"]),
        "cluster": lambda: c.among([w("INFO")], [w("NODES")], [w("KEYSLOT"), c.key()], [b"bogus"]),
        "acl": lambda: c.among(
            [w("WHOAMI")], [w("CAT"), b"bogus"], [w("GETUSER"), b"nosuch"], [w("USERS")], [b"bogus"]
        ),
        "watch": lambda: c.some_keys(),
        "unwatch": lambda: [],
        "discard": lambda: [],
        "exec": lambda: [],
        "multi": lambda: [],
        "client": lambda: c.among(
            lambda: [w("SETNAME"), name()],
            lambda: [w("GETNAME")],
            lambda: [w("ID")],
            lambda: [w("INFO")],
            lambda: [w("SETINFO"), c.among(b"lib-name", b"LIB-VER", b"bogus"), name()],
            lambda: [w("NO-TOUCH"), c.among(b"on", b"OFF", b"bogus")],
            lambda: [w("NO-EVICT"), c.among(b"on", b"OFF", b"bogus")],
            lambda: [w("GETREDIR")],
            lambda: [w("TRACKINGINFO")],
            lambda: [w("TRACKING"), c.among(b"bogus", b"off")],
            lambda: [w("REPLY"), c.among(b"on", b"bogus")],
            lambda: [w("UNBLOCK"), c.among(b"99999999", b"x", b"-1")],
            lambda: [w("UNPAUSE")],
            lambda: [w("PAUSE"), c.among(b"x", b"-1")],
            lambda: [w("KILL"), c.among(b"127.0.0.1:1", b"bogus")],
            lambda: [w("KILL"), w("ID"), c.among(b"99999999", b"x", b"0")],
            lambda: [w("LIST"), w("TYPE"), c.among(b"bogus", b"replica")],
            lambda: [w("LIST"), w("ID"), c.among(b"99999999", b"x")],
            lambda: [b"bogus"],
            lambda: [],
        )(),
        "config": lambda: c.among(
            lambda: [w("GET"), c.among(b"databases", b"nosuchdirective", b"maxmemory-policy")],
            lambda: [w("GET")],
            lambda: [w("SET"), c.among(b"nosuchdirective", b""), b"1"],
            lambda: [w("SET"), b"maxmemory-policy", c.among(b"bogus", b"noeviction")],
            lambda: [w("SET"), b"databases", b"3"],
            lambda: [w("SET"), b"timeout"],
            lambda: [w("RESETSTAT"), *c.maybe(3, b"x")],
            lambda: [b"bogus"],
        )(),
        "command": lambda: c.among(
            lambda: [w("INFO"), c.among(b"get", b"nosuch", b"client|nosuch", b"")],
            lambda: [w("GETKEYS"), *c.among([b"get", b"k"], [b"mset", b"a", b"1", b"b", b"2"])],
            lambda: [
                w("GETKEYS"),
                *c.among([b"ping"], [b"get"], [b"nosuch", b"a"], [b"bitop", b"and", b"d", b"a"]),
            ],
            lambda: [
                w("GETKEYSANDFLAGS"),
                *c.among(
                    [b"get", b"k"],
                    [b"set", b"k", b"v", b"GET"],
                    [b"set", b"k", b"v"],
                    [b"copy", b"a", b"b"],
                    [b"bitfield", b"a", b"get", b"u8", b"0"],
                    [b"del", b"a", b"b"],
                    [b"bitfield", b"a", b"set", b"u8", b"0", b"1"],
                ),
            ],
            lambda: [w("LIST"), w("FILTERBY"), w("PATTERN"), c.among(b"nosuch*", b"x")],
            lambda: [w("LIST"), b"bogus"],
            lambda: [w("DOCS"), b"nosuch"],
            lambda: [b"bogus"],
        )(),
        "slowlog": lambda: c.among(
            [w("GET"), b"-2"], [w("GET"), b"x"], [w("RESET")], [b"bogus"], [w("LEN"), b"x"]
        ),
        "latency": lambda: c.among(
            [w("RESET")],
            [w("RESET"), b"nosuch"],
            [w("HISTORY"), b"nosuch"],
            [w("LATEST"), b"x"],
            [w("HISTOGRAM"), b"nosuch"],
            [w("GRAPH"), b"nosuch"],
            [b"bogus"],
        ),
        "script": lambda: c.among([w("FLUSH")], [b"bogus"], [w("FLUSH"), b"bogus"]),
        "function": lambda: c.among([w("FLUSH")], [b"bogus"], [w("FLUSH"), b"bogus"]),
    }


def server(c):
    w = c.word
    resp = ["STRING", "INTEGER", "DOUBLE", "BIGNUM", "NULL", "ARRAY", "SET", "MAP", "ATTRIB"]
    resp += ["VERBATIM", "TRUE", "FALSE"]
    return {
        "save": lambda: [],
        "shutdown": lambda: c.among([w("ABORT")], [b"bogus"], [w("SAVE"), w("NOSAVE")]),
        "info": lambda: c.among([], [b"nosuch"], [b"server", b"nosuch"], [w("ALL")]),
        "lolwut": lambda: [],
        "role": lambda: c.maybe(5, b"x"),
        "module": lambda: c.among([w("LIST")], [w("LIST"), b"x"], [b"bogus"]),
        "failover": lambda: c.among([], [w("ABORT")], [b"bogus"], [w("TO"), b"h", b"1"]),
        "replicaof": lambda: c.among([w("NO"), w("ONE")], [b"h", b"x"], [b"h", b"-1"], [b"no"]),
        "slaveof": lambda: c.among([w("NO"), w("ONE")], [b"h", b"x"], [b"h", b"65536"], [b"no"]),
        "asking": lambda: c.maybe(5, b"x"),
        "waitaof": lambda: c.among(
            [b"0", b"0", b"0"],
            [b"0", b"0", b"10"],
            [b"x", b"0", b"0"],
            [b"2", b"0", b"0"],
            [b"-1", b"0", b"0"],
            [b"0", b"-1", b"0"],
            [b"0", b"x", b"0"],
            [b"0", b"0", b"-1"],
            [b"0", b"0", b"x"],
        ),
        "spublish": lambda: [c.among(b"channel", b"", b"other"), c.value()],
        "sunsubscribe": lambda: [b"channel"],
        # Not PROTOCOL PUSH, two replies in RESP3, nor STRINGMATCH-LEN, which Valkey has not.
        "debug": lambda: c.among(
            [w("PROTOCOL"), w(c.among(*resp))],
            [w("PROTOCOL"), w(c.among(*resp))],
            [w("PROTOCOL"), b"bogus"],
            [w("SLEEP"), b"0"],
            [w("SET-ACTIVE-EXPIRE"), b"1"],
            [w("OBJECT"), c.key()],
            [w("DIGEST")],
            [w("DIGEST-VALUE"), c.key()],
        ),
    }


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
