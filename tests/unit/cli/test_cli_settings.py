"""Settings as the command line reads them: where each comes from, and what a wrong one is told."""

import json
import os

import pytest

from fakes.command_line import hotswap, one_line
from hotswap import __version__


@pytest.fixture
def sources(tmp_path, monkeypatch):
    """Settings from each source: `linger_ms` from all of them, and one more from each alone."""
    secrets = tmp_path / "secrets"
    (secrets / "..2026_11_26").mkdir(parents=True)  # as Kubernetes mounts a secret
    (secrets / "..data").symlink_to("..2026_11_26")
    for name, value in {"linger_ms": "3", "hosts": "3", "sasl_password": "sesame\n", "deployment": "by-secret"}.items():
        (secrets / "..data" / name).write_text(value)
        (secrets / name).symlink_to(f"..data/{name}")
    (tmp_path / "hotswap.toml").write_text('linger_ms = 4\nhosts = 4\nlog_level = "DEBUG"\nmax_batch_records = 44\n')
    monkeypatch.setenv("HOTSWAP_SECRETS_DIR", str(secrets))
    monkeypatch.setenv("HOTSWAP_LINGER_MS", "2")
    monkeypatch.setenv("HOTSWAP_STORE", "ftp://anna:sesame@host/store")
    monkeypatch.delenv("HOTSWAP_CONFIG_FILE", raising=False)
    yield tmp_path
    os.environ.pop("HOTSWAP_CONFIG_FILE", None)


@pytest.mark.parametrize("is_option", [True, False])
def test_the_strongest_source_wins_and_settings_tells_which_it_was(sources, monkeypatch, is_option):
    file = str(sources / "hotswap.toml")
    monkeypatch.setenv("HOTSWAP_CONFIG_FILE", "" if is_option else file)
    words = ["--config", file] if is_option else []
    told = json.loads(hotswap(*words, "settings", "by-command", "--json").stdout)

    picked = ("deployment", "linger_ms", "hosts", "max_batch_records", "max_queued_bytes")
    assert {name: tuple(told[name].values()) for name in picked} == {
        "deployment": ("by-command", "command line"),
        "linger_ms": (2, "environment"),
        "hosts": (3, str(sources / "secrets")),
        "max_batch_records": (44, file),
        "max_queued_bytes": (0, "default"),
    }


def test_settings_masks_secrets(sources, monkeypatch):
    allowed = "ftp://anna:se@same@host/store,https://a:sesame@b,s3://models"
    monkeypatch.setenv("HOTSWAP_ALLOWED_STORES", allowed)
    for words in (["settings"], ["settings", "--json"]):
        printed = hotswap(*words).output
        assert "same" not in printed
        assert "ftp://anna:********@host/store" in printed
    assert "ftp://anna:********@host/store,https://a:********@b,s3://models" in printed


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        (
            "HOTSWAP_SASL_MECHANISM",
            "plain",
            "'SCRAM-SHA-512' or 'OAUTHBEARER' (it is 'plain'): did you mean 'PLAIN'?",
        ),
        ("HOTSWAP_DELIVERY", "exactly_onse", "(it is 'exactly_onse'): did you mean 'exactly_once'?"),
        ("HOTSWAP_LINGERMS", "5", "there is no setting HOTSWAP_LINGERMS: did you mean HOTSWAP_LINGER_MS?"),
        ("HOTSWAP_SECRETS_DIR", "/nowhere", "HOTSWAP_SECRETS_DIR is /nowhere, which is no folder"),
        ("HOTSWAP_CONFIG_FILE", "/nowhere", "HOTSWAP_CONFIG_FILE is /nowhere, which is no file"),
    ],
)
def test_a_wrong_setting_ends_the_command_with_what_was_meant(monkeypatch, name, value, told):
    monkeypatch.setenv(name, value)
    assert told in one_line(hotswap("settings", code=2))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("lingerms = 5", "there is no setting `lingerms`: did you mean `linger_ms`?"),
        ("[worker]\nhosts = 1", "there is no setting `worker`"),
        ("sasl_password = 5", "HOTSWAP_SASL_PASSWORD input should be a valid string (it is a secret)"),
        ("hosts: 1", "hotswap.toml is no TOML that can be read"),
    ],
)
def test_a_wrong_line_of_the_file_ends_the_command(tmp_path, monkeypatch, text, told):
    (tmp_path / "hotswap.toml").write_text(text)
    monkeypatch.setenv("HOTSWAP_CONFIG_FILE", str(tmp_path / "hotswap.toml"))
    assert told in one_line(hotswap("settings", code=2))


def test_a_variable_that_is_near_no_setting_is_a_warning(monkeypatch):
    monkeypatch.setenv("HOTSWAP_SERVICE_HOST", "10.0.0.1")  # Kubernetes sets it where a service has that name
    result = hotswap("settings", "--json")
    told = f"hotswap: HOTSWAP_SERVICE_HOST is ignored: this version ({__version__}) has no such setting\n"
    assert result.stderr == told
    assert json.loads(result.stdout)["hosts"]["from"] == "default"
