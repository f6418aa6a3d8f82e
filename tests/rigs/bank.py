"""Transfers between accounts whose keys lie in many slices: no half of one is ever there.

Every transfer is one transaction whose amounts add up to zero, and leaves its number twice, as a
receipt and as a stub, in slices of their own. So whenever nothing is half done, the accounts add
up to zero and each receipt equals its stub. The bank is memory of this process: nothing that
happens to the server touches it.
"""

import random
import threading
import time

from resp import Client, ReplyError, encode
from rig import DEADLINE_S, Failure, check

ACCOUNTS = 24
# How each teller works, and how many transfers it has on their way at most.
TELLERS = (("multi", 1), ("multi", 4), ("multi", 24), ("mset", 8), ("watch", 1), ("watch", 1))


def account(number):
    return f"account:{number}"


class Teller:
    """Moves money. Its last transfer is between the last acknowledged, or shown, and the last sent."""

    def __init__(self, index, kind, depth):
        self.kind, self.depth = kind, depth
        self.receipt, self.stub = f"receipt:{index}", f"stub:{index}"
        self.acked = self.sent = self.seen = 0


class Bank:
    def __init__(self):
        self.tellers = [Teller(index, *how) for index, how in enumerate(TELLERS)]

    def audit_request(self):
        words = ["MGET"] + [account(number) for number in range(ACCOUNTS)]
        for teller in self.tellers:
            words += [teller.receipt, teller.stub]
        return encode(*words)

    def balance(self, reply):
        """The last transfer of each teller as one MGET shows it; no half of one may show."""
        if isinstance(reply, ReplyError):
            raise Failure(f"an audit answered {reply!r}")
        numbers = [0 if value is None else int(value) for value in reply]
        check(len(numbers) == ACCOUNTS + 2 * len(TELLERS), f"MGET answered {len(numbers)} values")
        total = sum(numbers[:ACCOUNTS])
        check(total == 0, f"half a transfer: the accounts add up to {total}")
        receipts, stubs = numbers[ACCOUNTS::2], numbers[ACCOUNTS + 1 :: 2]
        for teller, receipt, stub in zip(self.tellers, receipts, stubs):
            check(
                receipt == stub,
                f"half a transfer: {teller.receipt} is {receipt}, {teller.stub} is {stub}",
            )
        return receipts

    def verify(self, port):
        """Looks at everything after a crash. Returns the list of what is wrong."""
        with Client(port) as client:
            client.send(self.audit_request())
            try:
                receipts = self.balance(client.receive())
            except Failure as failure:
                return [str(failure)]
        wrong = []
        for teller, receipt in zip(self.tellers, receipts):
            floor = max(teller.acked, teller.seen)
            if not floor <= receipt <= teller.sent:
                wrong.append(
                    f"{teller.receipt} is {receipt}, but {teller.acked} was acknowledged, "
                    f"{teller.seen} shown and {teller.sent} sent"
                )
            # What did not survive is not sent again.
            teller.acked = teller.sent = teller.seen = receipt
        return wrong


class Day:
    """Tellers and an auditor, until the server is gone."""

    def __init__(self, port, seed, bank):
        self.port, self.seed, self.bank = port, seed, bank
        self.transfers = self.refused = self.audits = 0
        self.failures = []
        self.refusals = []
        self.lock = threading.Lock()
        self.stopping = threading.Event()
        self.threads = [
            threading.Thread(target=self.guard, args=(self.tell, index, teller))
            for index, teller in enumerate(bank.tellers)
        ]
        self.threads.append(threading.Thread(target=self.guard, args=(self.audit,)))

    def start(self):
        for thread in self.threads:
            thread.start()

    def join(self, dying_since=None):
        """Ends the day. Only a server that is dying since then may have refused anything."""
        self.stopping.set()
        for thread in self.threads:
            thread.join(DEADLINE_S * 2)
            check(not thread.is_alive(), "a teller is still waiting long after the server died")
        if self.failures:
            raise Failure(self.failures[0])
        for when, reply in self.refusals:
            check(dying_since is not None and dying_since <= when, f"the bank got {reply!r}")

    def is_refused(self, reply):
        if isinstance(reply, ReplyError):
            self.refusals.append((time.monotonic(), reply))
            return True
        return False

    def guard(self, run, *arguments):
        try:
            run(*arguments)
        except OSError:
            pass  # the server died: that is the point
        except Failure as failure:
            self.failures.append(str(failure))
        except Exception as error:  # a bug of the rig must not look like a dead server
            self.failures.append(f"at the bank: {error!r}")

    def tell(self, index, teller):
        chance = random.Random(self.seed * 100 + index)
        with Client(self.port) as client:
            while not self.stopping.is_set():
                if teller.kind == "watch":
                    goes_on = self.transfer_watched(client, teller, chance)
                else:
                    goes_on = self.transfer(client, teller, chance)
                if not goes_on:
                    return

    def transfer(self, client, teller, chance):
        """Sends some transfers, then takes their answers. False: one was refused."""
        data, sizes = [], []
        for _ in range(chance.randint(1, teller.depth)):
            teller.sent += 1
            step = teller.sent
            if teller.kind == "mset":
                data.append(encode("MSET", teller.receipt, step, teller.stub, step))
                sizes.append(0)
                continue
            amounts = [chance.randrange(100) for _ in range(chance.randint(1, 3))]
            words = [("DECRBY", account(chance.randrange(ACCOUNTS)), size) for size in amounts]
            words.append(("INCRBY", account(chance.randrange(ACCOUNTS)), sum(amounts)))
            words.append(("SET", teller.receipt, step))
            words.append(("SET", teller.stub, step))
            data.append(encode("MULTI") + b"".join(encode(*each) for each in words))
            data.append(encode("EXEC"))
            sizes.append(len(words))
        client.send(b"".join(data))
        for size in sizes:
            if size == 0:
                reply = client.receive()
                if self.is_refused(reply):
                    return False
                check(reply == "OK", f"MSET answered {reply!r}")
            else:
                for _ in range(size + 1):
                    reply = client.receive()
                    if self.is_refused(reply):
                        return False
                    check(reply in ("OK", "QUEUED"), f"within MULTI: {reply!r}")
                reply = client.receive()
                if self.is_refused(reply):
                    return False
                check(isinstance(reply, list) and len(reply) == size, f"EXEC answered {reply!r}")
            teller.acked += 1
            with self.lock:
                self.transfers += 1
        return True

    def transfer_watched(self, client, teller, chance):
        """Moves one unit by values it has read, if nobody changes them meanwhile."""
        payer, payee = map(account, chance.sample(range(ACCOUNTS), 2))
        client.send(encode("WATCH", payer, payee) + encode("MGET", payer, payee))
        replies = [client.receive(), client.receive()]
        if any(map(self.is_refused, replies)):
            return False
        check(replies[0] == "OK", f"WATCH answered {replies[0]!r}")
        here, there = (0 if value is None else int(value) for value in replies[1])
        teller.sent += 1  # before it can leave; taken back if it was refused
        step = teller.sent
        client.send(
            encode("MULTI")
            + encode("SET", payer, here - 1)
            + encode("MSET", payee, there + 1, teller.receipt, step, teller.stub, step)
            + encode("EXEC")
        )
        replies = [client.receive() for _ in range(4)]
        if any(map(self.is_refused, replies)):
            return False
        if replies[3] is None:
            teller.sent -= 1
            with self.lock:
                self.refused += 1
        else:
            check(replies[3] == ["OK", "OK"], f"EXEC answered {replies[3]!r}")
            teller.acked += 1
            with self.lock:
                self.transfers += 1
        return True

    def audit(self):
        """Looks at everything at once, again and again. What was shown must stay."""
        with Client(self.port) as client:
            while not self.stopping.is_set():
                acked = [teller.acked for teller in self.bank.tellers]
                client.send(self.bank.audit_request())
                reply = client.receive()
                if self.is_refused(reply):
                    return
                receipts = self.bank.balance(reply)
                for teller, receipt, floor in zip(self.bank.tellers, receipts, acked):
                    check(
                        floor <= receipt <= teller.sent,
                        f"{teller.receipt} was shown as {receipt}; {floor} was acknowledged "
                        f"before, {teller.sent} sent",
                    )
                    teller.seen = max(teller.seen, receipt)
                with self.lock:
                    self.audits += 1
