"""The client over logs in memory: requests and their answers."""

from contextlib import aclosing

import pytest

from fakes.answering import answer_requests
from fakes.kafka_logs import FakeCluster
from hotswap.client.answers import Flow, Outgoing, Place, Prediction, Refused
from hotswap.client.client import Client
from hotswap.errors import NoAnswer, StartError


async def test_a_request_is_published_where_its_place_says(cluster, settings):
    async with Client(settings) as client:
        places = await client.publish(Outgoing(b"%d" % n, b"k", [("operation", b"P")]) for n in range(3))
    for number, place in enumerate(places):
        record = cluster.topics[place.topic][place.partition][place.offset]
        assert (record.value, record.key, record.headers) == (b"%d" % number, b"k", (("operation", b"P"),))


async def test_publishing_to_a_deployment_without_topics_is_a_start_error(monkeypatch, settings):
    FakeCluster().install(monkeypatch)
    async with Client(settings) as client:
        with pytest.raises(StartError, match=r"d\.requests"):
            await client.publish([Outgoing(b"")])


async def test_answers_come_in_the_order_of_the_requests_and_refusals_say_why(cluster, settings):
    answer_requests(cluster, settings, generation=4, refuse=lambda value: value == b"3")
    async with Client(settings) as client:
        answers = [a async for a in client.predict((Outgoing(b"%d" % n) for n in range(7)), window=3)]
    assert [a.value for a in answers if isinstance(a, Prediction)] == [b"0", b"1", b"2", b"4", b"5", b"6"]
    assert isinstance(answers[3], Refused)
    assert (answers[3].code, answers[3].message, answers[3].generation) == ("UNDECODABLE", "is no message", 4)


async def test_answers_to_others_and_earlier_answers_are_ignored(cluster, settings):
    answer_requests(cluster, settings)
    cluster.append(settings.topics.requests, b"of another client")
    cluster.append(settings.topics.predictions, b"odd", headers=(("source", b"d.requests-9-9"),))
    async with Client(settings) as client:
        answers = [a async for a in client.predict([Outgoing(b"mine")])]
    assert [a.value for a in answers] == [b"mine"]


async def test_no_more_requests_are_in_flight_than_the_window(cluster, settings):
    asked = []

    def requests():
        for number in range(10):
            asked.append(number)
            yield Outgoing(b"%d" % number)

    answer_requests(cluster, settings)
    async with Client(settings) as client, aclosing(client.predict(requests(), window=4)) as answers:
        taken = 0
        async for _ in answers:
            taken += 1
            assert len(asked) - taken <= 4
    assert taken == 10


async def test_requests_that_nobody_answers_end_in_one_clear_error(cluster, settings):
    async with Client(settings) as client:
        with pytest.raises(NoAnswer, match="no worker of deployment 'd' answers"):
            await anext(client.predict([Outgoing(b"x")], timeout_s=0.05))


def prediction(source):
    return Prediction(source=source, value=b"", generation=1, operation="", model_digest="")


def test_answers_are_put_back_into_the_order_of_the_requests_whatever_order_they_arrive_in():
    flow = Flow(window=3, per_second=None)
    flow.sent(Place("t", 0, offset) for offset in range(3))
    assert (flow.room(), flow.is_full, flow.waiting) == (0, True, 3)
    flow.answered(prediction("t-0-9"))
    flow.answered(prediction("t-0-2"))
    assert flow.take() == []
    assert flow.room() == 0
    flow.answered(prediction("t-0-0"))
    assert [answer.source for answer in flow.take()] == ["t-0-0"]
    flow.answered(prediction("t-0-1"))
    assert [answer.source for answer in flow.take()] == ["t-0-1", "t-0-2"]
    assert (flow.room(), flow.waiting) == (3, 0)


def test_requests_are_sent_half_a_window_at_a_time_so_that_neither_side_waits_for_the_other():
    flow = Flow(window=4, per_second=None)
    flow.sent(Place("t", 0, offset) for offset in range(4))
    room = []
    for offset in range(3):
        flow.answered(prediction(f"t-0-{offset}"))
        flow.take()
        room.append(flow.room())
    assert room == [0, 2, 3]


def test_a_rate_limits_how_fast_requests_are_sent():
    flow = Flow(window=1000, per_second=10)
    assert flow.room() == 1
    flow.sent([Place("t", 0, 0)])
    assert flow.room() == 0
    assert 0 < flow.pause_s() <= 0.1


async def test_places_are_a_sequence_in_the_order_of_the_requests(cluster, settings, monkeypatch):
    monkeypatch.setattr("hotswap.client.publishing._FEW", 3)
    monkeypatch.setattr("hotswap.client.publishing._CHUNK", 3)
    async with Client(settings) as client:
        places = await client.publish(Outgoing(b"%d" % number) for number in range(7))
    assert len(places) == 7
    assert [places[at] for at in range(-7, 7)] == [*places, *places]
    assert list(places[2:5]) == list(places)[2:5]
    assert places + places == [*places, *places]
    with pytest.raises(IndexError):
        places[7]
    assert [int(cluster.topics[topic][part][offset].value) for topic, part, offset in places] == list(range(7))
