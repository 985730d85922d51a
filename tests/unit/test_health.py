"""What probes and Prometheus receive, and what other clients can do to them."""

import http.client
import socket
import threading
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path

import pytest

from hotswap import health as module
from hotswap.errors import StartError
from hotswap.health import Health
from hotswap.metrics import REGISTRY


@pytest.fixture(autouse=True)
def _few_series():
    """Remove the series that other tests have left: a page of metrics would have thousands, and take 0.2 s."""
    for metric in list(REGISTRY._collector_to_names):
        with suppress(AttributeError):
            metric.clear()


@pytest.fixture
def health(monkeypatch):
    monkeypatch.setattr(module, "STUCK_S", 3_600)  # no event loop beats here, and a busy machine may take its time
    state = {"why": ""}
    served = Health("127.0.0.1", 0, readiness=lambda: state["why"])
    served.state = state
    served.start()
    yield served
    served.stop()


def get(health, path):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{health.port}{path}", timeout=60) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_a_worker_that_is_not_ready_says_why(health):
    assert get(health, "/readyz") == get(health, "/readyz?verbose") == (200, "ok\n")
    health.state["why"] = "no generation is ready"
    assert get(health, "/readyz") == (503, "no generation is ready\n")


def test_a_stuck_event_loop_is_not_alive(health, monkeypatch):
    assert get(health, "/livez")[0] == 200
    monkeypatch.setattr(module, "STUCK_S", -1)
    assert get(health, "/livez")[0] == 503


def test_metrics_are_served_with_their_help(health):
    status, body = get(health, "/metrics")
    assert status == 200
    assert "# HELP hotswap_requests_total" in body


def test_an_unknown_path_is_answered_with_the_known_ones(health):
    assert get(health, "/metrics?name[]=up")[0] == 200
    assert get(health, "/") == get(health, "/?x=/metrics") == (404, "the paths are /metrics, /livez and /readyz\n")


def test_a_port_in_use_is_one_line_that_names_the_setting(health):
    with pytest.raises(StartError, match="HOTSWAP_HTTP_PORT"):
        Health("127.0.0.1", health.port, readiness=str).start()


def ask(health, method, path="/livez", body=None):
    connection = http.client.HTTPConnection("127.0.0.1", health.port, timeout=60)
    try:
        connection.request(method, path, body)
        answer = connection.getresponse()
        return answer.status, answer.read(), answer.headers
    finally:
        connection.close()


def raw(health, sent):
    with socket.create_connection(("127.0.0.1", health.port), timeout=60) as connection:
        connection.sendall(sent)
        return b"".join(iter(lambda: connection.recv(1 << 16), b""))


def descriptors():
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.fixture
def crowd(health):
    """Open connections that stay open: how many, and what each of them sends."""
    held = []

    def come(count, sent=b""):
        for _ in range(count):
            held.append(socket.create_connection(("127.0.0.1", health.port), timeout=60))
            held[-1].sendall(sent)
        return held

    yield come
    for connection in held:
        connection.close()


def test_head_is_answered_like_get_without_the_body(health):
    status, body, headers = ask(health, "HEAD", "/metrics")
    assert (status, body) == (200, b"")
    assert int(headers["Content-Length"]) > 1_000


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "TRACE", "OPTIONS", "ODD"])
def test_only_get_and_head_are_allowed(health, method):
    status, _, headers = ask(health, method, body=b"x" * 100_000)
    assert (status, headers["Allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize(
    "sent",
    [b"\r\n\r\n", b"GET\r\n\r\n", b"GET /livez\r\n\r\n", b"\xff\x00 / HTTP/2\r\n\r\n", b"GET / a HTTP/1.1\r\n\r\n"],
)
def test_a_malformed_request_is_answered_with_400(health, sent):
    assert raw(health, sent).startswith(b"HTTP/1.1 400 Bad Request\r\n")


def test_an_endless_request_is_cut_off(health):
    assert raw(health, b"GET /livez HTTP/1.1\r\nx: " + b"x" * 8_192).startswith(b"HTTP/1.1 431 ")


@pytest.mark.parametrize("sent", [b"", b"GET /metrics HTTP/1.1\r\n", b"GET /metrics HTTP/1.1\r\n\r\n"])
def test_a_thousand_connections_that_stay_open_cost_one_thread_and_32_descriptors_and_the_next_one_is_answered(
    health, crowd, sent
):
    before = threading.active_count(), descriptors()
    held = crowd(1_000, sent)
    assert get(health, "/metrics")[0] == 200
    assert get(health, "/livez") == (200, "ok\n")
    assert threading.active_count() == before[0]
    ours = descriptors() - before[1] - len(held)
    assert ours <= module.CONNECTIONS


def test_31_open_connections_leave_room_for_one(health, crowd, monkeypatch):
    monkeypatch.setattr(module, "WHOLE_S", 3_600)  # a busy machine may take its time
    held = crowd(module.CONNECTIONS - 1)
    for _ in range(100):
        assert get(health, "/metrics")[0] == 200
    for connection in held:
        connection.settimeout(0)
        with pytest.raises(BlockingIOError):
            connection.recv(1)


def test_a_slow_sender_is_closed_at_its_deadline_whatever_it_still_sends(health, monkeypatch):
    monkeypatch.setattr(module, "WHOLE_S", 0.3)
    with socket.create_connection(("127.0.0.1", health.port), timeout=5) as connection:
        connection.settimeout(0.05)
        drops = 0
        with pytest.raises(ConnectionError):  # noqa: PT012 - it is one of the drops that meets the end
            while drops < 200:
                connection.sendall(b"x")
                drops += 1
                try:
                    if not connection.recv(1):
                        raise ConnectionError
                except TimeoutError:
                    pass
        assert 0 < drops < 200


def test_an_endless_sender_does_not_delay_the_others(health):
    with socket.create_connection(("127.0.0.1", health.port), timeout=5) as connection:
        with pytest.raises(ConnectionError):  # noqa: PT012 - any of them may meet the end
            connection.sendall(b"POST / HTTP/1.1\r\n\r\n")
            for _ in range(1_000):
                connection.sendall(b"x" * (1 << 16))
        assert get(health, "/livez") == (200, "ok\n")


def test_stop_closes_open_connections():
    stopped = Health("127.0.0.1", 0, readiness=str)
    stopped.start()
    with socket.create_connection(("127.0.0.1", stopped.port), timeout=5) as connection:
        assert get(stopped, "/livez") == (200, "ok\n")
        stopped.stop()
        assert connection.recv(1) == b""
