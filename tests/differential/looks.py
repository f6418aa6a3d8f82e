"""What a command worked on, asked just before it.

Some differences are explained only by what was there: whether the scores of a sorted set were
mixed, which weights SORT saw. The driver sends a look before each such command, on its connection
and in its transaction; nothing comes between them. A look is compared like any command.
"""

import re

from wire import is_error, sorted_deep

# Written as strtod() reads a number, as far as it goes before a NUL.
NUMBER = re.compile(
    rb"[ \t\n\v\f\r]*[+-]?((\d+\.?\d*|\.\d+)(e[+-]?\d+)?|0x[0-9a-f.]+(p[+-]?\d+)?|inf(inity)?)$",
    re.IGNORECASE,
)
EMBSTR_MAX = 44
QUEUED = ("+", b"QUEUED")
BY_NAME = (b"zlexcount", b"zrangebylex", b"zrevrangebylex", b"zremrangebylex")
BY_CHANCE = {b"srandmember": b"SMEMBERS", b"hrandfield": b"HGETALL"}


class Look(list):
    """A command that the driver asks before another one."""


class Seen:
    """What is known beside two replies: (look, reply) of the looks, and the round so far."""

    def __init__(self, looks, round_):
        self.looks, self.round = looks, round_


def before(command):
    """The looks that a command wants, often none."""
    name = command[0].lower()
    if name in (b"sort", b"sort_ro") and len(command) > 1:
        weight, rows = sorted_by(command)
        words = [word for pattern in (b"#", weight or b"#", *rows) for word in (b"GET", pattern)]
        key = command[1]
        return [Look([b"TYPE", key]), Look([b"SORT_RO", key, b"BY", b"nosort", *words])]
    if name in (*BY_NAME, b"zrandmember") and len(command) > 1:
        return [scores_of(command[1])]
    if name in (b"zrange", b"zrangestore") and b"bylex" in lower(command):
        at = 1 if name == b"zrange" else 2
        return [scores_of(command[at])] if at < len(command) else []
    if name == b"object" and len(command) == 3 and command[1].lower() == b"encoding":
        return [Look([b"GET", command[2]])]
    if name in (b"bitcount", b"bitpos") and len(command) > 1:
        return [Look([b"TYPE", command[1]])]
    if name in BY_CHANCE and len(command) > 1:
        return [Look([BY_CHANCE[name], command[1]])]
    return []


def scores_of(key):
    return Look([b"ZRANGE", key, b"0", b"-1", b"WITHSCORES"])


def lower(command):
    return [word.lower() for word in command]


def sorted_by(command):
    """SORT's pattern of weights, or None, and those of what it returns."""
    weight, rows, at = None, [], 2
    while at < len(command):
        word = command[at].lower()
        if word == b"by" and at + 1 < len(command):
            weight = command[at + 1]
        elif word == b"get" and at + 1 < len(command):
            rows.append(command[at + 1])
        at += {b"by": 2, b"get": 2, b"store": 2, b"limit": 3}.get(word, 1)
    return weight, rows or [b"#"]


def text_of(item):
    """A reply's text, or None."""
    return None if item[0] == "_" else item[1]


def rows_of(reply, width):
    items = [text_of(item) for item in reply[1]]
    return [tuple(items[at : at + width]) for at in range(0, len(items), width)]


def pairs_of(reply):
    """Members with their scores or values, flat in RESP2, nested in some of RESP3's."""
    items = reply[1]
    if items and isinstance(items[0][1], list):
        items = [part for item in items for part in item[1]]
    texts = [text_of(item) for item in items]
    return list(zip(texts[::2], texts[1::2]))


def seen_by(seen, count):
    """The replies of so many looks, if they all are there and none is an error or queued."""
    replies = [reply for _, reply in seen.looks]
    is_one_no_look = any(is_error(reply) or reply == QUEUED for reply in replies)
    return None if is_one_no_look or len(replies) != count else replies


def is_number_of_nothing(_command, left, _right, seen):
    """Whether a reply that is a number was given because there was no key."""
    return left[0] != ":" or seen_by(seen, 1) == [("+", b"none")]


def has_mixed_scores(_command, _left, _right, seen):
    """Whether the members of the sorted set had more than one score."""
    replies = seen_by(seen, 1)
    return bool(replies) and len({float(score) for _, score in pairs_of(replies[0])}) > 1


def sorted_rows(command, seen):
    """What SORT saw: the value's type, and (weight, row) of each element."""
    replies = seen_by(seen, 2)
    if not replies:
        return None, []
    width = len(sorted_by(command)[1])
    found = [(row[1], row[2:]) for row in rows_of(replies[1], 2 + width)]
    return replies[0][1], found


def have_equal_weights(command, left, right, seen):
    """Whether two replies of SORT differ only among elements of equal weight, whose order is not
    specified: strings of SORT ALPHA, which for the collation end at their first NUL, and the
    members of a set that is not to be sorted."""
    kind, found = sorted_rows(command, seen)
    weight, rows = sorted_by(command)
    if kind is None or len(left[1]) != len(right[1]):
        return False
    if weight is not None and b"*" not in weight:
        if kind != b"set":
            return False
        found = [(None, row) for _, row in found]
    elif b"alpha" not in lower(command):
        return False  # Numbers that are equal are ordered by their elements.
    weights = {}
    for weight, row in found:
        weights.setdefault(row, set()).add(weight and weight.split(b"\0")[0])
    pairs = list(zip(rows_of(left, len(rows)), rows_of(right, len(rows))))
    if b"limit" not in lower(command) and sorted_deep(left) != sorted_deep(right):
        return False
    return all(weights.get(one, set()) & weights.get(other, set()) for one, other in pairs)


def are_numbers_of_redis(command, _left, _right, seen):
    """Whether strtod() reads every weight whole, and one is empty or begins with a blank."""
    kind, found = sorted_rows(command, seen)
    weights = [weight.split(b"\0")[0] for weight, _ in found if weight is not None]
    odd = [weight for weight in weights if not weight or weight[:1].isspace()]
    return kind is not None and bool(odd) and all(not w or NUMBER.match(w) for w in weights)


def may_be_encoded_so(_command, left, _right, seen):
    """Whether a string may have the encoding that Toroid tells."""
    replies = seen_by(seen, 1)
    if not replies or replies[0][0] != "$" or replies[0][1] is None:
        return False
    value, encoding = replies[0][1], left[1]
    if encoding == b"int":
        is_decimal = re.fullmatch(rb"0|-?[1-9]\d*", value)
        return bool(is_decimal) and -(2**63) <= int(value) < 2**63
    return encoding == b"raw" or len(value) <= EMBSTR_MAX


def are_chosen(command, reply, seen):
    """Whether what a server chose by chance was there, each once if so many different were asked
    for."""
    replies = seen_by(seen, 1)
    if not replies or is_error(reply):
        return True
    if command[0] == b"srandmember":
        there = [(text_of(item),) for item in replies[0][1]]
    else:
        there = pairs_of(replies[0])
    names = {entry[0] for entry in there}
    if not isinstance(reply[1], list):
        return text_of(reply) in names or not names and text_of(reply) is None
    if len(command) == 4:
        chosen, whole = pairs_of(reply), set(there)
    else:
        chosen, whole = [text_of(item) for item in reply[1]], names
    is_distinct = int(command[2]) < 0 or len(set(chosen)) == len(chosen)
    return is_distinct and whole.issuperset(chosen)


def self_test():
    """Each explanation holds for what it is made for, and not for its neighbour."""

    def array(*texts):
        return "*", [("$", text) for text in texts]

    def seen(*replies):
        return Seen([(Look(), reply) for reply in replies], None)

    mixed, equal = seen(array(b"a", b"1", b"b", b"2")), seen(array(b"a", b"1", b"b", b"1"))
    assert has_mixed_scores(None, None, None, mixed)
    assert not has_mixed_scores(None, None, None, equal)
    assert not has_mixed_scores(None, None, None, seen())
    one, other = array(b"a", b"b", b"c"), array(b"b", b"a", b"c")
    assert is_number_of_nothing(None, (":", b"0"), None, seen(("+", b"none")))
    assert not is_number_of_nothing(None, (":", b"0"), None, seen(("+", b"string")))
    by_weight = [b"sort", b"k", b"ALPHA", b"BY", b"w*"]
    rows = array(b"a", b"1", b"a", b"b", b"1\x00x", b"b", b"c", None, b"c")
    ties = seen(("+", b"list"), rows)
    assert have_equal_weights(by_weight, one, other, ties)
    assert not have_equal_weights(by_weight, one, array(b"a", b"c", b"b"), ties)
    assert not have_equal_weights(by_weight, one, array(b"a", b"a", b"c"), ties)
    assert not have_equal_weights([b"sort", b"k", b"BY", b"w*"], one, other, ties)
    unsorted = [b"sort", b"k", b"BY", b"nosort"]
    assert have_equal_weights(unsorted, one, other, seen(("+", b"set"), rows))
    assert not have_equal_weights(unsorted, one, other, ties)
    for weight, is_number in ((b"", True), (b" 1", True), (b"1", False), (b" x", False)):
        weights = seen(("+", b"list"), array(b"a", weight, b"a"))
        assert are_numbers_of_redis([b"sort", b"k"], None, None, weights) == is_number, weight
    encodings = [(b"7", b"int", True), (b"07", b"int", False)]
    encodings += [(b"x" * 45, b"embstr", False), (b"x" * 45, b"raw", True)]
    for value, encoding, may_be in encodings:
        told = may_be_encoded_so(None, ("$", encoding), None, seen(("$", value)))
        assert told == may_be, (value, encoding)
    members = seen(array(b"a", b"b"))
    drawn = [b"srandmember", b"k", b"2"]
    assert are_chosen(drawn, array(b"b", b"a"), members)
    assert not are_chosen(drawn, array(b"a", b"a"), members)
    assert not are_chosen(drawn, array(b"x"), members)
