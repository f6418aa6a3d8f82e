"""Commands on a connection and on the server.

A family is a function of a chooser that gives each command's arguments.
"""

from chooser import DATABASES


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
