"""`hotswap console` and the console of `hotswap gateway`: what their options start."""

import importlib.util

import pytest

from fakes.command_line import hotswap
from hotswap.gateway import server


@pytest.fixture
def served(monkeypatch):
    found = []
    monkeypatch.setattr(server, "serve", lambda *given, **more: found.append((*given, more)))
    return found


@pytest.mark.parametrize(("words", "is_changing"), [((), False), (("--allow-changes",), True)])
@pytest.mark.parametrize(("command", "port", "more"), [("console", 8081, {"is_alone": True}), ("gateway", 8080, {})])
def test_a_console_only_shows_unless_told_otherwise(served, command, port, more, words, is_changing):
    hotswap(command, "iris", "churn", *words)
    ((settings, options, make_console, told),) = served
    assert [one.deployment for one in settings] == ["iris", "churn"]
    assert (options.host, options.port, told) == ("127.0.0.1", port, more)
    assert make_console.keywords == {"is_changing": is_changing}


def test_without_the_extra_it_says_what_to_install(served, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "jinja2" else find(name))
    assert "install hotswap[gateway]" in hotswap("console", "iris", code=3).output
    assert served == []
