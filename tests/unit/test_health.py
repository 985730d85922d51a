"""What probes and Prometheus are told."""

import urllib.error
import urllib.request

import pytest

from worker import health as module
from worker.errors import StartError
from worker.health import Health


@pytest.fixture
def health():
    state = {"why": ""}
    served = Health("127.0.0.1", 0, readiness=lambda: state["why"])
    served.state = state
    served.start()
    yield served
    served.stop()


def get(health, path):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{health.port}{path}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_a_worker_that_is_not_ready_says_why(health):
    assert get(health, "/readyz") == (200, "ok\n")
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


def test_an_unknown_path_is_answered_with_those_that_there_are(health):
    assert get(health, "/") == (404, "there are /metrics, /livez and /readyz\n")


def test_a_taken_port_is_one_line_that_names_the_setting(health):
    with pytest.raises(StartError, match="HOTSWAP_HTTP_PORT"):
        Health("127.0.0.1", health.port, readiness=str).start()
