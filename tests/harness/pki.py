"""Certificates and tokens of a test's own: an authority that signs with openssl, and a token endpoint (RFC 6749)."""

import base64
import json
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote_plus

_CONFIG = """
[ca]
default_ca = ours
[ours]
database = index
serial = serial
new_certs_dir = .
default_md = sha256
policy = any
unique_subject = no
x509_extensions = leaf
[any]
commonName = supplied
[leaf]
basicConstraints = critical, CA:false
subjectAltName = {names}
"""
_AUDIENCE = "kafka"


class Authority:
    """Signs certificates in its folder: `ca.pem` is its own, `<name>.pem` and `<name>.key` are those it makes."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.ca = folder / "ca.pem"
        command = ["req", "-x509", *_KEY, "-subj", "/CN=authority", "-days", "2", "-keyout", "ca.key", "-out", "ca.pem"]
        _openssl(folder, *command, "-noenc")
        (folder / "index").touch()
        (folder / "serial").write_text("01")

    def sign(
        self, name: str, *, ends_in_s: float = 86_400, names: str = "IP:127.0.0.1", password: str = ""
    ) -> tuple[Path, Path]:
        """Make a certificate for CN=name and its key, and return their paths; it ends at a second of its own choice."""
        (self.folder / "config").write_text(_CONFIG.format(names=names))
        locked = ["-passout", f"pass:{password}"] if password else ["-noenc"]
        made = f"new-{name}"
        _openssl(
            self.folder,
            "req",
            "-new",
            *_KEY,
            "-subj",
            f"/CN={name}",
            "-keyout",
            f"{made}.key",
            "-out",
            "asked",
            *locked,
        )
        now = datetime.now(UTC)
        begins, ends = (f"{at:%Y%m%d%H%M%SZ}" for at in (now - timedelta(hours=1), now + timedelta(seconds=ends_in_s)))
        command = ["ca", "-batch", "-notext", "-config", "config", "-cert", "ca.pem", "-keyfile", "ca.key"]
        _openssl(self.folder, *command, "-startdate", begins, "-enddate", ends, "-in", "asked", "-out", f"{made}.pem")
        # Each is in place at once, as a cert-manager's are; the pair is not: a reader may see one of each.
        for ending in ("key", "pem"):
            (self.folder / f"{made}.{ending}").replace(self.folder / f"{name}.{ending}")
        return self.folder / f"{name}.pem", self.folder / f"{name}.key"


class TokenEndpoint:
    """Issues JWTs to clients that know their secret, and publishes the key that they are signed with."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        _openssl(folder, "genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", "sign.key")
        modulus = _openssl(folder, "rsa", "-in", "sign.key", "-noout", "-modulus").decode().partition("=")[2].strip()
        key = {"kty": "RSA", "kid": "k1", "alg": "RS256", "use": "sig", "n": _base64(bytes.fromhex(modulus))}
        self.keys = {"keys": [{**key, "e": "AQAB"}]}
        self.secrets: dict[str, str] = {}
        """Client id -> secret."""
        self.lives_s = 3_600.0
        """How long a token lasts that is issued now."""
        self.issued: list[float] = []
        self.refused = 0
        self.is_down = False
        self._server: ThreadingHTTPServer | None = None

    @property
    def url(self) -> str:
        assert self._server
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @contextmanager
    def serving(self) -> Iterator["TokenEndpoint"]:
        endpoint = self

        class Answering(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._answer(200, endpoint.keys)

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"])).decode()
                self._answer(*endpoint.answer(self.headers.get("authorization", ""), body))

            def _answer(self, code: int, document: Any) -> None:
                payload = json.dumps(document).encode()
                self.send_response(code)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(payload)))
                self.end_headers()
                self.wfile.write(payload)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
        thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()
            thread.join()

    def answer(self, authorization: str, body: str) -> tuple[int, dict[str, Any]]:
        if self.is_down:
            return 503, {"error": "temporarily_unavailable"}
        kind, _, pair = authorization.partition(" ")
        client, _, secret = (base64.b64decode(pair).decode() if kind == "Basic" else "").partition(":")
        client, secret = unquote_plus(client), unquote_plus(secret)
        if parse_qs(body).get("grant_type") != ["client_credentials"]:
            return 400, {"error": "unsupported_grant_type"}
        if not client or self.secrets.get(client) != secret:
            self.refused += 1
            return 401, {"error": "invalid_client", "error_description": f"wrong secret of {client}"}
        self.issued.append(time.time())
        return 200, {"access_token": self.token(client), "token_type": "Bearer", "expires_in": self.lives_s}

    def token(self, subject: str, *, ended_s: float = 0) -> str:
        """Return a signed token for a subject; `ended_s` is for how long it has ended."""
        now = int(time.time())
        ends = now - ended_s if ended_s else now + self.lives_s
        claims = {"sub": subject, "aud": _AUDIENCE, "iss": "tests", "iat": int(min(now, ends - 1)), "exp": int(ends)}
        parts = [_base64(json.dumps(part).encode()) for part in ({"alg": "RS256", "kid": "k1", "typ": "JWT"}, claims)]
        signature = _openssl(self.folder, "dgst", "-sha256", "-sign", "sign.key", text=".".join(parts).encode())
        return ".".join([*parts, _base64(signature)])


_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256")


def _openssl(folder: Path, *words: str, text: bytes | None = None) -> bytes:
    done = subprocess.run(["openssl", *words], cwd=folder, input=text, capture_output=True, check=False)
    assert done.returncode == 0, (words, done.stderr.decode())
    return done.stdout


def _base64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
