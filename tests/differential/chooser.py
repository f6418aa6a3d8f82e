"""Chance, and the building blocks of arguments: what is near the edges where servers differ."""

import random

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

    def drawn(self):
        """How many members chance draws, of which a negative number is answered in full."""
        many = self.small(-9, 9)
        return b"-9" if many[:1] == b"-" and len(many) > 4 and many[1:].isdigit() else many

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
