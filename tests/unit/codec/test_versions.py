import pytest

from hotswap.codec.proto import compile as compile_proto
from hotswap.codec.versions import next_version
from hotswap.errors import UsageError

OLD = """syntax = "proto3";
service Model { rpc transform(Frame) returns (Prediction); }
message Frame { repeated Row rows = 1; }
message Row { optional double age = 1; string job = 2; Colour colour = 3; }
message Prediction { repeated string prediction = 1; }
enum Colour { RED = 0; BLUE = 1; }
"""
CHANGES = {
    # change: (old text, new text, version after 1.2.3, text of the reason)
    "nothing": ("", "", "1.2.4", "the contract is the same"),
    "a comment": ("message Row {", "// rows\nmessage Row {", "1.2.4", "the contract is the same"),
    "an added repeated field": ("job = 2;", "job = 2; repeated double more = 4;", "1.3.0", "Row.more = 4 is new"),
    "an added optional field": ("job = 2;", "job = 2; optional int64 more = 4;", "1.3.0", "Row.more = 4 is new"),
    "an added message": ("job = 2;", "job = 2; Frame more = 4;", "1.3.0", "Row.more = 4 is new"),
    "an added output": ("prediction = 1;", "prediction = 1; double p = 2;", "1.3.0", "Prediction.p = 2 is new"),
    "an added enum value": ("BLUE = 1;", "BLUE = 1; GREEN = 2;", "1.3.0", "Colour.GREEN is new"),
    "a field made optional": ("string job", "optional string job", "1.3.0", "job = 2 has become `optional`"),
    "a field no longer optional": ("optional double age", "double age", "1.3.0", "age = 1 is no longer `optional`"),
    "an added plain input": ("job = 2;", "job = 2; int64 more = 4;", "2.0.0", "old requests leave it at 0"),
    "a removed field": ("string job = 2;", "", "2.0.0", "Row.job = 2 is gone"),
    "a renamed field": ("string job", "string work", "2.0.0", "job = 2 is called work now"),
    "a retyped field": ("string job", "int64 job", "2.0.0", "was string and is int64 now"),
    "a renumbered field": ("job = 2;", "job = 5;", "2.0.0", "Row.job = 2 is gone"),
    "a field made repeated": ("string job", "repeated string job", "2.0.0", "is repeated string now"),
    "a renamed enum value": ("BLUE = 1;", "NAVY = 1;", "2.0.0", "Colour.BLUE = 1 is gone"),
    "a renamed operation": ("rpc transform", "rpc predict", "2.0.0", "operation transform is gone"),
    "a renamed message": ("Prediction", "Answer", "2.0.0", "transform returns Answer now, not Prediction"),
    "a second operation": (
        "(Prediction);", "(Prediction); rpc explain(Frame) returns (Prediction);", "2.0.0", "ambiguous",
    ),
}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
def test_the_version_follows_from_the_difference_of_the_protos(change):
    old, new, number, reason = CHANGES[change]
    assert old in OLD
    changed = OLD.replace(old, new) if old else OLD
    version = next_version("1.2.3", compile_proto(OLD.encode()), compile_proto(changed.encode()))
    assert version.number == number
    assert reason in "; ".join(version.reasons)


def test_a_third_operation_is_a_minor_change():
    two = OLD.replace("(Prediction);", "(Prediction); rpc explain(Frame) returns (Prediction);")
    three = two.replace("rpc explain", "rpc why(Frame) returns (Prediction); rpc explain")
    version = next_version("0.9.0", compile_proto(two.encode()), compile_proto(three.encode()))
    assert version == ("0.10.0", ("operation why is new",))


@pytest.mark.parametrize("text", ["1.2", "v1.2.3", "1.2.3.4", "01.2.3", "", "1.2.-3"])
def test_an_invalid_version_is_a_usage_error(text):
    schema = compile_proto(OLD.encode())
    with pytest.raises(UsageError, match=r"write it as 1\.2\.3"):
        next_version(text, schema, schema)
