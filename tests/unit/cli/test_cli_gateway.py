"""On which addresses `hotswap gateway` serves whom: what it refuses before it looks for Kafka."""

import pytest

from fakes.command_line import hotswap

OTHERS = ("--host", "192.0.2.1")  # an address that no machine has (RFC 5737)
TOKENS = ("--tokens", "tokens.toml")


@pytest.fixture
def gateway(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tokens.toml").write_text("token = []")
    return lambda *options, code: hotswap("gateway", "d", *options, code=code).stderr


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (OTHERS, "may use it: say who may with --tokens"),
        ((*OTHERS, "--behind-tls-proxy"), "may use it: say who may with --tokens"),
        ((*OTHERS, *TOKENS), "in clear text: give --certificate and --key, or say with --behind-tls-proxy"),
        ((*TOKENS, "--key", "a.key"), "--key needs --certificate"),
        ((*TOKENS, "--client-ca", "ca.pem"), "--client-ca needs --certificate"),
        (("--certificate", "a.pem", "--client-ca", "ca.pem"), "--client-ca needs --tokens"),
        ((*TOKENS, "--certificate", "a.pem"), "a.pem: no certificate and its key: No such file"),
        (("--tokens", "none.toml"), "none.toml cannot be read: No such file"),
    ],
)
def test_what_would_let_in_anybody_or_tell_the_tokens_is_refused(gateway, options, told):
    assert told in gateway(*options, code=2)


def test_behind_a_proxy_that_speaks_tls_others_may_come_with_tokens(gateway):
    assert "cannot serve on 192.0.2.1:8080" in gateway(*OTHERS, *TOKENS, "--behind-tls-proxy", code=3)


def test_a_key_that_cannot_sign_is_told_at_the_start(gateway, monkeypatch):
    monkeypatch.setenv("HOTSWAP_SIGN_WITH", "none.pem")
    assert "the key none.pem cannot be read: No such file" in gateway(code=2)
