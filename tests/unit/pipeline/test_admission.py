"""What a request's headers and size decide before it is parsed."""

import pytest

from fakes.data_plane import FakeRequest
from hotswap.batch import Ask, Code, Format, Refusal, Unscorable
from hotswap.pipeline.admission import Rules, admit, answered, needs_a_look

RULES = Rules(proto_sha256="ab" * 32, operations=("one",), max_request_bytes=10)
NOW_MS = 1_000_000


def asked(*headers, value=b"v", rules=RULES):
    return admit(FakeRequest(0, value, headers=list(headers)), rules, NOW_MS)


@pytest.mark.parametrize(
    "header",
    [
        ("content-type", b"application/x-protobuf"),
        ("content-type", b"Application/X-Protobuf; messageType=a.B"),
        ("accept", b"*/*"),
        ("proto-digest", b"AB" * 32),
        ("not-after", b"1000000"),
        ("not-after", b"1970-01-01T00:16:40+00:00"),
        ("operation", b"one"),
        ("anything", b"\xff"),
    ],
)
def test_a_valid_header_admits_the_request(header):
    assert asked(header) == Ask("one")


@pytest.mark.parametrize(
    ("header", "code"),
    [
        (("content-type", b"text/xml"), Code.UNSUPPORTED_CONTENT_TYPE),
        (("accept", b"application/xml, image/png"), Code.UNSUPPORTED_CONTENT_TYPE),
        (("proto-digest", b"cd" * 32), Code.PROTO_MISMATCH),
        (("proto-digest", b"\xff\xfe"), Code.PROTO_MISMATCH),
        (("not-after", b"999999"), Code.EXPIRED),
        (("not-after", b"1970-01-01T00:00:00"), Code.EXPIRED),
        (("not-after", b"tomorrow"), Code.MALFORMED_HEADER),
        (("not-after", b"\xff"), Code.MALFORMED_HEADER),
        (("operation", b"two"), Code.UNKNOWN_OPERATION),
        (("operation", b"\xff"), Code.MALFORMED_HEADER),
    ],
)
def test_an_invalid_header_refuses_the_request_with_its_code(header, code):
    refusal = asked(header)
    assert isinstance(refusal, Refusal)
    assert refusal.code is code


@pytest.mark.parametrize(
    ("headers", "content", "accept"),
    [
        ({"content-type": b"text/csv; charset=utf-8"}, Format.CSV, Format.CSV),
        ({"content-type": b"application/json"}, Format.JSON, Format.JSON),
        ({"accept": b"image/png, text/csv;q=0.5"}, Format.PROTOBUF, Format.CSV),
        ({"content-type": b"application/json", "accept": b"*/*"}, Format.JSON, Format.JSON),
        ({"content-type": b"text/csv", "accept": b"application/x-protobuf"}, Format.CSV, Format.PROTOBUF),
    ],
)
def test_an_answer_has_the_requests_own_format_unless_accept_names_one(headers, content, accept):
    given = list(headers.items())
    assert asked(*given) == Ask("one", content, accept)
    assert dict(answered(given))["content-type"] == accept.encode()


@pytest.mark.parametrize("name", ["accept", "content-type", "not-after", "operation", "proto-digest", "request-id"])
@pytest.mark.parametrize("values", [(b"", b""), (b"one", b""), (b"one", b"two", b"one")])
def test_a_header_of_ours_that_is_repeated_is_refused_and_named(name, values):
    refusal = asked(*((name, value) for value in values))
    assert refusal.code is Code.MALFORMED_HEADER
    assert refusal.message == f"header {name}: there are {len(values)} of it, and a request may have one"


@pytest.mark.parametrize("name", ["x", "Operation", "source", "generation", "message", "replay-of"])
def test_any_other_header_may_be_repeated(name):
    assert asked((name, b"1"), (name, b"2")) == Ask("one")


def test_an_unknown_operation_is_refused_with_the_known_ones():
    rules = Rules(proto_sha256="", operations=("one", "two"), max_request_bytes=10)
    assert "one, two" in asked(("operation", b"three"), rules=rules).message
    assert "one, two" in asked(rules=rules).message
    assert asked(("operation", b"two"), rules=rules) == Ask("two")


def test_a_request_without_value_or_too_large_is_refused():
    assert asked(value=None).code is Code.UNDECODABLE
    assert asked(value=b"x" * 11).code is Code.TOO_LARGE
    assert asked(value=b"x" * 10) == Ask("one")


def test_an_unscorable_request_keeps_its_refusal():
    refusal = Refusal(Code.UNREADABLE, "its batch is damaged")
    assert admit(Unscorable(0, 0, None, [("content-type", b"text/xml")], refusal), RULES, NOW_MS) is refusal


def test_only_plain_requests_take_the_fast_path():
    batch = [
        FakeRequest(0, b"v"),
        FakeRequest(1, None),
        FakeRequest(2, b"x" * 11),
        FakeRequest(3, b"v", headers=[("a", b"")]),
    ]
    assert needs_a_look(batch, RULES) == [1, 2, 3]
    several = Rules(proto_sha256="", operations=("one", "two"), max_request_bytes=10)
    assert needs_a_look(batch[:1], several) == [0]
