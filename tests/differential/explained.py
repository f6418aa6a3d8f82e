"""The differences from Valkey that stay, each with its reason, and when it is the reason.

Most are judged by the command and the two replies. Where that would hide other differences, an
entry asks what the command worked on (`looks.py`), or what the round did before.
"""

import fnmatch
import re

import looks


class Explained:
    """A difference that stays: why, for which commands, and what each server answers.

    The commands are patterns over the words as the server reads them; the answers are regular
    expressions over the type and the text. `when` takes a closer look, with what was there.
    `parts` says that what follows in the round differs too.
    """

    def __init__(self, why, commands, toroid, valkey, parts=False, when=None):
        self.why, self.commands, self.parts = why, commands.split(", "), parts
        self.when = when or (lambda _command, _left, _right, _seen: True)
        self.toroid, self.valkey = re.compile(toroid), re.compile(valkey)

    def fits(self, command, left, right, seen):
        words = " ".join(word.decode("latin-1") for word in command).lower()
        return (
            any(fnmatch.fnmatchcase(words, pattern) for pattern in self.commands)
            and self.toroid.match(flat(left))
            and self.valkey.match(flat(right))
            and self.when(command, left, right, seen)
        )


def flat(reply):
    """A reply as `type text`, for patterns."""
    kind, text = reply
    if text is None:
        return f"{kind} null"
    return f"{kind} {text.decode('latin-1') if isinstance(text, bytes) else ''}"


def without_negative_zero(reply):
    """A reply with a zero wherever a negative one is the whole text."""
    kind, items = reply
    if isinstance(items, list):
        return kind, [without_negative_zero(item) for item in items]
    return kind, b"0" if items == b"-0" else items


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
        when=looks.may_be_encoded_so,
    ),
    Explained(
        "Toroid shows integers as such, whatever wrote them: in Valkey one is embstr after "
        "INCRBYFLOAT, and raw after a SETBIT that changed nothing",
        "object encoding *",
        "\\$ int$",
        "\\$ (embstr|raw)$",
        when=looks.may_be_encoded_so,
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
        when=looks.is_number_of_nothing,
    ),
    Explained(
        "Valkey takes the low 32 bits of an index of LSET and replaces that element",
        "lset *",
        "- ERR index out of range$",
        "\\+ OK",
        parts=True,
        when=lambda command, *_: not -(2**31) <= int(command[2]) < 2**31,
    ),
    Explained(
        "Valkey allows BITCOUNT key start",
        "bitcount *",
        "- ERR syntax error$",
        "(: |- WRONGTYPE )",
        when=lambda command, *_: len(command) == 3,
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
        "[*~%:$_,] |- (WRONGTYPE |ERR syntax error$)",
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
        when=looks.are_numbers_of_redis,
    ),
    Explained(
        "a range by name of members with different scores is not specified",
        "z*bylex*, zlexcount *",
        "[*~:] ",
        "[*~:] ",
        parts=True,
        when=looks.has_mixed_scores,
    ),
    Explained(
        "a negative offset skips all; in Valkey's larger sets it counts from the end",
        "z*limit -*",
        "(\\* |: 0$)",
        "[*:] ",
        parts=True,
        when=lambda _command, left, *_: left[1] in ([], b"0"),
    ),
    Explained(
        "an internal encoding: Valkey's SORT unpacks a sorted set, and its ZDIFFSTORE counts "
        "members that it left out",
        "object encoding *",
        "\\$ listpack$",
        "\\$ skiplist$",
        when=lambda command, _left, _right, seen: command[2] in seen.round.unpacked,
    ),
    Explained(
        "a cursor that is no number",
        "?scan *",
        "(\\* |- (WRONGTYPE |ERR syntax error$|ERR value is not an integer))",
        "- ERR invalid cursor$",
        when=lambda command, *_: re.fullmatch(rb"([+-]?\d+)?", command[2]),
    ),
    Explained(
        "elements of equal weight have no order, and those of a set none to begin with: weights "
        "are compared up to their first NUL",
        "sort *, sort_ro *",
        "[*] ",
        "[*] ",
        when=looks.have_equal_weights,
    ),
    Explained(
        "of two shortest numbers as near to a double Redis takes the larger, Valkey the even one",
        "z*, hincrbyfloat *, incrbyfloat *",
        ".",
        ".",
        when=lambda _command, left, right, _seen: are_doubles(left, right),
    ),
    Explained(
        "Valkey takes several identities",
        "client list id *, client kill id *",
        "- ERR (Invalid client ID|client-id should be greater than 0)$",
        "- ERR syntax error$",
    ),
    # Valkey lengthens the string all the same, and tells neither the watchers nor its replicas.
    Explained(
        "a BITFIELD that failed has lengthened a watched string",
        "exec",
        "(_ |\\* null$)",
        "\\* $",
        parts=True,
        when=lambda _command, _left, _right, seen: seen.round.bitfield_failed,
    ),
]
# Judged by the parts of the replies that are compared, once these are without it.
NEGATIVE_ZERO = Explained(
    "a score is never a negative zero; in Valkey's larger sorted sets it may be", "z*", ".", "."
)
SCANNED_UNPACKED = Explained(
    "Redis writes the scores of a packed sorted set and of an unpacked one with other digits",
    "zscan *",
    "\\* ",
    "\\* ",
    when=lambda command, _left, _right, seen: command[1] in seen.round.unpacked,
)
