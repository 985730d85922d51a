"""Every way to authenticate, on a broker that asks for it over TLS: what it costs to be wrong, and renewals."""

import asyncio
import shutil
import time

import pytest
from aiokafka.errors import KafkaConnectionError

from harness.pki import Authority
from harness.secured import HAS_OPENSSL, PASSWORD, secured_kafka
from hotswap.errors import StartError, UsageError
from hotswap.kafka.client.cluster import KafkaClient
from hotswap.kafka.client.connection import connection
from hotswap.kafka.client.sessions import BrokerConnection
from hotswap.kafka.topics.admin import Admin
from hotswap.settings import Settings

pytestmark = pytest.mark.skipif(not HAS_OPENSSL, reason="makes certificates with openssl")

SESSION_S = 1.5
ALL = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER", "SSL")


@pytest.fixture(scope="module")
def secured(tmp_path_factory):
    lasting = str(int(SESSION_S * 1000))
    with secured_kafka(tmp_path_factory.mktemp("secured"), connections_max_reauth_ms=lasting) as made:
        yield made


@pytest.fixture(autouse=True)
async def farewells():
    """A connection over TLS that was closed waits for the broker's last word; the test's event loop does not."""
    yield
    transports = asyncio.get_running_loop()._transports
    async with asyncio.timeout(40):  # asyncio itself waits for 30 s
        while not all(transport.is_closing() for transport in list(transports.values())):
            await asyncio.sleep(0.01)


def settings(secured, mechanism, **other):
    return Settings(deployment="d", call_timeout_s=5.0, **{**secured.settings(mechanism), **other})


async def refused(given):
    with pytest.raises(StartError) as told:
        async with Admin.connect(given):
            pass
    return str(told.value)


@pytest.fixture
async def client(secured, request):
    """A client's connections, as every client of ours has them."""
    made = KafkaClient(**connection(settings(secured, request.param)))
    await made.bootstrap()
    yield made
    await made.close()


@pytest.mark.parametrize("mechanism", ALL)
async def test_a_broker_lets_in_who_shows_what_it_asks_for(secured, mechanism):
    async with Admin.connect(settings(secured, mechanism)) as admin:
        assert await admin.brokers() == 1


@pytest.mark.parametrize("client", ["SCRAM-SHA-512", "OAUTHBEARER"], indirect=True)
async def test_a_connection_authenticates_again_before_its_session_ends_and_lives_on(client):
    (node,) = (broker.nodeId for broker in client.cluster.brokers())
    first = await client._get_conn(node)
    until_s = time.monotonic() + 2 * SESSION_S
    while time.monotonic() < until_s:
        # Several at a time: those that come during an authentication wait for it.
        assert all(await asyncio.gather(*(client.fetch_all_metadata() for _ in range(3))))
        await asyncio.sleep(0.1)
    assert await client._get_conn(node) is first
    await asyncio.sleep(1.2 * SESSION_S)  # idle beyond its end
    assert await client.fetch_all_metadata()
    assert await client._get_conn(node) is first


@pytest.mark.parametrize("client", ["SCRAM-SHA-512"], indirect=True)
async def test_without_that_a_broker_cuts_the_connection(client, monkeypatch):
    monkeypatch.setattr(BrokerConnection, "is_due", False)
    (node,) = (broker.nodeId for broker in client.cluster.brokers())
    first = await client._get_conn(node)
    await asyncio.sleep(1.2 * SESSION_S)
    await client.force_metadata_update()
    assert not first.connected()


async def test_a_password_is_read_anew_for_each_connection(secured, tmp_path):
    file = tmp_path / "password"
    file.write_text("first\n")
    await asyncio.to_thread(secured.add_user, "rotated", "first")
    given = settings(secured, "SCRAM-SHA-256", sasl_username="rotated", sasl_password=None, sasl_password_file=file)
    async with Admin.connect(given):
        pass
    await asyncio.to_thread(secured.add_user, "rotated", "second")
    assert "check the user and its password" in await refused(given)
    file.write_text("second\n")
    async with Admin.connect(given) as admin:
        assert await admin.brokers() == 1


async def test_a_renewed_certificate_is_taken_up_and_a_broken_one_is_not(secured, tmp_path, caplog):
    caplog.set_level("INFO", "hotswap")
    certificate, key = secured.authority.sign("etl", ends_in_s=4)
    old = [shutil.copy(path, tmp_path) for path in (certificate, key)]
    given = settings(secured, "SSL", ssl_certificate=certificate, ssl_key=key)
    async with Admin.connect(given):
        pass
    certificate.write_text("half")
    async with Admin.connect(given) as admin:
        assert await admin.brokers() == 1
    assert [line.message for line in caplog.records].count("kafka.certificate_kept") == 1
    secured.authority.sign("etl")
    async with asyncio.timeout(20):  # what has ended is refused, by the broker's clock
        while "HOTSWAP_SSL_CERTIFICATE" not in await ended(secured, *old):
            await asyncio.sleep(0.2)
    async with Admin.connect(given) as admin:
        assert await admin.brokers() == 1
    assert "kafka.certificate_renewed" in caplog.messages


async def ended(secured, certificate, key):
    """Return why a connection with this certificate fails; nothing as long as it does not."""
    try:
        async with Admin.connect(settings(secured, "SSL", ssl_certificate=certificate, ssl_key=key)):
            return ""
    except StartError as error:
        return str(error)


async def test_a_key_with_a_password_opens_by_a_file_and_is_never_asked_for_on_the_terminal(secured, tmp_path):
    certificate, key = secured.authority.sign("locked", password=PASSWORD)
    (tmp_path / "password").write_text(f"{PASSWORD}\n")
    given = {"ssl_certificate": certificate, "ssl_key": key}
    async with Admin.connect(settings(secured, "SSL", **given, ssl_key_password_file=tmp_path / "password")):
        pass
    with pytest.raises(UsageError, match="no certificate and its key"):
        connection(settings(secured, "SSL", **given))


async def test_a_token_is_renewed_before_it_ends(secured, monkeypatch):
    issued = len(secured.endpoint.issued)
    monkeypatch.setattr(secured.endpoint, "lives_s", 4.0)
    given = settings(secured, "OAUTHBEARER", worker_id="a-provider-of-its-own")
    async with Admin.connect(given) as admin:
        assert len(secured.endpoint.issued) == issued + 1
        while len(secured.endpoint.issued) < issued + 3:
            assert await admin.brokers() == 1
            await asyncio.sleep(0.1)


async def test_a_token_that_has_ended_is_refused(secured, monkeypatch):
    token = secured.endpoint.token("worker", ended_s=120)
    monkeypatch.setattr(secured.endpoint, "token", lambda _: token)
    assert "check the user and its password, or the client of the token" in await refused(
        settings(secured, "OAUTHBEARER", worker_id="another-provider")
    )


@pytest.mark.parametrize(
    ("mechanism", "wrong", "told"),
    [
        ("SCRAM-SHA-512", {"sasl_password": "x"}, "as User:worker (Unable connect"),
        ("PLAIN", {"sasl_password": "x"}, "check the user and its password"),
        ("SCRAM-SHA-512", {"ssl_ca": None}, "check HOTSWAP_SSL_CA: it must have signed the broker's certificate"),
        ("OAUTHBEARER", {"oauth_client_secret": "x"}, "answers 401: invalid_client wrong secret of worker): check"),
        ("OAUTHBEARER", {"oauth_token_url": "http://127.0.0.1:9/"}, "Connection refused>): check HOTSWAP_OAUTH_TOKEN"),
        ("SSL", {"ssl_certificate": None, "ssl_key": None}, "that it accepts HOTSWAP_SSL_CERTIFICATE"),
        ("SSL", {"security_protocol": "PLAINTEXT"}, "the broker closes it: check HOTSWAP_SECURITY_PROTOCOL"),
    ],
)
async def test_what_is_wrong_is_told_in_one_line_with_what_to_look_at(secured, mechanism, wrong, told):
    assert told in (line := await refused(settings(secured, mechanism, **wrong)))
    assert "\n" not in line


async def test_a_certificate_of_a_strangers_authority_is_refused(secured, tmp_path):
    stranger = Authority(tmp_path / "stranger")
    certificate, key = stranger.sign("worker")
    line = await refused(settings(secured, "SSL", ssl_certificate=certificate, ssl_key=key))
    assert "that it accepts HOTSWAP_SSL_CERTIFICATE" in line


async def test_a_broker_must_be_who_its_certificate_names_unless_that_is_switched_off(secured):
    elsewhere = secured.settings("PLAIN")["kafka"].replace("127.0.0.1", "localhost")
    line = await refused(settings(secured, "PLAIN", kafka=elsewhere))
    assert "the broker's certificate must name this host" in line
    async with Admin.connect(settings(secured, "PLAIN", kafka=elsewhere, ssl_check_hostname=False)) as admin:
        assert await admin.brokers() == 1


@pytest.mark.parametrize("client", ["SCRAM-SHA-512"], indirect=True)
async def test_where_a_session_cannot_be_renewed_another_connection_takes_the_request(client, monkeypatch):
    node = client.get_random_node()
    assert await client.ready(node)
    refused = [True]

    async def handshake(session):
        if refused:
            refused.pop()
            raise KafkaConnectionError("no")
        return await known(session)

    known = BrokerConnection._do_sasl_handshake
    monkeypatch.setattr(BrokerConnection, "_do_sasl_handshake", handshake)
    first = await client._get_conn(node)
    first._again_at = 0.0
    assert await client.id()
    assert not first.connected()
    assert await client._get_conn(node) is not first
