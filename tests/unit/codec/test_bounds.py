"""Bounds on protos: what would cost the square of a number, or the process, is refused before protoc has it."""

import time

import pytest
from google.protobuf import descriptor_pb2

from hotswap.batch import Format
from hotswap.codec.bounds import check_files, check_text
from hotswap.codec.compatibility import incompatibilities
from hotswap.codec.proto import compile as compile_proto
from hotswap.codec.proto import has_own_imports
from hotswap.codec.text import wire
from hotswap.codec.versions import next_version
from hotswap.errors import SwapError

HEAD = 'syntax = "proto2"; message A { optional double a = 1; } service S { rpc p(A) returns (A); } '
OPTION = (
    'import "google/protobuf/descriptor.proto"; message R { optional R a = 1; } '
    "extend google.protobuf.FileOptions { optional R o = 50000; } "
)


def many(count, text):
    return "".join(text.replace("#", str(number)) for number in range(1, count + 1))


HOSTILE = {
    "an option's value 100 deep": OPTION + "option (o) = {" + "a{" * 100 + "}" * 100 + "};",
    "an option's name of 100 parts": OPTION + "option (o)" + ".a" * 100 + " = {};",
    "half of each": OPTION + "option (o)" + ".a" * 50 + " = {" + "a{" * 50 + "}" * 50 + "};",
    "nested groups": many(20_000, "message B { optional group G = 1 {") + "}" * 40_000,
    "brackets": "option a = " + "[" * 100_000,
    "angles": "option a = {" + "a<" * 100_000,
    "messages": many(30_000, "message M# { optional double a = 1; }"),
    "messages in comments' gaps": many(30_000, "message/**/M#/**/{/*}*/}"),
    "maps": "message B {" + many(6_000, "map<int32,int32> m# = #;") + "}",
    "enums": many(6_000, "enum E# { X# = 0; }"),
    "values": "enum E {" + many(100_000, "X# = #;") + "}",
    "fields": "message B {" + many(100_000, "optional bool f# = #;") + "}",
    "ranges": "message B {" + many(60_000, "extensions #;") + "}",
    "ranges in a list": "message B { reserved 1" + many(60_000, ", #") + "; }",
    "ranges in many lists": "message B {" + many(2_000, "reserved #, 100#, 200#;") + "}",
    "rpcs": "service T {" + many(6_000, "rpc r#(A) returns (A);") + "}",
    "options": many(6_000, "option (o).f# = 1;"),
    "options of a field": "message B { optional int32 b = 1 [" + many(6_000, "(o).f# = 1,") + "]; }",
    "imports": many(20_000, 'import "google/protobuf/x#.proto";'),
    "statements": ";" * 1_000_000,
    "bytes": "/" * (5 << 20),
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_a_text_beyond_the_bounds_is_refused_before_protoc_has_it(text):
    with pytest.raises(SwapError, match=r"more than|at most") as refused:
        check_text((HEAD + text).encode())
    assert refused.value.code == "PROTO_INVALID"


STRANGE = {
    "an open comment, again and again": "/*" * 2_000_000,
    "stars": "/*" + "*" * 4_000_000,
    "an open string": '"' + "\\" * 4_000_000,
    "quotes": "'\"" * 2_000_000,
    "blank lines": "\n" * 4_000_000,
    "a long word": "message" * 500_000,
    "braces that are only said": '// {{{{\n"{{{{" ' * 100_000,
    "closing braces": "}" * 100_000,
}


@pytest.mark.parametrize("text", STRANGE.values(), ids=STRANGE)
def test_the_check_reads_each_byte_once_whatever_the_text(text):
    began = time.process_time()
    check_text(text.encode())
    has_own_imports(text.encode())
    assert time.process_time() - began < 5  # a check that backtracks takes hours


def test_large_protos_of_real_life_stay_within_the_bounds():
    fields = many(1_500, "// a comment, with 'quotes\n optional a.b.c.Type#.Inner f# = # [deprecated = true];")
    messages = many(2_500, "message M# { optional string name = 1; reserved 5, 6 to 9; enum E { A# = 0; B# = 1; } }")
    check_text(f"message B {{ {fields} }} {messages}".encode())
    names = many(100, f"rpc {'R' * 12_000}#(A) returns (A);")
    check_text(f"service T {{ {names} }}".encode())
    deep = many(31, "message N# {") + "}" * 31 + " message W {" + many(3_000, "optional string f# = #;") + "}"
    assert list(compile_proto((HEAD + deep).encode()).operations) == ["p"]


def test_a_host_holds_no_proto_to_the_bounds_for_what_a_log_once_accepted_stays_accepted():
    many_messages = many(6_000, "message M# { string name = 1; }")
    source = f'syntax = "proto3"; {many_messages} service S {{ rpc p(M1) returns (M2); }}'.encode()
    with pytest.raises(SwapError, match="more than 5,000 messages"):
        check_text(source)
    assert list(compile_proto(source).operations) == ["p"]


def test_a_chain_of_messages_is_no_matter_how_long_it_is():
    chain = "".join(f"message M{number} {{ optional M{(number + 1) % 4_000} a = 1; }} " for number in range(4_000))
    text = f'syntax = "proto2"; {chain} service S {{ rpc p(M0) returns (M0); }}'
    schema = compile_proto(text.encode())
    message = schema.operations["p"].input()
    message.a.a.a.SetInParent()
    assert schema.operations["p"].input.FromString(message.SerializeToString()) == message
    longer = compile_proto(text.replace("M9 { optional M10 a = 1;", "M9 { optional M10 b = 1;").encode())
    assert incompatibilities(schema, longer) == ["field M9.a = 1 is called b now"]
    assert next_version("1.0.0", schema, longer).number == "2.0.0"
    assert wire.write(message.SerializeToString(), Format.CSV, schema.operations["p"]).startswith(b"a.a.a.a.a.")


def test_a_message_with_too_many_fields_in_its_messages_is_a_csv_of_json():
    doubling = "".join(f"message M{at} {{ M{at + 1} a = 1; M{at + 1} b = 2; }}" for at in range(25))
    text = f'syntax = "proto3"; {doubling} message M25 {{ double x = 1; }} service S {{ rpc p(M0) returns (M0); }}'
    operation = compile_proto(text.encode()).operations["p"]
    value = operation.input(a={"b": {}}).SerializeToString()
    assert wire.write(value, Format.CSV, operation) == b'a,b\n"{""b"": {}}",\n'


@pytest.mark.parametrize(
    "name", ["Timestamp", "Duration", "Struct", "ListValue", "Value", "Any", "Int32Value", "FieldMask"]
)
def test_a_message_is_no_well_known_type_by_its_name_alone(name):
    service = f"service S {{ rpc p(google.protobuf.{name}) returns (google.protobuf.{name}); }}"
    inner = f"message {name} {{ string seconds = 1; }}"
    for text in (f"package google.protobuf; {inner}", f"package google; message protobuf {{ {inner} }}"):
        with pytest.raises(SwapError, match=f"message google.protobuf.{name} is not Google's: import") as refused:
            compile_proto(f'syntax = "proto3"; {text} {service}'.encode())
        assert refused.value.code == "PROTO_INVALID"
    own = "".join(
        f'import "google/protobuf/{file}.proto";' for file in ("timestamp", "struct", "any", "duration", "wrappers")
    )
    own += 'import "google/protobuf/field_mask.proto";'
    assert list(compile_proto(f'syntax = "proto3"; {own} {service}'.encode()).operations) == ["p"]


def described(**content):
    return descriptor_pb2.FileDescriptorSet(file=[descriptor_pb2.FileDescriptorProto(name="a.proto", **content)])


def nested(depth):
    message = descriptor_pb2.DescriptorProto(name="A")
    for _ in range(depth):
        message = descriptor_pb2.DescriptorProto(name="A", nested_type=[message])
    return message


MANY = 25_000
SETS = {
    "depth": lambda: described(message_type=[nested(60)]),
    "names": lambda: described(
        message_type=[{"name": "A" * 1_000_000, "nested_type": [{"name": f"B{number}"} for number in range(10)]}]
    ),
    "bytes": lambda: described(options={"java_package": "a" * (9 << 20)}),
    "messages": lambda: described(message_type=[{"name": f"A{number}"} for number in range(MANY)]),
    "fields": lambda: described(message_type=[{"name": "A", "field": [{"name": "a"}] * MANY}]),
    "extensions": lambda: described(extension=[{"name": "a"}] * MANY),
    "enum values": lambda: described(enum_type=[{"name": "A", "value": [{"name": "a"}] * MANY}]),
    "ranges": lambda: described(message_type=[{"name": "A", "extension_range": [{"start": 1, "end": 2}] * MANY}]),
    "enum ranges": lambda: described(enum_type=[{"name": "A", "reserved_name": ["a"] * MANY}]),
    "services": lambda: described(service=[{"name": "A"}] * MANY),
    "imports": lambda: described(dependency=["b.proto"] * MANY),
    "files": lambda: descriptor_pb2.FileDescriptorSet(file=[{"name": "a.proto"}] * MANY),
    "an entry of a map that is none": lambda: described(
        message_type=[{"name": "A", "nested_type": [{"name": "B", "options": {"map_entry": True}}]}]
    ),
}


@pytest.mark.parametrize("make", SETS.values(), ids=SETS)
def test_descriptors_beyond_the_bounds_are_refused_before_protobuf_has_them(make):
    with pytest.raises(SwapError, match=r"more than|entry of a map") as refused:
        check_files(make())
    assert refused.value.code == "PROTO_INVALID"


def test_files_that_import_each_other_are_refused():
    files = [{"name": "a", "dependency": ["b"]}, {"name": "b", "dependency": ["a"]}]
    source = descriptor_pb2.FileDescriptorSet(file=files).SerializeToString()
    with pytest.raises(SwapError, match="in a circle: "):
        compile_proto(source, is_descriptor_set=True)


def test_of_thousands_of_errors_the_first_hundred_are_told():
    with pytest.raises(SwapError, match="and 4,900 more errors") as refused:
        compile_proto((HEAD + "message B {" + many(5_000, "optional X# e# = #;") + "}").encode())
    assert len(refused.value.message.splitlines()) == 101
