#!/usr/bin/env python3
"""The Valkey test suite against a running server, in the suite's external mode.

    --quick   Toroid on two cores against the counts recorded in tests/conformance/recorded.toml
    --full    stock Valkey, Toroid on one core, on two; then writes docs/conformance.md and the
              recorded counts. The passes are counted out of the number stock Valkey passes.

The suite is fetched from Debian's source package at its first use, into a cache outside the
checkout; see tests/conformance/suite.py. A suite that cannot be had is a failure, not a pass.

Red when: a test that stock Valkey passes fails without a reason in tests/conformance/reasons.toml;
fewer tests pass than are recorded; the server ends, hangs at its end, or leaves a damaged log.
Seen red with: a reason taken out; an entry of recorded.toml raised by one. Every run begins with a
canary: a Valkey without INCR must fail unit/type/incr.

Usage: conformance.py [--toroid PATH] [--quick | --full] [--only UNIT,...] [--cores N,...]
Exit status: 0 passed, 1 wrong, 2 cannot run here.
"""

import argparse
import fnmatch
import os
import re
import shutil
import sys
import tempfile
import time
import tomllib

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "rigs"))
sys.path.insert(0, os.path.join(HERE, "conformance"))
import rig  # noqa: E402
import suite  # noqa: E402
from server import default_binary  # noqa: E402
from unit import UNITS, Toroid, Valkey, run_unit  # noqa: E402

REASONS = os.path.join(HERE, "conformance", "reasons.toml")
RECORDED = os.path.join(HERE, "conformance", "recorded.toml")
DOCUMENT = os.path.join(os.path.dirname(HERE), "docs", "conformance.md")
# A version of the suite that nothing is recorded of may lose this share of the passes to changes
# of the suite; what fails still needs its reason.
OTHER_VERSION_SHARE = 0.9


def is_named(test, pattern):
    """Whether a pattern names the test: a shell's, or after a slash a regular expression, as the
    suite itself has them for what it is to leave out."""
    if pattern.startswith("/"):
        return test == pattern or re.search(pattern[1:], test) is not None
    return fnmatch.fnmatchcase(test, pattern)


class Reasons:
    """The table of reasons, and which of them were needed."""

    def __init__(self, path):
        with open(path, "rb") as file:
            self.entries = tomllib.load(file).get("reason", [])
        for entry in self.entries:
            known = {"because", "unit", "test", "error", "timing", "hangs"}
            rig.check("because" in entry and set(entry) <= known, f"{path}: {entry}")
        self.used = set()

    def of(self, unit, test, error):
        for index, entry in enumerate(self.entries):
            if (
                fnmatch.fnmatchcase(unit, entry.get("unit", "*"))
                and is_named(test, entry.get("test", "*"))
                and re.search(entry.get("error", ""), error, re.IGNORECASE)
            ):
                self.used.add(index)
                return entry
        return None

    def hanging(self, unit):
        """The tests of a file that are not to be run, by name."""
        hanging = [entry for entry in self.entries if entry.get("hangs")]
        return {one["test"]: "it hangs" for one in hanging if one["unit"] == unit}

    def unused(self):
        return [entry for index, entry in enumerate(self.entries) if index not in self.used]


def lost(result, reference):
    """The tests that are not passed, with what the suite said: those stock Valkey passes by name,
    or without it those that failed and the number that was not reached."""
    reached = "not reached: " + " ".join(result.blocks)
    if reference is not None:
        for name, count in reference.passed.items():
            if result.passed[name] < count:
                yield name, result.failed.get(name, reached)
        return
    yield from result.failed.items()


def summary(error):
    """The error reply in what the suite said, or its first line; short enough for a table."""
    lines = [line for line in error.splitlines() if line.strip()]
    replies = [line for line in lines if re.match(r"[A-Z]+ ", line)]
    line = (replies or lines or [""])[0]
    return line if len(line) <= 120 else line[:117] + "..."


def canary(directory, work):
    """A server that lacks a command must be found out, or nothing else here would be."""
    lacking = Valkey(suite.stock(), ["--rename-command", "incr", ""])
    result = run_unit(directory, "unit/type/incr", lacking, work)
    rig.check(
        result.passed and "INCR against non existing key" in result.failed,
        f"a server without INCR is not found out: {result.passed} {result.failed}",
    )
    print(f"canary: {len(result.failed)} tests fail on a server without INCR", flush=True)


def run_all(program, units, directory, work, reasons=None):
    results = {}
    for unit in units:
        started = time.monotonic()
        hanging = reasons.hanging(unit) if reasons else {}
        result = run_unit(directory, unit, program, work, hanging)
        results[unit] = result
        took = time.monotonic() - started
        print(
            f"{program.name} {unit}: {sum(result.passed.values())} passed, "
            f"{len(result.failed)} failed, {took:.1f} s",
            flush=True,
        )
        for block in result.blocks:
            print(f"  outside a test: {summary(block)}")
        for incident in result.incidents:
            print(f"  INCIDENT: {incident}")
    return results


def judge(results, references, reasons, wrong):
    """Looks up every reason; returns unit -> [(test, because, error)] and the timing failures."""
    explained, timing, unexplained = {}, {}, {}
    for unit, result in results.items():
        explained[unit], timing[unit] = [], 0
        wrong += [f"{unit}: {incident}" for incident in result.incidents]
        for test, error in lost(result, references.get(unit)):
            entry = reasons.of(unit, test, error)
            if entry is None:
                unexplained.setdefault((unit, summary(error)), []).append(test)
            else:
                timing[unit] += entry.get("timing", False)
            because = entry["because"] if entry else "**no reason given**"
            explained[unit].append((test, because, error))
    for (unit, error), tests in unexplained.items():
        more = f" and {len(tests) - 1} more" if tests[1:] else ""
        wrong.append(f"{unit}: no reason for `{tests[0]}`{more}: {error}")
    return explained, timing


def quick(arguments, version, directory, work):
    if not os.path.isfile(RECORDED):
        raise rig.Unable(f"{RECORDED} is missing: cargo xtask conformance --full writes it")
    with open(RECORDED, "rb") as file:
        recorded = tomllib.load(file)
    rig.check(set(recorded["units"]) == set(UNITS), f"{RECORDED}: its files are not the files run")
    reasons, wrong, kept = Reasons(REASONS), [], 0
    cores = arguments.cores[-1]
    results = run_all(Toroid(arguments.toroid, cores), arguments.units, directory, work, reasons)
    _, timing = judge(results, {}, reasons, wrong)
    share = 1 if version == recorded["version"] else OTHER_VERSION_SHARE
    if share != 1:
        print(f"the suite is {version}; what is recorded is of {recorded['version']}")
    for unit, result in results.items():
        least = recorded["units"][unit]["toroid"]
        passed = sum(result.passed.values()) + timing[unit]
        if passed < least * share:
            blocks = " ".join(summary(block) for block in result.blocks)
            wrong.append(f"{unit}: {passed} pass, {least} are recorded; {blocks}")
        elif passed > least and share == 1:
            print(f"{unit}: {passed} pass, {least} are recorded: record them with --full")
        kept += min(passed, least)
    return kept, wrong


def full(arguments, version, directory, work):
    reasons, wrong, passed = Reasons(REASONS), [], 0
    reference = run_all(Valkey(suite.stock()), arguments.units, directory, work)
    for unit, result in reference.items():
        wrong += [f"stock {unit}: {incident}" for incident in result.incidents]
        if not result.passed:
            wrong.append(f"stock {unit}: nothing passes, so nothing was compared")
    sides = {}
    for cores in arguments.cores:
        server = Toroid(arguments.toroid, cores)
        results = run_all(server, arguments.units, directory, work, reasons)
        explained, _ = judge(results, reference, reasons, wrong)
        sides[cores] = results, explained
        passed += sum(good(results[unit], reference[unit]) for unit in results)
    is_whole = arguments.units == UNITS and arguments.cores == [1, 2]
    for entry in reasons.unused() if is_whole else []:
        print(f"a reason that nothing needed: {entry}")
    text = document(version, reference, sides)
    if is_whole and not wrong:
        with open(DOCUMENT, "w", encoding="utf-8") as file:
            file.write(text)
        with open(RECORDED, "w", encoding="utf-8") as file:
            file.write(record(version, reference, sides))
    else:
        draft = os.path.join(work, "conformance.md")
        with open(draft, "w", encoding="utf-8") as file:
            file.write(text)
        print(f"a part was run, or something is wrong: only {draft} is written")
    return passed, wrong


def good(result, reference):
    """How many of the tests that stock Valkey passes are passed."""
    return sum(min(count, result.passed[name]) for name, count in reference.passed.items())


def record(version, reference, sides):
    lines = [
        "# Written by `cargo xtask conformance --full`: how many tests of each file pass.",
        "# What every push runs may not pass fewer.",
        f'version = "{version}"',
        "",
        "[units]",
    ]
    for unit, result in reference.items():
        least = min(good(results[unit], result) for results, _ in sides.values())
        lines.append(f'"{unit}" = {{ stock = {sum(result.passed.values())}, toroid = {least} }}')
    return "\n".join(lines) + "\n"


def cell(text):
    return text.replace("|", "\\|").replace("`", "'")


def document(version, reference, sides):
    lines = [
        "# Conformance",
        "",
        "Written by `cargo xtask conformance --full`: the test suite of Valkey "
        f"{version} in external mode",
        "(`--durable --tags -slow`; type/list-2 with its slow tests, as it has no others),",
        "as passes out of the number that stock Valkey passes in the same mode.",
        "",
        "| file | " + " | ".join(f"{cores} core{'s' * (cores > 1)}" for cores in sides) + " |",
        "|---|" + "---:|" * len(sides),
    ]
    sums = [0] * len(sides)
    for unit, result in reference.items():
        counts = [good(results[unit], result) for results, _ in sides.values()]
        sums = [left + right for left, right in zip(sums, counts)]
        of = sum(result.passed.values())
        lines.append(f"| {unit} | " + " | ".join(f"{count} of {of}" for count in counts) + " |")
    of = sum(sum(result.passed.values()) for result in reference.values())
    lines.append("| together | " + " | ".join(f"{count} of {of}" for count in sums) + " |")
    lines += ["", "## Not passed", ""]
    for unit in reference:
        rows = {}
        for cores, (_, explained) in sides.items():
            for test, because, error in explained[unit]:
                rows.setdefault((test, because), []).append(str(cores))
        if rows:
            lines += [f"### {unit}", "", "| test | reason | cores |", "|---|---|---|"]
            for (test, because), cores in rows.items():
                lines.append(f"| {cell(test)} | {cell(because)} | {', '.join(cores)} |")
            lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def run(arguments):
    version, fetched = suite.suite()
    target = os.environ.get("CARGO_TARGET_DIR", os.path.join(rig.ROOT, "target"))
    work = os.path.join(target, "conformance")
    shutil.rmtree(work, ignore_errors=True)
    os.makedirs(work)
    with tempfile.TemporaryDirectory() as scratch:
        directory = suite.prepared(fetched, os.path.join(scratch, "suite"))
        # The suite looks for a server's binary even where it is told of a running one.
        os.makedirs(os.path.join(directory, "bin"))
        os.symlink(suite.stock(), os.path.join(directory, "bin", "valkey-server"))
        canary(directory, work)
        mode = full if arguments.full else quick
        passed, wrong = mode(arguments, version, directory, work)
    for line in wrong:
        print(f"FAILED: {line}")
    print(f"{passed} passed, {len(wrong)} failed")
    sys.exit(1 if wrong else 0)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--toroid", default=default_binary())
    parser.add_argument("--quick", action="store_true", help="the default")
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--only", dest="units", help="files of the suite, by comma")
    parser.add_argument("--cores", help="numbers of cores, by comma")
    arguments = parser.parse_args()
    arguments.units = arguments.units.split(",") if arguments.units else UNITS
    arguments.cores = [int(word) for word in (arguments.cores or "1,2").split(",")]
    rig.main(lambda: run(arguments))


if __name__ == "__main__":
    main()
