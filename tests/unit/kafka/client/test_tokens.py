"""Tokens are fetched before they are needed, shared, and used to their end where the next one cannot be had."""

import asyncio
import base64
import json
import time
from importlib.metadata import EntryPoint

import pytest
from aiokafka.errors import KafkaConnectionError

from hotswap.errors import UsageError
from hotswap.kafka.client import tokens
from hotswap.kafka.client.tokens import Tokens, of_endpoint, of_entry_point


class Issuer:
    """Issues tokens that last a hundred seconds, as long as it can."""

    def __init__(self):
        self.now, self.issued, self.is_down, self.takes_s = 1_000.0, 0, False, 0.0

    def __call__(self):
        time.sleep(self.takes_s)
        if self.is_down:
            raise RuntimeError("the issuer is down")
        self.issued += 1
        return f"token {self.issued}", (self.now + 100) * 1000


@pytest.fixture
def issuer():
    return Issuer()


@pytest.fixture
def made(issuer):
    return Tokens(issuer, now=lambda: issuer.now)


async def test_a_token_is_used_to_three_quarters_of_its_life(issuer, made):
    assert await made.token() == "token 1"
    issuer.now += 74
    assert await made.token() == "token 1"
    issuer.now += 1
    assert await made.token() == "token 2"


async def test_clients_that_connect_side_by_side_share_a_token(issuer, made):
    issuer.takes_s = 0.05
    assert set(await asyncio.gather(*(made.token() for _ in range(10)))) == {"token 1"}
    assert issuer.issued == 1


async def test_while_there_is_no_next_one_a_token_is_used_to_its_end(issuer, made, caplog):
    await made.token()
    issuer.is_down = True
    issuer.now += 80
    assert await made.token() == "token 1"
    assert "kafka.token_renewal_failed" in caplog.messages
    issuer.now += 20
    with pytest.raises(KafkaConnectionError, match="no token: the issuer is down"):
        await made.token()
    issuer.is_down = False
    assert await made.token() == "token 2"


async def test_the_subject_of_a_token_is_known_if_it_is_one_of_jwt(made, issuer, monkeypatch):
    await made.token()
    assert made.subject == ""
    claims = base64.urlsafe_b64encode(json.dumps({"sub": "worker"}).encode()).decode().rstrip("=")
    monkeypatch.setattr(made, "_fetch", lambda: (f"e30.{claims}.x", 0))
    issuer.now += 100
    await made.token()
    assert made.subject == "worker"


def test_a_provider_is_found_by_the_name_of_its_entry_point(monkeypatch):
    found = [EntryPoint("msk", "json:dumps", tokens.GROUP), EntryPoint("broken", "nowhere:token", tokens.GROUP)]
    monkeypatch.setattr(tokens, "entry_points", lambda group: found if group == tokens.GROUP else [])
    assert of_entry_point("msk") is json.dumps
    with pytest.raises(UsageError, match=r"the token provider 'broken' cannot be imported: ModuleNotFoundError"):
        of_entry_point("broken")
    with pytest.raises(UsageError, match=r"there is no token provider 'other' \(.* installed: broken, msk\)"):
        of_entry_point("other")


@pytest.mark.parametrize("url", ["file:///etc/passwd", "https:///token", "token"])
def test_an_endpoint_is_a_url_of_http(url):
    with pytest.raises(UsageError, match="HOTSWAP_OAUTH_TOKEN_URL must be an http or https URL"):
        of_endpoint(url, "worker", str, None)
