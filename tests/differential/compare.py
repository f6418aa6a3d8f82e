"""When two replies to the same command are the same, and which differences are explained.

Types are compared exactly, RESP3's too. What a server chooses for itself (an order, a time, an
identity) is compared as far as it is specified.
"""

import fnmatch
import re

SECONDS, MILLISECONDS = 3, 3000
TOLERANCE = {
    b"ttl": SECONDS,
    b"expiretime": SECONDS,
    b"pttl": MILLISECONDS,
    b"pexpiretime": MILLISECONDS,
}
# Their replies are arrays with a time of each field.
FIELD_TIMES = {b"httl": SECONDS, b"hpttl": MILLISECONDS, b"hpexpiretime": MILLISECONDS}
FIELD_TIMES[b"hexpiretime"] = SECONDS
# RESP2 has arrays only: what has no order is sorted, members, or fields with their values.
UNORDERED = (b"smembers", b"sinter", b"sunion", b"sdiff", b"spop", b"hkeys", b"hvals")
PAIRS = (b"hgetall",)
SCANS = (b"sscan", b"hscan", b"zscan")
RANDOM = (b"srandmember", b"hrandfield", b"zrandmember")
ERRORS = "-!"
# What a monitor reads before the words of a command: the time, the database, and from where.
SEEN = re.compile(rb"^[0-9]+\.[0-9]{6} \[([0-9]+) 127\.0\.0\.1:[0-9]+\]")


class Explained:
    """A difference that stays: why, for which commands, and what each server answers.

    The commands are patterns over the words as the server reads them; the answers are regular
    expressions over the type and the text. `parts` says that what follows in the round differs too.
    """

    def __init__(self, why, commands, toroid, valkey, parts=False):
        self.why, self.commands, self.parts = why, commands.split(", "), parts
        self.toroid, self.valkey = re.compile(toroid), re.compile(valkey)

    def fits(self, command, left, right):
        words = " ".join(word.decode("latin-1") for word in command).lower()
        return (
            any(fnmatch.fnmatchcase(words, pattern) for pattern in self.commands)
            and self.toroid.match(flat(left))
            and self.valkey.match(flat(right))
        )


def flat(reply):
    """A reply as `type text`, for patterns."""
    kind, text = reply
    if text is None:
        return f"{kind} null"
    return f"{kind} {text.decode('latin-1') if isinstance(text, bytes) else ''}"


WORDS_WRONG = "wrong number of arguments for 'debug\\|"
NO_DEBUG = f"- ERR (unknown subcommand '.*'. Try DEBUG HELP.|{WORDS_WRONG})"
NO_CLUSTER = "- ERR This instance has cluster support disabled$"
BAD_ARGUMENT = "- ERR (syntax error|value is not an integer or out of range)$"

# Toroid does as Redis 7.2 does; Valkey 9 changed these. Each side of an entry is exact.
EXPLAINED = [
    Explained(
        "an internal encoding: how long a string may be in one allocation is a server's own",
        "object encoding *",
        "\\$ (embstr|raw)$",
        "\\$ (embstr|raw)$",
    ),
    Explained(
        "Toroid shows integers as such, whatever wrote them: in Valkey one is embstr after "
        "INCRBYFLOAT, and raw after a SETBIT that changed nothing",
        "object encoding *",
        "\\$ int$",
        "\\$ (embstr|raw)$",
    ),
    Explained(
        "no key at all is too few arguments",
        "debug digest-value",
        "- ERR wrong number of arguments for 'debug\\|digest-value' command$",
        "\\* $",
    ),
    Explained(
        "Toroid compares long strings in less memory",
        "lcs *",
        "[:$*%] ",
        "- ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len$",
    ),
    Explained(
        "the subcommand is told in lower case",
        "pubsub * * *, acl * * *, slowlog * * *",
        "- ERR unknown subcommand or wrong number of arguments for '[a-z]*'. Try [A-Z]* HELP.$",
        "- ERR unknown subcommand or wrong number of arguments for '[a-zA-Z]*'. Try [A-Z]* HELP.$",
    ),
    Explained(
        "DEBUG has declared subcommands, as other containers have",
        "debug *",
        NO_DEBUG,
        "- ERR unknown subcommand or wrong number of arguments for '.*'. Try DEBUG HELP.$",
    ),
    Explained(
        "too many words are answered like a wrong one",
        "function flush * *",
        "- ERR FUNCTION FLUSH only supports SYNC\\|ASYNC option$",
        "- ERR unknown subcommand or wrong number of arguments for '.*'. Try .* HELP.$",
    ),
    Explained(
        "DEBUG has declared subcommands, which a transaction refuses to queue if they are wrong",
        "debug *",
        NO_DEBUG,
        "\\+ QUEUED$",
        parts=True,
    ),
    Explained(
        "Valkey refuses it in a transaction, which it aborts",
        "client reply *",
        "\\+ QUEUED$",
        "- ERR Command 'client\\|reply' not allowed inside a transaction$",
        parts=True,
    ),
    Explained(
        "Valkey names the command",
        "save, save *, shutdown *",
        "- ERR Command not allowed inside a transaction$",
        "- ERR Command '(save|shutdown)' not allowed inside a transaction$",
    ),
    Explained(
        "a reference count is internal", "object refcount *", ": (1|2147483647)$", ": [0-9]+$"
    ),
    Explained("Valkey allows it without a cluster", "readonly, readwrite", NO_CLUSTER, "\\+ OK$"),
    Explained("Valkey allows it without a cluster", "cluster keyslot *", NO_CLUSTER, ": "),
    Explained(
        "Valkey checks the arguments before the key",
        "bitcount *, bitpos *",
        "(: 0|: -1|- WRONGTYPE .*|- ERR (syntax error|value is not an integer or out of range))$",
        BAD_ARGUMENT,
    ),
    Explained(
        "Valkey takes the low 32 bits of an index of LSET and replaces that element",
        "lset *",
        "- ERR index out of range$",
        "\\+ OK",
    ),
    Explained(
        "Valkey allows BITCOUNT key start",
        "bitcount *",
        "- ERR syntax error$",
        "(: |- WRONGTYPE )",
    ),
    Explained(
        "Valkey checks the expiry before the key",
        "getex *",
        "(\\$ null|_ |- WRONGTYPE .*)",
        "- ERR (value is not an integer or out of range|invalid expire time in 'getex' command)$",
    ),
    Explained(
        "Valkey checks the cursor before the options",
        "scan *",
        "- ERR (syntax error|value is not an integer or out of range)$",
        "- ERR invalid cursor$",
    ),
    Explained(
        "a cursor that is no number", "scan , scan  *, scan -1*", "\\* $", "- ERR invalid cursor$"
    ),
    Explained(
        "Valkey has one text for all commands a transaction refuses, and aborts the transaction",
        "multi, watch *",
        "- ERR (MULTI calls can not be nested|WATCH inside MULTI is not allowed)$",
        "- ERR Command '.*' not allowed inside a transaction$",
        parts=True,
    ),
    Explained(
        "Redis reads a hexadecimal number as a score",
        "z*0x*",
        "[*~%:$_,] |- WRONGTYPE ",
        "- ERR (min or max|weight value|value) is not a (valid )?float$",
        parts=True,
    ),
    Explained(
        "Redis passes over blanks before the edge of a range of scores",
        "z*  *, z*( *",
        "[*~%:_] |- WRONGTYPE ",
        "- ERR min or max is not a float$",
        parts=True,
    ),
    Explained(
        "Redis sorts an empty string, or one with blanks before a number, as a number",
        "sort *, sort_ro *",
        "[*:] ",
        "- ERR One or more scores can't be converted into double$",
        parts=True,
    ),
    Explained(
        "a range by name of members with different scores is not specified",
        "z*bylex*",
        "[*~:] ",
        "[*~:] ",
        parts=True,
    ),
    Explained(
        "a negative offset skips all; in Valkey's larger sets it counts from the end",
        "z*limit -*",
        "(\\* |: 0$)",
        "[*:] ",
        parts=True,
    ),
    Explained(
        "an internal encoding: Valkey counts members that a ZDIFFSTORE left out",
        "object encoding *",
        "\\$ listpack$",
        "\\$ skiplist$",
    ),
    Explained("a cursor that is no number", "?scan *", "\\* $", "- ERR invalid cursor$"),
    Explained(
        "Valkey takes several identities",
        "client list id *, client kill id *",
        "- ERR (Invalid client ID|client-id should be greater than 0)$",
        "- ERR syntax error$",
    ),
]


def is_error(reply):
    return reply[0] in ERRORS


def lowered(command):
    """The command's name and subcommand as the server reads them."""
    return [word.lower() for word in command[:2]] + command[2:]


def ordered(reply):
    """Sets and maps have no order of their own."""
    kind, items = reply
    if not isinstance(items, list):
        return reply
    items = [ordered(item) for item in items]
    if kind == "~":
        items.sort(key=repr)
    elif kind == "%":
        pairs = sorted(zip(items[::2], items[1::2]), key=repr)
        items = [item for pair in pairs for item in pair]
    return kind, items


def shape(reply):
    """Types only, all the way down."""
    kind, items = reply
    return (kind, [shape(item) for item in items]) if isinstance(items, list) else kind


def either(reply):
    return reply[0] + ("null" if reply[1] is None or reply[0] == "_" else "")


def hello(reply):
    """Names and identities differ; the fields do not, nor the protocol."""
    items = reply[1]
    if reply[0] not in "*%" or items is None:
        return reply
    fields = {item[1]: value for item, value in zip(items[::2], items[1::2])}
    own = (b"server", b"version", b"id", b"modules", b"availability_zone")
    return reply[0], sorted((name, value) for name, value in fields.items() if name not in own)


def sorted_deep(reply):
    kind, items = reply
    if not isinstance(items, list):
        return reply
    return kind, sorted([sorted_deep(item) for item in items], key=repr)


def paired(reply):
    """Fields with their values, or members with their scores, without an order."""
    items = reply[1]
    if not isinstance(items, list):
        return reply
    items = [sorted_deep(item) for item in items]
    return sorted(zip(items[::2], items[1::2]), key=repr), len(items)


def are_near(left, right, near):
    """Whether two replies are times of fields that differ by less than that."""
    if left[0] != right[0] or not isinstance(left[1], list) or not isinstance(right[1], list):
        return False
    if len(left[1]) != len(right[1]):
        return False
    times = [(one, other) for one, other in zip(left[1], right[1]) if one != other]
    if any(":" != one[0] or ":" != other[0] for one, other in times):
        return False
    times = [(int(one[1]), int(other[1])) for one, other in times]
    return all(0 < one and 0 < other and abs(one - other) <= near for one, other in times)


def command_info(reply):
    """Name, arity and keys are facts; flags and categories are read as sets; tips are hints."""
    kind, items = reply
    if kind != "*" or items is None:
        return reply
    out = []
    for item in items:
        if item[0] == "*" and item[1]:
            fields = item[1]
            out.append([fields[0], fields[1], *fields[3:6]])
        else:
            out.append(item)
    return kind, out


def view(command, reply):
    """The part of a reply that two servers must agree on."""
    name, sub = command[0], command[1] if len(command) > 1 else b""
    if is_error(reply):
        return reply
    if name == b"keys":
        return reply[0], sorted(reply[1])
    if name == b"randomkey":
        return either(reply)
    if name == b"scan":
        return shape(reply)[:1], len(reply[1])  # Whole iterations are compared by SCANALL.
    if name == b"command" and sub in (b"", b"list", b"docs") or name == b"lastsave":
        return either(reply)
    if command == [b"command", b"info"]:
        return either(reply)  # Of all commands; those the round names are compared.
    if name == b"hello":
        return hello(reply)
    if name == b"command" and sub == b"info":
        return command_info(reply)
    if name == b"command" and sub == b"getkeysandflags":
        return sorted_deep(reply)
    if (name, sub) in (
        (b"object", b"idletime"),
        (b"object", b"freq"),
        (b"memory", b"usage"),
        (b"client", b"id"),
        (b"client", b"info"),
        (b"client", b"list"),
        (b"slowlog", b"len"),
        (b"latency", b"reset"),
        (b"latency", b"histogram"),
        (b"module", b"list"),
        (b"debug", b"object"),
        (b"debug", b"digest"),
    ):
        return either(reply)
    if name == b"lolwut" or name == b"info" and command[1:] != [b"nosuch"]:
        return either(reply)
    if name in (b"role", b"waitaof") or (name, sub) == (b"debug", b"digest-value"):
        return shape(reply)
    if name == b"#receive" and reply[0] == "+":
        return reply[0], SEEN.sub(rb"\1", reply[1])
    if name == b"time":
        return shape(reply)
    if name in UNORDERED:
        return sorted_deep(reply)
    if name in PAIRS:
        return reply[0], paired(reply)
    if name in SCANS and reply[0] == "*" and len(reply[1]) == 2:
        page = reply[1][1]
        return reply[1][0], sorted_deep(page) if name == b"sscan" else paired(page)
    if name in RANDOM:
        # How many there are; which is chance.
        return either(reply), len(reply[1]) if isinstance(reply[1], list) else 1
    return ordered(reply)


def same(command, left, right):
    """None if the replies are the same; else what explains the difference, or False."""
    if left == right:
        return None
    command = lowered(command)
    near = TOLERANCE.get(command[0])
    if near and left[0] == right[0] == ":":
        one, other = int(left[1]), int(right[1])
        if 0 < one and 0 < other and abs(one - other) <= near:
            return None
    elif view(command, left) == view(command, right):
        return None
    elif command[0] in FIELD_TIMES and are_near(left, right, FIELD_TIMES[command[0]]):
        return None
    explained = next((one for one in EXPLAINED if one.fits(command, left, right)), False)
    return explained or told(command, left, right)


# Valkey lengthens the string all the same, and tells no one: not the watchers, not its replicas.
GREW_UNSEEN = Explained(
    "a BITFIELD that failed has lengthened a watched string",
    "exec",
    "(_ |\\* null$)",
    "\\* $",
    parts=True,
)


LAST_DIGIT = Explained(
    "of two shortest numbers as near to a double Redis takes the larger, Valkey the even one",
    "z*, hincrbyfloat *, incrbyfloat *",
    ".",
    ".",
)
NUL = Explained(
    "for Valkey's collation a string ends at its first NUL, so that the order is chance",
    "sort*alpha*",
    ".",
    ".",
)


TIES = Explained(
    "elements of equal weight have no order, and those of a set none to begin with",
    "sort* by *",
    "[*] ",
    "[*] ",
)


def told(command, left, right):
    """What explains a difference that takes a look into the replies, or False."""
    if LAST_DIGIT.fits(command, left, right) and are_doubles(left, right):
        return LAST_DIGIT
    if TIES.fits(command, left, right) and len(left[1]) == len(right[1]):
        return TIES
    if NUL.fits(command, left, right) and sorted_deep(left) == sorted_deep(right):
        return NUL if any(b"\0" in (item[1] or b"") for item in left[1]) else False
    return False


def are_doubles(left, right):
    """Whether replies differ in the digits of doubles only, and not in their values."""
    if left == right:
        return True
    if left[0] != right[0] or left[1] is None or right[1] is None:
        return False
    if isinstance(left[1], list):
        pairs = zip(left[1], right[1])
        return len(left[1]) == len(right[1]) and all(are_doubles(*pair) for pair in pairs)
    try:
        return len(left[1]) == len(right[1]) and float(left[1]) == float(right[1])
    except ValueError:
        return False


class Round:
    """What the connections of a round have in common."""

    def __init__(self):
        self.bitfield_failed = False


class Session:
    """One connection's state: the replies of EXEC belong to the commands that were queued."""

    def __init__(self, round_):
        self.round, self.queue = round_, None

    def compare(self, command, left, right):
        """Every pair of replies that differs: (command, left, right, explained)."""
        name = command[0].lower()
        queued, pairs = self.queue, [(command, left, right)]
        if name == b"multi" and queued is None and left == right == ("+", b"OK"):
            self.queue = []
        elif queued is not None:
            if left == right == ("+", b"QUEUED"):
                queued.append(command)
            elif name in (b"exec", b"discard", b"reset") and not (
                is_error(left) and b"EXECABORT" not in left[1]
            ):
                self.queue = None
                if name == b"exec" and is_array_of(left, queued) and is_array_of(right, queued):
                    pairs = list(zip(queued, left[1], right[1]))
        for pair in pairs:
            explained = same(*pair)
            if pair[0][0].lower() == b"bitfield" and isinstance(pair[1][1], list):
                self.round.bitfield_failed |= any(either(item)[1:] for item in pair[1][1])
            if explained is False and self.round.bitfield_failed:
                explained = GREW_UNSEEN if GREW_UNSEEN.fits(*pair) else False
            if explained is not None:
                yield (*pair, explained)


def is_array_of(reply, queued):
    return reply[0] == "*" and reply[1] is not None and len(reply[1]) == len(queued)


def kind_of(reply):
    """A reply's kind, coarsely: what two findings of one cause have in common."""
    if reply is None:
        return "none"
    if is_error(reply):
        words = re.sub(rb"'[^']*'|\d+", b"*", reply[1]).split(b" ")
        return b" ".join(words[:5]).decode("ascii", "replace")
    return either(reply)


CONTAINERS = (b"client", b"object", b"memory", b"config", b"command", b"slowlog", b"latency")


def signature(command, left, right):
    names = lowered(command)
    name = names[0] if names[0] not in CONTAINERS else b" ".join(names[:2])
    if is_error(left) and b"unknown" in left[1]:
        name = b"unknown"
    return name[:40], kind_of(left), kind_of(right)
