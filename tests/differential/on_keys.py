"""Commands on strings, on their bits and on keys of any type.

A family is a function of a chooser that gives each command's arguments.
"""


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
