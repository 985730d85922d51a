"""Bad requests on a real Kafka: each is refused alone with the right code, and nothing stops or vanishes."""

import time

from confluent_kafka import Producer

from fakes.hostile_child import EXHAUSTS_JAVA, EXHAUSTS_PYTHON, EXITS, KILLS, NEVER_RETURNS, RAISES
from harness.audit import header, source
from harness.fleet import EXAMPLES, HOSTILE, messages
from hotswap.client.change import Change
from hotswap.codec.proto import compile as compile_proto
from hotswap.generation import Configuration, Policy, Proto

TEXTS = """
syntax = "proto3";
message Row {
  optional double x0 = 1; optional double x1 = 2; optional double x2 = 3; optional double x3 = 4;
  optional double x4 = 5; optional double x5 = 6; optional double x6 = 7; optional double x7 = 8;
  optional string x8 = 9; optional string color = 10; optional string country = 11;
}
message Value { double value = 1; }
service Estimator { rpc Estimate(Row) returns (Value); rpc Guess(Row) returns (Value); }
"""
STRICT = Configuration(
    missing=Policy.REFUSE, mistyped=Policy.REFUSE, unknown_category=Policy.REFUSE, max_request_bytes=5_000
)


def rows():
    """Return a builder of good rows, from the proto that the deployment serves."""
    row = compile_proto(TEXTS.encode(), False).operations["Estimate"].input

    def build(**changed):
        known = {f"x{number}": float(number) for number in range(8)} | {"x8": "8", "color": "red", "country": "DE"}
        return row(**{key: value for key, value in (known | changed).items() if value is not None}).SerializeToString()

    return build


def records():
    """Return name -> (value, headers, expected code; None: a prediction)."""
    build, estimate = rows(), {"operation": b"Estimate"}
    past, future = str(int(time.time() * 1000) - 1).encode(), b"2999-01-01T00:00:00Z"
    return {
        "good": (build(), estimate, None),
        "truncated": (build()[:-3], estimate, "UNDECODABLE"),
        "not protobuf": (b"\xff\xff\xff\xff", estimate, "UNDECODABLE"),
        "no value": (None, estimate, "UNDECODABLE"),
        "good by its other operation": (build(), {"operation": b"Guess"}, None),
        "unknown operation": (build(), {"operation": b"Divine"}, "UNKNOWN_OPERATION"),
        "no operation": (build(), {}, "UNKNOWN_OPERATION"),
        "good with headers of no value": (build(), estimate | {"trace": None, "not-after": None, "accept": b""}, None),
        "refused with a header of no value": (b"\xff", estimate | {"trace": None}, "UNDECODABLE"),
        "xml": (build(), estimate | {"content-type": b"text/xml"}, "UNSUPPORTED_CONTENT_TYPE"),
        "asks for xml": (build(), estimate | {"accept": b"application/xml"}, "UNSUPPORTED_CONTENT_TYPE"),
        "another proto": (build(), estimate | {"proto-digest": b"0" * 64}, "PROTO_MISMATCH"),
        "this proto": (build(), estimate | {"proto-digest": Proto.inline(TEXTS).sha256.encode()}, None),
        "expired": (build(), estimate | {"not-after": past}, "EXPIRED"),
        "not expired": (build(), estimate | {"not-after": future}, None),
        "expiry that is no time": (build(), estimate | {"not-after": b"soon"}, "MALFORMED_HEADER"),
        "operation that is no text": (build(), {"operation": b"\xff"}, "MALFORMED_HEADER"),
        "too large": (build() + b"\x00" * 6_000, estimate, "TOO_LARGE"),
        "missing number": (build(x3=None), estimate, "MISSING_FIELD"),
        "missing category": (build(color=None), estimate, "MISSING_FIELD"),
        "text where a number is needed": (build(x8="eight"), estimate, "MISTYPED_FIELD"),
        "unknown category": (build(country="Atlantis"), estimate, "UNKNOWN_CATEGORY"),
    }


def publish(deployment, items, partition=None):
    """Publish with a client other than ours, which can also publish records with neither key nor value."""
    placed = {}
    producer = Producer({"bootstrap.servers": deployment.kafka.bootstrap})
    for number, (name, (value, headers, _)) in enumerate(items):
        where = number % 4 if partition is None else partition

        def note(error, message, name=name):
            assert error is None, error
            placed[message.partition(), message.offset()] = name

        topic = deployment.settings.topics.requests
        producer.produce(topic, value, partition=where, headers=list(headers.items()), callback=note)
    producer.flush(30)
    return placed


async def test_each_kind_of_bad_request_is_in_the_dead_letters_once_with_its_code_and_the_good_ones_are_answered(
    deployment,
):
    await serve_strict(deployment)
    kinds = records()
    assert len({code for _, _, code in kinds.values() if code}) >= 9
    placed = publish(deployment, list(kinds.items()) * 30)
    await deployment.drained()
    result = await deployment.audit()
    assert result.faults == {}
    assert result.asked == len(placed) == 30 * len(kinds)
    refused = {source(message): message for message in result.dead_letters}
    for place, name in placed.items():
        value, headers, code = kinds[name]
        assert (place in refused) == (code is not None), name
        if code is None:
            continue
        letter = refused[place]
        assert (header(letter, "code"), letter.value()) == (code, value), name
        assert header(letter, "message"), name
        assert header(letter, "generation") == "1"
        copied = dict(letter.headers())
        assert {key: copied[key] for key in headers} == headers, name


async def serve_strict(deployment):
    deployment.start()
    async with deployment.client() as client:
        change = Change(model=EXAMPLES / "models" / "mixed_glm.zip", proto=Proto.inline(TEXTS), configuration=STRICT)
        answer = await client.await_swap(await client.swap(change))
        assert answer.is_good, (answer, deployment.log()[-3000:])


async def test_a_request_that_kills_the_host_or_never_returns_or_exhausts_memory_is_refused_alone(deployment):
    values, _, operation = messages("iris")
    harms = {
        KILLS: "HOST_CRASHED",
        NEVER_RETURNS: "HOST_TOO_SLOW",
        EXHAUSTS_JAVA: "HOST_CRASHED|HOST_TOO_SLOW",  # the latter if the machine is busy
        EXHAUSTS_PYTHON: "MODEL_ERROR|HOST_CRASHED|HOST_TOO_SLOW",
        RAISES: "MODEL_ERROR",
        EXITS: "HOST_CRASHED",
    }
    for number, harm in enumerate(harms):
        values.insert(20 * (number + 1), operation.input(sepal_length=harm).SerializeToString())
    places = dict(zip(publish(deployment, [(v, (v, {}, None)) for v in values], partition=0), values, strict=True))
    deployment.start(child=HOSTILE)
    async with deployment.client() as client:
        change = Change(
            model=EXAMPLES / "models" / "iris_gbm.zip",
            proto=EXAMPLES / "protos" / "iris.proto",
            configuration=Configuration(deadline_ms=8_000),
        )
        answer = await client.await_swap(await client.swap(change))
        assert answer.is_good, (answer, deployment.log()[-3000:])
    await deployment.drained(timeout=120)
    assert await deployment.stop() == 0
    result = await deployment.audit()
    assert result.faults == {}
    assert len(result.predictions) == 150
    found = {}
    for letter in result.dead_letters:
        assert letter.value() == places[source(letter)]
        found[operation.input.FromString(letter.value()).sepal_length] = header(letter, "code")
    assert found.keys() == harms.keys()
    assert all(found[harm] in codes.split("|") for harm, codes in harms.items()), found
