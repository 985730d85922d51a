"""Settings that depend on each other."""

import pytest

from hotswap.cli.shared import make_settings
from hotswap.errors import SwapError, UsageError
from hotswap.kafka.group.membership import Membership
from hotswap.settings import Settings


def test_a_deadline_above_the_maximum_is_refused_with_both_names(monkeypatch):
    monkeypatch.setenv("HOTSWAP_DEADLINE_MS", "600001")
    with pytest.raises(UsageError, match="HOTSWAP_MAX_DEADLINE_MS is less than deadline_ms"):
        make_settings(deployment="d")
    monkeypatch.setenv("HOTSWAP_MAX_DEADLINE_MS", "600001")
    assert make_settings(deployment="d").batch_ms(None) == 600_001


def test_a_configuration_may_ask_for_the_maximum_and_no_more():
    settings = Settings(max_deadline_ms=20_000)
    assert (settings.batch_ms(None), settings.batch_ms(20_000)) == (10_000, 20_000)
    with pytest.raises(SwapError, match=r"deadline_ms is 20001, but HOTSWAP_MAX_DEADLINE_MS of this worker is 20000"):
        settings.batch_ms(20_001)


@pytest.mark.parametrize(("delivery", "batch_ms"), [("exactly_once", 0), ("at_least_once", 50_000 + 2_000)])
async def test_a_rebalance_waits_for_the_longest_allowed_batch_where_a_member_ends_it_first(delivery, batch_ms):
    settings = Settings(
        deployment="d", delivery=delivery, max_deadline_ms=50_000, call_timeout_s=1, session_timeout_ms=6_000
    )
    member = Membership(settings, on_rejoining=pytest.fail, on_revoked=pytest.fail, on_assigned=pytest.fail)
    assert member._consumer._rebalance_timeout_ms == batch_ms + 6_000 + 20_000
    await member.stop()


@pytest.mark.parametrize(("session_ms", "heartbeat_ms"), [(6_000, 100), (300_000, 100)])
async def test_a_member_asks_often_what_moves_however_long_its_session(session_ms, heartbeat_ms):
    settings = Settings(deployment="d", session_timeout_ms=session_ms)
    member = Membership(settings, on_rejoining=pytest.fail, on_revoked=pytest.fail, on_assigned=pytest.fail)
    assert member._consumer._heartbeat_interval_ms == heartbeat_ms
    await member.stop()


def test_artifacts_may_be_fetched_from_the_store_alone_unless_others_are_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert Settings(store="here").stores == ((tmp_path / "here").as_uri(),)
    assert Settings(store="s3://a", allowed_stores=" s3://b/ , here,").stores == (
        "s3://b/",
        (tmp_path / "here").as_uri(),
    )
