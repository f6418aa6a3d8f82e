#!/usr/bin/env python3
"""Queues and caches of other people run their own examples, unchanged, on two cores.

    node-resque   npm, a queue: the examples of its package, with worker, scheduler and job lock
    arq           PyPI, a queue: the examples of its documentation, with its own worker
    aiocache      PyPI, a cache: the examples of its source distribution
    dogpile       PyPI, a cache: its own tests of its Redis backend
    cache-manager npm, a cache over @keyv/redis, used as their READMEs say; they ship no example

They are fetched at the first run, in the versions below, none of which needs a script or a stream.
Their examples name port 6379: a preload leads that to the server, nothing else is changed.

Red when: an example ends with an error or in silence, a job is lost or done twice, a cached value
is not there or not gone, any command was refused (INFO errorstats), or those that the library
lives on were not served (INFO commandstats), or all keys that are left belong to one core.
Seen red with a proxy that alters one reply in four or in twelve (all five), and with a server that
has no lists and sorted sets (node-resque, arq).

Usage: libraries.py --toroid PATH [--only node-resque,arq,aiocache,dogpile,cache-manager]
Exit status: 0 passed, 1 wrong, 2 cannot run here.
"""

import argparse
import contextlib
import glob
import os
import shutil
import signal
import subprocess
import sys
import tarfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "rigs"))
import rig  # noqa: E402
from resp import Client  # noqa: E402
from server import Program, Server, core_of, default_binary, verify_log  # noqa: E402

INSTALL_S, EXAMPLE_S = 300, 120
CORES, SLICES = 2, 16
# Whose examples are in the source distribution only.
SOURCES = ["arq==0.28.0", "aiocache==0.12.3", "dogpile.cache==1.5.0"]
PYTHON = [*SOURCES, "redis==5.3.1", "devtools==0.12.2", "marshmallow<4", "pytest<10"]
NODE = ["node-resque@5.5.7", "ioredis@4.31.0", "cache-manager@7.2.9", "@keyv/redis@5.1.6"]
NODE += ["keyv@5.6.0"]

PRELOAD_PYTHON = """
import os, socket
connect = socket.socket.connect
def redirected(self, address):
    if isinstance(address, tuple) and address[1] == 6379:
        address = (address[0], int(os.environ["TOROID_PORT"]), *address[2:])
    return connect(self, address)
socket.socket.connect = redirected
"""
PRELOAD_NODE = """
const { Socket } = require('node:net');
const { connect } = Socket.prototype;
Socket.prototype.connect = function (...words) {
  const options = Array.isArray(words[0]) ? words[0][0] : words[0];
  if (options && options.port === 6379) options.port = Number(process.env.TOROID_PORT);
  return connect.apply(this, words);
};
"""
CACHE_MANAGER = """
import assert from 'node:assert';
import { setTimeout as sleep } from 'node:timers/promises';
import { createCache } from 'cache-manager';
import { Keyv } from 'keyv';
import KeyvRedis from '@keyv/redis';
const store = new KeyvRedis('redis://localhost:6379', { namespace: 'shop' });
const failed = (error) => { throw error; };
const keyv = new Keyv({ store, useKeyPrefix: false });
keyv.on('error', failed);
const cache = createCache({ stores: [keyv] });
await cache.set('fruit', { name: 'apple', colours: ['red', 'green'] });
assert.deepStrictEqual(await cache.get('fruit'), { name: 'apple', colours: ['red', 'green'] });
assert.strictEqual(await cache.get('absent'), undefined);
const many = Array.from({ length: 60 }, (_, index) => ({ key: `many-${index}`, value: index }));
await cache.mset(many);
const keys = many.map(({ key }) => key);
assert.deepStrictEqual(await cache.mget(keys), many.map(({ value }) => value));
await cache.mdel(keys.slice(0, 10));
assert.strictEqual(await cache.get('many-9'), undefined);
assert.strictEqual(await cache.get('many-10'), 10);
await cache.set('short', 'lived', 20);
await sleep(200);
assert.strictEqual(await cache.get('short'), undefined);
let made = 0;
const make = async () => { made += 1; return 'made'; };
for (let index = 0; index < 3; index += 1) {
  assert.strictEqual(await cache.wrap('wrapped', make), 'made');
}
assert.strictEqual(made, 1);
assert.strictEqual(await cache.del('fruit'), true);
assert.strictEqual(await cache.get('fruit'), undefined);
await cache.clear();
assert.strictEqual(await cache.get('many-59'), undefined);
await cache.disconnect();
console.log('the cache is as documented');
"""


def tool(name, package):
    path = shutil.which(name)
    if path is None:
        raise rig.Unable(f"{name} is not installed: {package}")
    return path


def install(words, what):
    done = subprocess.run(
        words, capture_output=True, text=True, timeout=INSTALL_S, check=False, cwd="/"
    )
    if done.returncode != 0:
        raise rig.Unable(f"{what} cannot be installed: {(done.stderr or done.stdout)[-600:]}")


class Home:
    """Where the libraries are installed, once: a virtual environment, sources, node's modules."""

    def __init__(self):
        target = os.environ.get("CARGO_TARGET_DIR", os.path.join(rig.ROOT, "target"))
        self.path = os.path.abspath(os.path.join(target, "rigs", "libraries"))
        self.python = os.path.join(self.path, "python", "bin", "python")
        self.sources = os.path.join(self.path, "sources")
        self.node = os.path.join(self.path, "node")
        self.once("python.txt", PYTHON, self.install_python)
        self.once("node.txt", NODE, self.install_node)
        self.preloads = os.path.join(self.path, "preloads")
        os.makedirs(self.preloads, exist_ok=True)
        self.write(os.path.join(self.preloads, "sitecustomize.py"), PRELOAD_PYTHON)
        self.write(os.path.join(self.preloads, "redirect.js"), PRELOAD_NODE)
        self.write(os.path.join(self.node, "cache-manager.mjs"), CACHE_MANAGER)

    @staticmethod
    def write(path, text):
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)

    def once(self, name, versions, make):
        """Installs what is not there in these versions; the list is written when all is."""
        note = os.path.join(self.path, name)
        with contextlib.suppress(FileNotFoundError):
            with open(note, encoding="utf-8") as file:
                if file.read() == "\n".join(versions):
                    return
        make()
        self.write(note, "\n".join(versions))

    def install_python(self):
        shutil.rmtree(os.path.join(self.path, "python"), ignore_errors=True)
        shutil.rmtree(self.sources, ignore_errors=True)
        os.makedirs(self.sources)
        install([sys.executable, "-m", "venv", os.path.join(self.path, "python")], "python's venv")
        pip = [self.python, "-m", "pip"]
        install([*pip, "install", "--quiet", *PYTHON], "the libraries of PyPI")
        wanted = ["--quiet", "--no-deps", "--no-binary", ":all:", "--dest", self.sources, *SOURCES]
        install([*pip, "download", *wanted], "the sources of the libraries of PyPI")
        for packed in glob.glob(os.path.join(self.sources, "*.tar.gz")):
            with tarfile.open(packed) as file:
                file.extractall(self.sources, filter="data")

    def install_node(self):
        npm = tool("npm", "apt-get install npm")
        shutil.rmtree(self.node, ignore_errors=True)
        os.makedirs(self.node)
        words = ["--silent", "--no-audit", "--no-fund", "--prefix", self.node]
        install([npm, "install", *words, *NODE], "the libraries of npm")

    def source(self, *parts):
        """A path in a source distribution, whose directory is named after its version."""
        found = glob.glob(os.path.join(self.sources, *parts))
        if len(found) != 1:
            raise rig.Failure(f"{parts} is there {len(found)} times: is the version another one?")
        return found[0]


class Examples:
    """Runs programs of a library beside the server."""

    def __init__(self, home, port):
        self.home = home
        self.environment = dict(os.environ, TOROID_PORT=str(port), DOGPILE_REDIS_PORT=str(port))
        self.environment["PYTHONPATH"] = home.preloads
        self.environment["PYTHONUNBUFFERED"] = "1"
        redirect = os.path.join(home.preloads, "redirect.js")
        self.environment["NODE_OPTIONS"] = f"--require {redirect}"

    def run(self, words, directory):
        """What a program said; it must end well."""
        try:
            done = subprocess.run(
                words,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=EXAMPLE_S,
                check=False,
                cwd=directory,
                env=self.environment,
            )
        except subprocess.TimeoutExpired as late:
            said = (late.stdout or b"").decode("utf-8", "replace")
            raise rig.Failure(f"{words[1:]} did not end:\n{said[-2000:]}") from None
        rig.check(done.returncode == 0, f"{words[1:]} ended badly:\n{done.stdout[-2000:]}")
        return done.stdout

    @contextlib.contextmanager
    def beside(self, words, directory, log):
        """A program that works until it is told to end, by SIGINT; what it said is in the log."""
        with open(log, "wb") as out:
            process = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                cwd=directory,
                env=self.environment,
            )
        try:
            yield
            rig.check(process.poll() is None, f"{words[1:]} ended early:\n{rig.tail(log)}")
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def node(self, *words, directory):
        return self.run([tool("node", "apt-get install nodejs"), *words], directory)


def says(text, wanted, times=1):
    count = text.count(wanted)
    rig.check(count == times, f"{wanted!r} was said {count} times, not {times}:\n{text[-3000:]}")


def node_resque(examples, _base):
    at = os.path.join(examples.home.node, "node_modules", "node-resque", "examples")
    said = examples.node("example.js", directory=at)
    done = 'job success math {"class":"%s","queue":"math","args":%s} >> %d'
    for name, words, answer, times in (
        ("add", "[1,2]", 3, 2),
        ("add", "[2,3]", 5, 1),
        ("subtract", "[2,1]", 1, 1),
    ):
        says(said, done % (name, words, answer), times)
    says(said, "scheduler became master")
    said = examples.node("errorExample.js", directory=at)
    says(said, "job failure default")
    says(examples.node("customPluginExample.js", directory=at), "job success default")
    return 3, ["rpush", "lpop", "sadd", "srem", "zadd", "zrangebyscore", "zrem", "incr", "expire"]


def arq(examples, base):
    at = examples.home.source("arq-*", "docs", "examples")
    program = os.path.join(os.path.dirname(examples.home.python), "arq")
    said = examples.run([examples.home.python, "job_ids.py"], at)
    says(said, "<arq job foobar>")
    says(said, "None")  # The second job of one name.
    said = examples.run([program, "job_ids.WorkerSettings", "--burst"], at)
    says(said, "running the task with id", 4)
    says(said, "running the task with id foobar")
    log = os.path.join(base, "arq.log")
    with examples.beside([program, "job_results.WorkerSettings"], at, log):
        said = examples.run([examples.home.python, "job_results.py"], at)
    says("\n" + said, "\n42\n")
    says(rig.tail(log), "running the task\n")
    with examples.beside([program, "job_abort.WorkerSettings"], at, log):
        examples.run([examples.home.python, "job_abort.py"], at)
    says(rig.tail(log), "doing stuff...\n")
    says(rig.tail(log, 10_000), "aborted", 1)
    return 4, ["watch", "multi", "exec", "zadd", "zrangebyscore", "psetex", "zrem", "zscore", "del"]


def aiocache(examples, _base):
    at = examples.home.source("aiocache-*", "examples")
    count = 0
    for path in sorted(glob.glob(os.path.join(at, "*.py"))):
        with open(path, encoding="utf-8") as file:
            text = file.read()
        # Its locks are scripts.
        if "redis" in text.lower() and "Lock(" not in text:
            examples.run([examples.home.python, path], at)
            count += 1
    rig.check(count == 7, f"{count} examples of aiocache use Redis, not 7")
    return count, ["get", "set", "setex|psetex", "mget", "mset", "exists", "del", "ttl"]


def dogpile(examples, _base):
    at = examples.home.source("dogpile*cache-*", "pyproject.toml")
    words = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/cache/test_redis_backend.py"]
    # Its distributed mutex is a script.
    chosen = ["-k", "RedisTest"]
    said = examples.run([examples.home.python, *words, *chosen], os.path.dirname(at))
    passed = [word for word in said.splitlines()[-1].replace(",", "").split(" ") if word.isdigit()]
    rig.check(passed and int(passed[0]) > 20 and "skipped" not in said, said[-1000:])
    return int(passed[0]), ["get", "set", "mget", "mset", "del"]


def cache_manager(examples, _base):
    said = examples.node("cache-manager.mjs", directory=examples.home.node)
    says(said, "the cache is as documented")
    return 1, ["get", "set", "mget", "unlink|del", "scan"]


LIBRARIES = {
    "node-resque": node_resque,
    "arq": arq,
    "aiocache": aiocache,
    "dogpile": dogpile,
    "cache-manager": cache_manager,
}


def section(client, name):
    """A section of INFO: what follows a colon by what precedes it."""
    lines = client.call("INFO", name).decode().splitlines()
    return dict(line.split(":", 1) for line in lines if ":" in line)


def served(client, wanted):
    """The commands that were served, of which the wanted ones are some, and none was refused."""
    errors = section(client, "errorstats")
    rig.check(not errors, f"commands were refused: {errors}")
    calls = {}
    for name, line in section(client, "commandstats").items():
        facts = dict(fact.split("=") for fact in line.split(","))
        calls[name.removeprefix("cmdstat_")] = int(facts["calls"])
    for names in wanted:
        count = sum(calls.get(name, 0) for name in names.split("|"))
        rig.check(count > 0, f"{names} was not served: {calls}")
    own = ("info", "config|resetstat", "flushall", "ping")
    return sum(count for name, count in calls.items() if name not in own)


def run():
    parser = argparse.ArgumentParser()
    parser.add_argument("--toroid", default=default_binary())
    parser.add_argument("--only", default=",".join(LIBRARIES))
    arguments = parser.parse_args()
    program = Program.named("toroid", arguments.toroid)
    home = Home()
    with rig.workspace("libraries") as base:
        extra = ["--cores", str(CORES), "--slices", str(SLICES)]
        server = Server(program, os.path.join(base, "data"), base, extra)
        failures, passed, cores = [], 0, set()
        try:
            server.start()
            examples = Examples(home, server.port)
            for name in arguments.only.split(","):
                with Client(server.port) as client:
                    rig.check(client.call("FLUSHALL") == "OK", "FLUSHALL answers OK")
                    rig.check(client.call("CONFIG", "RESETSTAT") == "OK", "RESETSTAT answers OK")
                    try:
                        count, wanted = LIBRARIES[name](examples, base)
                        calls = served(client, wanted)
                        left = [key.decode() for key in client.call("KEYS", "*")]
                        cores |= {core_of(key, SLICES, CORES) for key in left}
                    except rig.Failure as failure:
                        failures.append(name)
                        print(f"{name}: {failure}", flush=True)
                        continue
                passed += 1
                print(f"{name}: {count} of its examples, {calls} commands served", flush=True)
            server.stop()
            verify_log(program, server.directory)
        finally:
            server.close()
        print(f"libraries: {passed} passed, {len(failures)} failed")
        # Some libraries leave nothing behind, so that only all of them together tell.
        if passed == len(LIBRARIES):
            rig.check(len(cores) == CORES, f"all keys that are left are on core {cores}")
        rig.check(not failures, f"libraries that did not get what they expect: {failures}")


if __name__ == "__main__":
    rig.main(run)
