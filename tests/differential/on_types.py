"""Commands on lists, sets, hashes and sorted sets, and on values of every type.

A family is a function of a chooser that gives each command's arguments.
"""


def lists(c):
    w = c.word
    end = lambda: w(c.among("LEFT", "RIGHT")) if not c.odds(25) else b"MIDDLE"  # noqa: E731
    values = lambda: [c.value() for _ in range(c.random.randint(1, 5))]  # noqa: E731
    return {
        "lpush": lambda: [c.key(), *values()],
        "rpush": lambda: [c.key(), *values()],
        "lpushx": lambda: [c.key(), *values()],
        "rpushx": lambda: [c.key(), *values()],
        "lpop": lambda: [c.key(), *c.maybe(3, c.small(-1, 4))],
        "rpop": lambda: [c.key(), *c.maybe(3, c.small(-1, 4))],
        "llen": lambda: [c.key()],
        "lindex": lambda: [c.key(), c.small()],
        "lrange": lambda: [c.key(), c.small(), c.small()],
        "lset": lambda: [c.key(), c.small(-6, 6), c.value()],
        "ltrim": lambda: [c.key(), c.small(-15, 5), c.small(-5, 15)],
        "lrem": lambda: [c.key(), c.small(-3, 3), c.value()],
        "linsert": lambda: [
            c.key(),
            w(c.among("BEFORE", "AFTER")) if not c.odds(20) else b"bogus",
            c.value(),
            c.value(),
        ],
        "lpos": lambda: [
            c.key(),
            c.value(),
            *c.flags(
                lambda: [w("RANK"), c.small(-3, 3)],
                lambda: [w("COUNT"), c.small(-1, 3)],
                lambda: [w("MAXLEN"), c.small(-1, 5)],
                lambda: [b"bogus"],
            ),
        ],
        "lmove": lambda: [c.key(), c.key(), end(), end()],
        "rpoplpush": lambda: [c.key(), c.key()],
        "lmpop": lambda: [*c.numbered(), end(), *c.maybe(2, w("COUNT"), c.small(-1, 4))],
    }


def sets(c):
    w = c.word
    members = lambda: [c.member() for _ in range(c.random.randint(1, 6))]  # noqa: E731
    limit = lambda: c.maybe(2, w("LIMIT"), c.small(-1, 4)) + c.maybe(20, b"x")  # noqa: E731
    return {
        "sadd": lambda: [c.key(), *members()],
        "srem": lambda: [c.key(), *members()],
        "scard": lambda: [c.key()],
        "smembers": lambda: [c.key()],
        "sismember": lambda: [c.key(), c.member()],
        "smismember": lambda: [c.key(), *members()],
        "smove": lambda: [c.key(), c.key(), c.member()],
        # Chance is a server's own: all members, or none.
        "spop": lambda: [c.key(), c.among(b"0", b"1000000", b"-1", b"x", b"0")],
        "srandmember": lambda: [c.key(), *c.maybe(2, c.drawn())],
        "sinter": lambda: c.some_keys(3),
        "sunion": lambda: c.some_keys(3),
        "sdiff": lambda: c.some_keys(3),
        "sinterstore": lambda: c.some_keys(4),
        "sunionstore": lambda: c.some_keys(4),
        "sdiffstore": lambda: c.some_keys(4),
        "sintercard": lambda: [*c.numbered(), *limit()],
        "sscan": lambda: [c.key(), *c.scanned()],
    }


def hashes(c):
    w = c.word
    fields = lambda: [c.member() for _ in range(c.random.randint(1, 5))]  # noqa: E731
    pairs = lambda: [word for field in fields() for word in (field, c.value())]  # noqa: E731
    return {
        "hset": lambda: [c.key(), *pairs(), *c.maybe(20, b"odd")],
        "hmset": lambda: [c.key(), *pairs(), *c.maybe(20, b"odd")],
        "hsetnx": lambda: [c.key(), c.member(), c.value()],
        "hget": lambda: [c.key(), c.member()],
        "hmget": lambda: [c.key(), *fields()],
        "hdel": lambda: [c.key(), *fields()],
        "hlen": lambda: [c.key()],
        "hstrlen": lambda: [c.key(), c.member()],
        "hexists": lambda: [c.key(), c.member()],
        "hgetall": lambda: [c.key()],
        "hkeys": lambda: [c.key()],
        "hvals": lambda: [c.key()],
        "hincrby": lambda: [c.key(), c.member(), c.integer()],
        "hincrbyfloat": lambda: [c.key(), c.member(), c.float()],
        "hrandfield": lambda: [
            c.key(),
            *c.among([], [c.drawn()], [c.drawn(), w("WITHVALUES")], [b"1", b"bogus"]),
        ],
        "hscan": lambda: [c.key(), *c.scanned()],
    }


def fields(c):
    """Hashes whose fields have times to live."""
    w = c.word
    condition = lambda: c.maybe(3, w(c.among("NX", "XX", "GT", "LT")))  # noqa: E731

    def named(values=False):
        count = c.random.randint(1, 3)
        # Each field once: of one that is named twice only the last time would count.
        chosen = c.random.sample(c.FIELDS, count)
        words = [word for field in chosen for word in ([field, c.value()] if values else [field])]
        said = b"%d" % count if not c.odds(25) else c.small(-1, 4)
        return [w("FIELDS") if not c.odds(40) else b"bogus", said, *words]

    def lasting():
        return c.among([], c.expiry(), [w("KEEPTTL")])

    return {
        "hexpire": lambda: [c.key(), c.seconds(), *condition(), *named()],
        "hpexpire": lambda: [c.key(), c.milliseconds(), *condition(), *named()],
        "hexpireat": lambda: [c.key(), c.unix(), *condition(), *named()],
        "hpexpireat": lambda: [c.key(), c.unix(1000), *condition(), *named()],
        "hpersist": lambda: [c.key(), *named()],
        "httl": lambda: [c.key(), *named()],
        "hpttl": lambda: [c.key(), *named()],
        "hexpiretime": lambda: [c.key(), *named()],
        "hpexpiretime": lambda: [c.key(), *named()],
        "hsetex": lambda: [
            c.key(),
            *c.maybe(4, w(c.among("FNX", "FXX"))),
            *lasting(),
            *named(values=True),
        ],
        "hgetex": lambda: [c.key(), *c.among([], c.expiry(), [w("PERSIST")]), *named()],
        "hgetdel": lambda: [c.key(), *named()],
        "hset": lambda: [c.key(), c.random.choice(c.FIELDS), c.value()],
        "hgetall": lambda: [c.key()],
    }


def sorted_sets(c):
    w = c.word
    aggregate = lambda: c.maybe(3, w("AGGREGATE"), w(c.among("SUM", "MIN", "MAX")))  # noqa: E731
    scores = lambda: c.maybe(2, w("WITHSCORES"))  # noqa: E731
    limit = lambda: c.maybe(3, w("LIMIT"), c.small(-1, 3), c.small(-2, 5))  # noqa: E731

    def bound():
        if c.odds(15):
            return c.among(b"(", b"", b"nan", b"((1", b"x")
        return c.among(b"", b"(") + c.score() if not c.odds(4) else c.among(b"-inf", b"+inf")

    def added():
        flags = c.flags(*[(lambda x=x: [w(x)]) for x in ("NX", "XX", "GT", "LT", "CH", "INCR")])
        count = c.random.randint(1, 5) if not c.odds(6) else 1
        return [*flags, *[word for _ in range(count) for word in (c.score(), c.member())]]

    def combined():
        keys = c.some_keys(3)
        weights = [w("WEIGHTS"), *[c.score() for _ in keys]] if c.odds(3) else []
        said = b"%d" % len(keys) if not c.odds(20) else c.small(-1, 3)
        return [said, *keys, *weights, *aggregate()]

    def ranged(can_score=True):
        by = c.among([], [w("BYSCORE")])
        edges = [bound(), bound()] if by else [c.small(), c.small()]
        return [*edges, *by, *c.maybe(3, w("REV")), *limit(), *(scores() if can_score else [])]

    return {
        "zadd": lambda: [c.key(), *added()],
        "zincrby": lambda: [c.key(), c.score(), c.member()],
        "zrem": lambda: [c.key(), c.member(), *c.maybe(3, c.member())],
        "zcard": lambda: [c.key()],
        "zscore": lambda: [c.key(), c.member()],
        "zmscore": lambda: [c.key(), c.member(), c.member()],
        "zrank": lambda: [c.key(), c.member(), *c.maybe(3, w("WITHSCORE"))],
        "zrevrank": lambda: [c.key(), c.member(), *c.maybe(3, w("WITHSCORE"))],
        "zcount": lambda: [c.key(), bound(), bound()],
        "zrange": lambda: [c.key(), *ranged()],
        "zrevrange": lambda: [c.key(), c.small(), c.small(), *scores()],
        "zrangebyscore": lambda: [c.key(), bound(), bound(), *scores(), *limit()],
        "zrevrangebyscore": lambda: [c.key(), bound(), bound(), *scores(), *limit()],
        "zrangestore": lambda: [c.key(), c.key(), *ranged(can_score=False)],
        "zremrangebyrank": lambda: [c.key(), c.small(-6, 6), c.small(-6, 6)],
        "zremrangebyscore": lambda: [c.key(), bound(), bound()],
        "zpopmin": lambda: [c.key(), *c.maybe(2, c.small(-1, 3))],
        "zpopmax": lambda: [c.key(), *c.maybe(2, c.small(-1, 3))],
        "zmpop": lambda: [
            *c.numbered(),
            w(c.among("MIN", "MAX")) if not c.odds(20) else b"bogus",
            *c.maybe(2, w("COUNT"), c.small(-1, 4)),
        ],
        "zunion": lambda: [*combined(), *scores()],
        "zinter": lambda: [*combined(), *scores()],
        "zdiff": lambda: [*c.numbered(), *scores()],
        "zunionstore": lambda: [c.key(), *combined()],
        "zinterstore": lambda: [c.key(), *combined()],
        "zdiffstore": lambda: [c.key(), *c.numbered()],
        "zintercard": lambda: [*c.numbered(), *c.maybe(2, w("LIMIT"), c.small(-1, 4))],
        "zrandmember": lambda: [
            c.key(),
            *c.among([], [c.drawn()], [c.drawn(), w("WITHSCORES")], [b"1", b"bogus"]),
        ],
        "zscan": lambda: [c.key(), *c.scanned()],
    }


def names(c):
    """Sorted sets of one score, whose ranges by name are specified."""
    w = c.word
    limit = lambda: c.maybe(3, w("LIMIT"), c.small(-1, 3), c.small(-2, 5))  # noqa: E731

    def edge():
        if c.odds(15):
            return c.among(b"x", b"", b"[", b"(")
        return c.among(b"-", b"+", b"[" + c.member(), b"(" + c.member())

    def by_name():
        return [edge(), edge(), w("BYLEX"), *c.maybe(3, w("REV")), *limit()]

    return {
        "zadd": lambda: [c.key(), b"0", c.member(), b"0", c.member(), b"0", c.member()],
        "zlexcount": lambda: [c.key(), edge(), edge()],
        "zrange": lambda: [c.key(), *by_name()],
        "zrangebylex": lambda: [c.key(), edge(), edge(), *limit()],
        "zrevrangebylex": lambda: [c.key(), edge(), edge(), *limit()],
        "zrangestore": lambda: [c.key(), c.key(), *by_name()],
        "zremrangebylex": lambda: [c.key(), edge(), edge()],
        "zrem": lambda: [c.key(), c.member()],
    }


def values(c):
    """What works on values of every type."""
    w = c.word

    def options():
        return c.flags(
            lambda: [w("LIMIT"), c.small(-1, 4), c.small(-1, 5)],
            lambda: [w(c.among("ASC", "DESC"))],
            lambda: [w("BY"), c.among(b"k*", b"h*->1", b"nosuch*", b"x*->", b"nosort")],
            lambda: [w("GET"), c.among(b"#", b"k*", b"h*->1", b"#", b"nosuch")],
            lambda: [b"bogus"],
            most=3,
        )

    def stored():
        """What is stored has an order of its own: no weights, which may be equal."""
        unsorted = c.maybe(8, w("BY"), b"nosort")
        return [c.key(), *alpha(), *c.maybe(2, w("DESC")), *unsorted, w("STORE"), c.key()]

    # Always in an order of their own, as members of equal weight have none otherwise.
    alpha = lambda: [w("ALPHA")] if not c.odds(6) else []  # noqa: E731
    return {
        "sort": lambda: stored() if c.odds(4) else [c.key(), *alpha(), *options()],
        "sort_ro": lambda: [c.key(), *alpha(), *options(), *c.maybe(20, w("STORE"), c.key())],
        "#roundtrip": lambda: [
            c.key(),
            c.key(),
            c.among(b"0", b"0", b"100000", b"-1", b"x"),
            *c.flags(
                lambda: [w("REPLACE")],
                lambda: [w("REPLACE")],
                lambda: [w("ABSTTL")],
                lambda: [w("IDLETIME"), c.small(-1, 100)],
                lambda: [w("FREQ"), c.small(-1, 300)],
                lambda: [b"bogus"],
            ),
        ],
        # What is not a value: the payload of neither server.
        "restore": lambda: [
            c.key(),
            c.among(b"0", b"-1", b"x"),
            c.value(),
            *c.maybe(2, w("REPLACE")),
        ],
    }
