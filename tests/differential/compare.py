"""When two replies to the same command are the same, and which differences are explained.

Types are compared exactly, RESP3's too. What a server chooses for itself (an order, a time, an
identity) is compared as far as it is specified.
"""

import re

import looks
from explained import EXPLAINED, NEGATIVE_ZERO, SCANNED_UNPACKED, without_negative_zero
from looks import Look, Seen
from wire import is_error, sorted_deep

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
# What a monitor reads before the words of a command: the time, the database, and from where.
SEEN = re.compile(rb"^[0-9]+\.[0-9]{6} \[([0-9]+) 127\.0\.0\.1:[0-9]+\]")


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
        (b"slowlog", b"get"),
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


def scores(reply):
    """What a page of ZSCAN says, each score as its value."""
    cursor, page = reply[1]
    texts = [text for _, text in page[1]]
    return cursor, sorted(zip(texts[::2], map(float, texts[1::2])))


def same(command, left, right, seen):
    """None if the replies are the same; else what explains the difference, or False."""
    command = lowered(command)
    if command[0] in RANDOM and not looks.are_chosen(command, left, seen):
        return False
    if left == right:
        return None
    near = TOLERANCE.get(command[0])
    if near and left[0] == right[0] == ":":
        one, other = int(left[1]), int(right[1])
        if 0 < one and 0 < other and abs(one - other) <= near:
            return None
    elif view(command, left) == view(command, right):
        return None
    elif command[0] in FIELD_TIMES and are_near(left, right, FIELD_TIMES[command[0]]):
        return None
    plain = view(command, without_negative_zero(right))
    if NEGATIVE_ZERO.fits(command, left, right, seen) and view(command, left) == plain:
        return NEGATIVE_ZERO
    if SCANNED_UNPACKED.fits(command, left, right, seen) and scores(left) == scores(right):
        return SCANNED_UNPACKED
    return next((one for one in EXPLAINED if one.fits(command, left, right, seen)), False)


class Round:
    """What the connections of a round have in common."""

    def __init__(self):
        self.bitfield_failed = False
        # Sorted sets that Valkey may have unpacked though they are small.
        self.unpacked = set()

    def note(self, command, reply):
        """What later differences may be explained by."""
        name, keys = command[0].lower(), command[1:3]
        if name == b"bitfield" and isinstance(reply[1], list):
            self.bitfield_failed |= any(either(item)[1:] for item in reply[1])
        elif name in (b"sort", b"sort_ro", b"zdiffstore"):
            self.unpacked.update(keys[:1])
        elif name in (b"copy", b"rename", b"renamenx") and self.unpacked.intersection(keys[:1]):
            self.unpacked.update(keys)


class Session:
    """One connection's state: the replies of EXEC belong to the commands that were queued."""

    def __init__(self, round_):
        self.round, self.queue, self.looks = round_, None, []

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
            is_look = isinstance(pair[0], Look)
            if is_look and sorted_deep(pair[1]) == sorted_deep(pair[2]):
                self.looks.append(pair[:2])
                continue
            explained = same(*pair, Seen(self.looks, self.round))
            self.looks = []
            self.round.note(*pair[:2])
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
