"""The answers of two deployments compared on a real Kafka, by the command: what differs, what waits, and its limits."""

import json
import xml.etree.ElementTree as ET

import pytest

from harness.command import hotswap
from harness.fleet import EXAMPLES, Deployment, messages
from hotswap.client.change import Change
from hotswap.client.shadowing import Beginning, begin
from hotswap.kafka.topics.control_topic import settled

GLM = EXAMPLES / "models" / "iris_glm.zip"
ROW = b'{"sepal_length": 6.0, "sepal_width": 2.7, "petal_length": 5.1, "petal_width": 1.6}'
CSV = b"sepal_length,sepal_width,petal_length,petal_width\n6.0,2.7,5.1,1.6\n"


@pytest.fixture
async def both(kafka, tmp_path):
    """A deployment and a shadow of it with another model, whose workers run."""
    champion = await Deployment(kafka, tmp_path).create(2)
    await champion.serve("iris_gbm")
    name = f"{champion.name}.shadow"
    begun = await begin(champion.settings, name, Change(model=GLM), Beginning(is_from_start=True))
    folder = tmp_path / "shadow"
    folder.mkdir()
    logs = {key: getattr(champion.settings, key) for key in ("control_topic", "status_topic")}
    shadow = Deployment(kafka, folder, name=name, store=champion.settings.store, **logs)
    shadow.start("s1")
    shadow.settings = await settled(shadow.settings)
    async with shadow.client() as client:
        assert (await client.await_swap(begun.receipt)).is_good
    yield champion, shadow
    for one in (champion, shadow):
        one.close()


async def compared(one, other, *words, code=0):
    told, said = await hotswap(one, "compare", one.name, other.name, "--json", *words, code=code)
    return json.loads(told), said


async def test_what_both_answered_is_compared_in_every_format_and_what_one_has_yet_to_answer_waits(both, tmp_path):
    champion, shadow = both
    await champion.publish(messages("iris")[0])
    await champion.publish([ROW, b"{", ROW], content_type=b"application/json")
    await champion.publish([CSV], content_type=b"text/csv")
    for one in both:
        await one.drained()
    drawn = tmp_path / "drawn.svg"
    told, said = await compared(champion, shadow, "--plot", drawn, "--max-flips", "1%", code=1)
    assert told["requests"]["both"] == 154
    assert told["rows"]["compared"] == 153
    assert told["requests"]["refused"] == [{"codes": ["UNDECODABLE", "UNDECODABLE"], "requests": 1}]
    assert 0 < told["rows"]["flips"] < 20
    assert told["breaches"]
    assert "of the rows differ, and 1 % may" in said
    assert ET.parse(drawn).getroot().tag.endswith("svg")
    printed, _ = await hotswap(champion, "compare", champion.name, shadow.name, "--max-flips", "20%")
    assert "154 requests answered by both, 153 rows compared" in printed.decode()
    assert "labels that differ" in printed.decode()

    await shadow.stop("s1")
    await champion.publish(messages("iris")[0][:30])
    await champion.drained()
    told, _ = await compared(champion, shadow)
    assert (told["requests"]["both"], told["requests"]["waiting"]) == (154, [0, 30])
    assert told["requests"]["missing"] == [0, 0]
    turned, _ = await compared(shadow, champion)
    assert turned["requests"]["waiting"] == [30, 0]
    assert turned["rows"]["flips"] == told["rows"]["flips"]


async def test_requests_are_chosen_by_their_time_and_a_gate_without_rows_is_shut(both):
    champion, shadow = both
    await champion.publish(messages("iris")[0][:50])
    for one in both:
        await one.drained()
    told, _ = await compared(champion, shadow, "--since", "1h")
    assert told["rows"]["compared"] == 50
    told, said = await compared(champion, shadow, "--until", "2h", code=1)
    assert told["rows"]["compared"] == 0
    assert "0 rows compared, and at least 1 must be" in said
    assert (await compared(champion, shadow, "--until", "2h", "--min-rows", 0))[0]["rows"]["compared"] == 0


async def test_only_answers_to_the_same_requests_can_be_compared(both, kafka, tmp_path):
    champion, _ = both
    folder = tmp_path / "stranger"
    folder.mkdir()
    stranger = await Deployment(kafka, folder, status_topic=champion.settings.status_topic).create(2)
    _, said = await hotswap(champion, "compare", champion.name, stranger.name, code=2)
    assert "only answers to the same requests can be compared" in said
