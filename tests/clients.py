#!/usr/bin/env python3
"""Other people's clients against a running server: their default handshakes, their replies, their
benchmark.

    redis-cli         commands on its command line, a pipe of 10,000, its own RESP3 hello
    redis-py          default (RESP2) and protocol=3; strings, pipelines, errors, a pool of threads;
                      transactions and WATCH over keys of all slices
    redis-benchmark   -t ping,set,get,incr,mset, plain, with -P 16 -c 200 and with --threads 2; then
                      the data it left
    node              `redis` and `ioredis` from npm, with what they send unasked, and MULTI

The server runs on two cores, so most of what they ask hops from one to the other.

Red when: HELLO, CLIENT SETINFO, CLIENT SETNAME or COMMAND DOCS answers what a client does not
expect; a command that a client sends is missing; a pipeline's replies are out of order; bytes are
lost; EXEC does not look at its watches; a transaction over keys of several slices is refused.

Usage: clients.py --toroid PATH [--only redis-cli,redis-py,redis-benchmark,node] [--requests 100000]
Exit status: 0 passed, 1 wrong, 2 cannot run here.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "rigs"))
import rig  # noqa: E402
from resp import Client, encode  # noqa: E402
from server import Program, Server, default_binary, verify_log  # noqa: E402

NODE = """
const assert = require('node:assert');
const port = Number(process.argv[2]);
async function nodeRedis(options) {
  const { createClient } = require('redis');
  const client = createClient({ url: `redis://127.0.0.1:${port}`, ...options });
  client.on('error', (error) => { throw error; });
  await client.connect();
  assert.strictEqual(await client.ping(), 'PONG');
  assert.strictEqual(await client.set('node', 'one'), 'OK');
  assert.strictEqual(await client.get('node'), 'one');
  assert.strictEqual(await client.get('node-absent'), null);
  assert.strictEqual(await client.del('node-counter') <= 1, true);
  const all = await Promise.all(Array.from({ length: 1000 }, () => client.incr('node-counter')));
  assert.deepStrictEqual(all.map(Number), Array.from({ length: 1000 }, (_, index) => index + 1));
  const names = Array.from({ length: 40 }, (_, index) => `node-multi-${index}`);
  let multi = client.multi();
  for (const name of names) multi = multi.set(name, 'm').incr('node-counter');
  const replies = await multi.mGet(names).exec();
  assert.strictEqual(replies.length, 81);
  assert.strictEqual(Number(replies[79]), 1040);
  assert.deepStrictEqual(replies[80], names.map(() => 'm'));
  const pool = client.duplicate ? client.duplicate() : client;
  await pool.connect();
  await pool.watch('node-watched');
  await client.set('node-watched', 'changed');
  await assert.rejects(pool.multi().set('node-watched', 'mine').exec());
  await (pool.close ? pool.close() : pool.quit());
  assert.strictEqual(await client.exists('node'), 1);
  await assert.rejects(client.incr('node'), /not an integer/);
  await client.close ? await client.close() : await client.quit();
  return 1092;
}
async function ioredis() {
  const Redis = require('ioredis');
  const options = { port, host: '127.0.0.1', connectionName: 'from-node', maxRetriesPerRequest: 1 };
  const client = new Redis(options);
  assert.strictEqual(await client.ping(), 'PONG');
  assert.strictEqual(await client.set('ioredis', 'two'), 'OK');
  assert.strictEqual(await client.get('ioredis'), 'two');
  const pipeline = client.pipeline();
  await client.del('ioredis-counter');
  for (let index = 0; index < 1000; index += 1) pipeline.incr('ioredis-counter');
  const results = await pipeline.exec();
  assert.deepStrictEqual(results, Array.from({ length: 1000 }, (_, index) => [null, index + 1]));
  const names = Array.from({ length: 40 }, (_, index) => `ioredis-multi-${index}`);
  const multi = client.multi();
  for (const name of names) multi.set(name, 'm');
  const replies = await multi.mget(...names).exec();
  assert.deepStrictEqual(replies[40], [null, names.map(() => 'm')]);
  await client.watch('ioredis-watched');
  const other = new Redis(options);
  await other.set('ioredis-watched', 'changed');
  await other.quit();
  assert.strictEqual(await client.multi().set('ioredis-watched', 'mine').exec(), null);
  await assert.rejects(client.call('NOSUCHCOMMAND'), /unknown command/);
  await client.quit();
  return 1050;
}
(async () => {
  const counts = { redis: await nodeRedis({}), resp3: await nodeRedis({ RESP: 3 }) };
  counts.ioredis = await ioredis();
  console.log(JSON.stringify(counts));
  process.exit(0);
})().catch((error) => { console.error(error); process.exit(1); });
"""


def tool(name, package):
    path = shutil.which(name)
    if path is None:
        raise rig.Unable(f"{name} is not installed: {package}")
    return path


def redis_cli(server, _arguments, _base):
    cli = [tool("redis-cli", "apt-get install redis-tools"), "-p", str(server.port)]

    def call(*words, data=None):
        done = subprocess.run(
            [*cli, *words], input=data, capture_output=True, timeout=120, check=False
        )
        rig.check(
            done.returncode == 0,
            f"redis-cli {words} ended with {done.returncode}: {done.stderr.decode()}",
        )
        return done.stdout.decode().strip()

    expected = [
        (("ping",), "PONG"),
        (("set", "cli", "a value"), "OK"),
        (("get", "cli"), "a value"),
        (("set", "cli", "b", "NX"), ""),
        (("exists", "cli", "cli", "none"), "2"),
        (("incr", "cli-n"), "1"),
        (("incr", "cli-n"), "2"),
        (("echo", "hello"), "hello"),
        (("del", "cli-n"), "1"),
        (("get", "cli-n"), ""),
        (("incr", "cli"), "ERR value is not an integer or out of range"),
        (("-3", "get", "cli"), "a value"),
        (("-n", "3", "get", "cli"), ""),
        (("config", "get", "maxmemory-policy"), None),
        (("-3", "hello"), None),
        (("info", "server"), None),
        (("client", "id"), None),
        (("command", "count"), None),
    ]
    for words, wanted in expected:
        answer = call(*words)
        if wanted is None:
            rig.check(
                not answer.startswith(("ERR", "NOPERM", "(error)")), f"redis-cli {words}: {answer}"
            )
        else:
            rig.check(answer == wanted, f"redis-cli {words} printed {answer!r}, not {wanted!r}")
    rig.check("redis_version:" in call("info"), "INFO names redis_version")
    rig.check(
        call("info", "server").splitlines()[0].startswith("# Server"),
        "INFO server begins with its section",
    )
    data = b"".join(encode("SET", f"pipe-{number}", number) for number in range(10_000))
    said = call("--pipe", data=data)
    rig.check("errors: 0, replies: 10000" in said, f"redis-cli --pipe: {said}")
    rig.check(call("get", "pipe-9999") == "9999", "what --pipe wrote is there")
    inline = call(data=b"SET repl 1\nGET repl\nINCR repl\nDBSIZE\n")
    rig.check(
        inline.splitlines()[:3] == ["OK", "1", "2"], f"redis-cli with commands on stdin: {inline}"
    )
    return len(expected) + 10_000 + 7


def redis_py(server, _arguments, _base):
    try:
        import redis
    except ImportError:
        raise rig.Unable("redis-py is not installed: pip install redis") from None
    count = 0
    for protocol in (2, 3):
        client = redis.Redis(port=server.port, protocol=protocol, client_name="from-python")
        rig.check(client.ping() is True, "ping() is True")
        client.flushall()
        rig.check(client.set("py", b"\x00\xff value") is True, "set() is True")
        rig.check(client.get("py") == b"\x00\xff value", "get() returns the bytes")
        rig.check(client.get("absent") is None, "get() of an absent key is None")
        rig.check(client.set("py", "other", nx=True) is None, "set(nx) of a present key is None")
        rig.check(
            client.set("py", "newer", xx=True, get=True) == b"\x00\xff value",
            "set(get) returns the old value",
        )
        rig.check(client.exists("py", "absent", "py") == 2, "exists() counts each")
        rig.check(client.delete("py", "absent") == 1, "delete() counts the present ones")
        rig.check(client.dbsize() == 0, "dbsize() of an empty database is 0")
        rig.check(isinstance(client.client_id(), int), "client_id() is a number")
        rig.check(client.info()["redis_version"].startswith("7."), "info() is parsed")
        rig.check(isinstance(client.config_get("*"), dict), "config_get() is a map")
        rig.check("get" in client.command(), "command() lists get")
        rig.check(client.echo("hello") == b"hello", "echo() echoes")
        client.set("text", "abc")
        try:
            client.execute_command("INCR", "text")
            raise rig.Failure("INCR of a text must fail")
        except redis.ResponseError as error:
            rig.check("not an integer" in str(error), f"INCR of a text: {error}")
        try:
            client.execute_command("NOSUCHCOMMAND", "x")
            raise rig.Failure("an unknown command must fail")
        except redis.ResponseError as error:
            rig.check("unknown command" in str(error), f"an unknown command: {error}")
        pipeline = client.pipeline(transaction=False)
        for number in range(5000):
            pipeline.set(f"k{number}", number).get(f"k{number}").execute_command("INCR", "n")
        results = pipeline.execute()
        for number in range(5000):
            got = results[3 * number : 3 * number + 3]
            rig.check(got == [True, b"%d" % number, number + 1], f"pipeline at {number}: {got}")
        other = redis.Redis(port=server.port, protocol=protocol, db=5)
        rig.check(other.dbsize() == 0 and client.dbsize() == 5002, "databases are apart")

        def many(total=400):
            for _ in range(total):
                client.execute_command("INCR", "threads")

        threads = [threading.Thread(target=many) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        rig.check(client.get("threads") == b"3200", "eight threads of one pool count to 3200")
        count += 17 + 15_000 + 3200 + transactions(redis, client, other)
        client.close()
        other.close()
    return count


def transactions(redis, client, other):
    """MULTI, WATCH and its helper over keys of all slices."""
    names = [f"t{number}" for number in range(64)]
    for round_number in range(20):
        pipeline = client.pipeline(transaction=True)
        for name in names:
            pipeline.set(name, round_number)
        got = pipeline.mget(names).delete(*names[:3]).exists(*names).execute()
        wanted = [True] * 64 + [[b"%d" % round_number] * 64, 3, 61]
        rig.check(got == wanted, f"a transaction in round {round_number}: {got}")
    pipeline = client.pipeline(transaction=True)
    pipeline.set("t9", "text").incr("t9").set("t10", "after")
    got = pipeline.execute(raise_on_error=False)
    rig.check(
        got[0] is True and isinstance(got[1], redis.ResponseError) and got[2] is True,
        f"a command that fails within a transaction: {got}",
    )
    # A change of any watched key refuses the whole.
    pipeline = client.pipeline(transaction=True)
    pipeline.watch(*names)
    client.set("t40", "changed")
    pipeline.multi()
    pipeline.set("t1", "mine").set("t2", "mine")
    try:
        pipeline.execute()
        raise rig.Failure("EXEC after a change of a watched key must be refused")
    except redis.WatchError:
        rig.check(client.exists("t1", "t2") == 0, "nothing of a refused transaction is done")
    client.mset({"from": 1000, "to": 0})

    def move(pipeline):
        here, there = int(pipeline.get("from")), int(pipeline.get("to"))
        pipeline.multi()
        pipeline.set("from", here - 1).set("to", there + 1)

    def many():
        for _ in range(25):
            client.transaction(move, "from", "to")

    threads = [threading.Thread(target=many) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    rig.check(client.mget("from", "to") == [b"900", b"100"], "100 moves by WATCH, none lost")
    rig.check(other.mget("from", "to") == [None, None], "transactions stay in their database")
    return 20 * 67 + 6 + 64 + 700


def redis_benchmark(server, arguments, _base):
    benchmark = tool("redis-benchmark", "apt-get install redis-tools")
    count = 0
    with Client(server.port) as client:
        for words in ([], ["-P", "16", "-c", "200"], ["-P", "16", "-c", "50", "--threads", "2"]):
            rig.check(client.call("FLUSHALL") == "OK", "FLUSHALL answers OK")
            done = subprocess.run(
                [
                    benchmark,
                    "-p",
                    str(server.port),
                    "-n",
                    str(arguments.requests),
                    "-t",
                    "ping,set,get,incr,mset",
                    "-q",
                    *words,
                ],
                capture_output=True,
                timeout=600,
                check=False,
            )
            said = done.stdout.decode().replace("\r", "\n") + done.stderr.decode()
            rates = re.findall(r"^([^:\n]+): ([\d.]+) requests per second", said, re.MULTILINE)
            rig.check(
                done.returncode == 0
                and {name for name, _ in rates}
                >= {"PING_INLINE", "PING_MBULK", "SET", "GET", "INCR", "MSET (10 keys)"},
                f"redis-benchmark {' '.join(words)} ended with {done.returncode}: {said}",
            )
            rig.check(
                "rror" not in re.sub(r"^WARNING.*$", "", said, flags=re.MULTILINE),
                f"redis-benchmark: {said}",
            )
            value = client.call("GET", "counter:__rand_int__")
            rig.check(
                value is not None and int(value) >= arguments.requests,
                f"{arguments.requests} INCRs were answered, the counter is {value!r}",
            )
            print(
                f"  redis-benchmark {' '.join(words)}: "
                + ", ".join(f"{n} {r}/s" for n, r in rates),
                flush=True,
            )
            count += 6 * arguments.requests
    return count


def node(server, _arguments, _base):
    tool("node", "apt-get install nodejs")
    npm = tool("npm", "apt-get install npm")
    home = os.path.join(
        os.environ.get("CARGO_TARGET_DIR", os.path.join(rig.ROOT, "target")), "rigs", "node"
    )
    os.makedirs(home, exist_ok=True)
    if not os.path.isdir(os.path.join(home, "node_modules", "ioredis")):
        done = subprocess.run(
            [
                npm,
                "install",
                "--silent",
                "--no-audit",
                "--no-fund",
                "--prefix",
                home,
                "redis",
                "ioredis",
            ],
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        if done.returncode != 0:
            raise rig.Unable(f"npm cannot install redis and ioredis: {done.stderr.strip()[-500:]}")
    script = os.path.join(home, "clients.js")
    with open(script, "w", encoding="utf-8") as file:
        file.write(NODE)
    done = subprocess.run(
        ["node", script, str(server.port)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=home,
    )
    rig.check(
        done.returncode == 0,
        f"the node clients ended with {done.returncode}: {done.stderr[-3000:]}",
    )
    counts = json.loads(done.stdout)
    print("  node: " + ", ".join(f"{name} {value}" for name, value in counts.items()), flush=True)
    return sum(counts.values())


CLIENTS = {
    "redis-cli": redis_cli,
    "redis-py": redis_py,
    "redis-benchmark": redis_benchmark,
    "node": node,
}


def run():
    parser = argparse.ArgumentParser()
    parser.add_argument("--toroid", default=default_binary())
    parser.add_argument("--program", default="toroid")
    parser.add_argument("--only", default=",".join(CLIENTS))
    parser.add_argument("--requests", type=int, default=100_000)
    arguments = parser.parse_args()
    program = Program.named(arguments.program, arguments.toroid)
    with rig.workspace("clients") as base:
        extra = ["--cores", "2", "--slices", "16"] if program.is_toroid else []
        server = Server(program, os.path.join(base, "data"), base, extra)
        try:
            server.start()
            total = passed = 0
            failures = []
            for name in arguments.only.split(","):
                try:
                    count = CLIENTS[name](server, arguments, base)
                except rig.Failure as failure:
                    failures.append(name)
                    print(f"{name}: {failure}", flush=True)
                    continue
                print(f"{name}: {count} commands answered as expected", flush=True)
                total += count
                passed += 1
            server.stop()
            verify_log(program, server.directory)
            print(f"{total} commands")
            print(f"clients: {passed} passed, {len(failures)} failed")
            rig.check(not failures, f"clients that did not get what they expect: {failures}")
        finally:
            server.close()


if __name__ == "__main__":
    rig.main(run)
