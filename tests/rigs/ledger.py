"""The ledger of acknowledged writes, and the load that fills it.

The ledger is memory of this process: nothing that happens to the server touches it.
"""

import random
import threading
import time

from resp import Client, ReplyError, encode
from rig import DEADLINE_S, Failure, check


class Key:
    """One key with one writer. Its step n says what the key holds after the n-th write to it.

    `acked`: the last step whose reply arrived. `sent`: the last step that left. After a crash the
    key must be at a step in [acked, sent]: not older, since that was acknowledged; not newer,
    since nobody wrote it.
    """

    def __init__(self, name, kind):
        self.name, self.kind = name.encode(), kind
        self.acked = self.sent = 0

    def holds(self, step):
        """What the key holds after `step`; None is an absent key."""
        if step == 0 or (self.kind == "toggle" and step % 2 == 1):
            return None
        if self.kind == "counter":
            return b"%d" % step
        # What fills it names the step again and again: a mixture of two writes is no step's value.
        size = (1 << 20) + step * 104729 % (1 << 20) if self.kind == "big" else step * 7919 % 2000
        return b"%d:" % step + (b"%d," % step * (size // 2 + 1))[:size]

    def request(self):
        """The next write. The caller sends it."""
        self.sent += 1
        if self.kind == "counter":
            return encode("INCR", self.name)
        value = self.holds(self.sent)
        return encode("DEL", self.name) if value is None else encode("SET", self.name, value)

    def expected_reply(self, step):
        if self.kind == "counter":
            return step
        if self.kind == "toggle" and step % 2 == 1:
            # Whether the write before survived a crash is open, so both counts are right.
            return None
        return "OK"

    def step_of(self, value, at_least, at_most):
        """The earliest step in [at_least, at_most] that explains `value`, or None."""
        if value is None:
            return next((s for s in range(at_least, at_most + 1) if self.holds(s) is None), None)
        try:
            step = int(value.split(b":")[0])
        except ValueError:
            return None
        return step if at_least <= step <= at_most and self.holds(step) == value else None

    def observe(self, value):
        """Judges the value after a crash; None, or what is wrong. What was seen must stay."""
        step = self.step_of(value, self.acked, self.sent)
        if step is None:
            shown = value if value is None else value[:40]
            return (
                f"{self.name.decode()} holds {shown!r}, but its acknowledged step is {self.acked} "
                f"and the last one sent {self.sent}"
            )
        self.acked = step
        if self.kind == "counter":
            self.sent = step
        return None


class Load:
    """Writers and readers over keys of their own, until the server is gone."""

    def __init__(self, port, seed, ledger, readers=2):
        self.port, self.ledger, self.seed = port, ledger, seed
        self.acked = 0
        self.seen = 0
        self.failures = []
        self.lock = threading.Lock()
        self.stopping = threading.Event()
        self.threads = [
            threading.Thread(target=self.guard, args=(self.write, index, keys, depth))
            for index, (keys, depth) in enumerate(ledger.writers)
        ]
        self.threads += [
            threading.Thread(target=self.guard, args=(self.read, 100 + index))
            for index in range(readers)
        ]

    def start(self):
        for thread in self.threads:
            thread.start()

    def join(self):
        self.stopping.set()
        for thread in self.threads:
            thread.join(DEADLINE_S * 2)
            check(not thread.is_alive(), "a client is still waiting long after the server died")
        if self.failures:
            raise Failure(self.failures[0])

    def guard(self, run, *arguments):
        try:
            run(*arguments)
        except OSError:
            pass  # the server died: that is the point
        except Failure as failure:
            self.failures.append(str(failure))
        except Exception as error:  # a bug of the rig must not look like a dead server
            self.failures.append(f"in a client: {error!r}")

    def write(self, index, keys, depth):
        chance = random.Random(self.seed * 1000 + index)
        with Client(self.port) as client:
            while not self.stopping.is_set():
                if keys[0].kind == "big":
                    time.sleep(0.05)  # a megabyte each: enough of them, without filling the disk
                count = chance.randint(1, depth)
                batch = []
                data = []
                for _ in range(count):
                    key = chance.choice(keys)
                    data.append(key.request())
                    batch.append((key, key.sent))
                client.send(b"".join(data))
                for key, step in batch:
                    reply = client.receive()
                    if isinstance(reply, ReplyError):
                        self.refused(key, step, reply)
                        return
                    wanted = key.expected_reply(step)
                    if wanted is None:
                        check(reply in (0, 1), f"DEL {key.name.decode()} answered {reply!r}")
                    else:
                        check(
                            reply == wanted,
                            f"{key.name.decode()} step {step} answered {reply!r}, not {wanted!r}",
                        )
                    key.acked = step
                    with self.lock:
                        self.acked += 1

    @staticmethod
    def refused(key, step, reply):
        """A dying server may refuse; a living one may not."""
        if not reply.startswith(("MISCONF", "ERR", "LOADING")):
            raise Failure(f"{key.name.decode()} step {step} answered {reply!r}")

    def read(self, index):
        """Reads any key; what it saw must still be there after the crash."""
        chance = random.Random(self.seed * 1000 + index)
        keys = [
            key
            for keys, _ in self.ledger.writers
            for key in keys
            if key.kind in ("value", "counter")
        ]
        with Client(self.port) as client:
            while not self.stopping.is_set():
                key = chance.choice(keys)
                floor = max(key.acked, self.ledger.seen.get((index, key.name), 0))
                value = client.call("GET", key.name)
                if isinstance(value, ReplyError):
                    return
                step = 0 if value is None else int(value.split(b":")[0])
                check(
                    floor <= step <= key.sent,
                    f"GET {key.name.decode()} answered step {step}; "
                    f"{floor} was settled before, {key.sent} sent",
                )
                self.ledger.seen[(index, key.name)] = step
                with self.lock:
                    self.seen += 1


class Ledger:
    """All keys, who writes them, and what readers saw."""

    def __init__(self):
        self.writers = []
        for index, (kind, count, depth) in enumerate(
            (
                ("value", 40, 1),
                ("value", 200, 32),
                ("toggle", 40, 8),
                ("counter", 4, 1),
                ("counter", 16, 24),
                ("big", 2, 1),
            )
        ):
            self.writers.append(
                ([Key(f"{kind}-{index}-{number}", kind) for number in range(count)], depth)
            )
        self.seen = {}

    def keys(self):
        return [key for keys, _ in self.writers for key in keys]

    def verify(self, port):
        """Reads every key back. Returns the list of what is missing or invented."""
        with Client(port) as client:
            keys = self.keys()
            for (_, name), step in self.seen.items():
                key = next(k for k in keys if k.name == name)
                key.acked = max(key.acked, step)
            self.seen.clear()
            client.send(b"".join(encode("GET", key.name) for key in keys))
            wrong = []
            for key in keys:
                value = client.receive()
                if isinstance(value, ReplyError):
                    wrong.append(f"GET {key.name.decode()} answered {value!r}")
                else:
                    wrong.append(key.observe(value))
            return [text for text in wrong if text]
