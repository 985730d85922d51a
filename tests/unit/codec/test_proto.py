"""Protos are compiled at run time by protoc itself, each in its own descriptor pool."""

import pytest
from google.protobuf import descriptor_pb2

from hotswap.client.change import compile_file, read_proto
from hotswap.codec.proto import compile as compile_proto
from hotswap.errors import SwapError

PROTO = 'syntax = "proto3"; message In { double x = 1; } message Out { string y = 1; } '
SERVICE = "service Model { rpc predict(In) returns (Out); }"


def test_the_operations_of_a_proto_have_the_names_of_its_rpcs():
    schema = compile_proto((PROTO + "service A { rpc one(In) returns (Out); rpc two(Out) returns (In); }").encode())

    assert list(schema.operations) == ["one", "two"]
    assert schema.operations["two"].input.DESCRIPTOR.full_name == "Out"
    assert schema.default is None


def test_the_only_operation_is_the_default():
    assert compile_proto((PROTO + SERVICE).encode()).default == "predict"


def test_rpcs_of_the_same_name_are_qualified_by_their_service():
    schema = compile_proto(
        (
            PROTO
            + "service A { rpc f(In) returns (Out); } service B { rpc f(In) returns (Out); rpc g(In) returns (Out); }"
        ).encode()
    )

    assert list(schema.operations) == ["A.f", "B.f", "g"]


def test_two_protos_may_use_a_name_for_different_messages():
    first = compile_proto((PROTO + SERVICE).encode()).operations["predict"].input
    second = compile_proto((PROTO.replace("double x", "string x") + SERVICE).encode()).operations["predict"].input

    assert first(x=1.0).SerializeToString() != second(x="1").SerializeToString()


def test_protos_that_acumos_failed_to_parse_compile():
    schema = compile_proto(
        b"""
        syntax = "proto3";
        package p.q;  // a comment about a message and an enum
        option java_multiple_files = true;
        import "google/protobuf/timestamp.proto";
        import "google/protobuf/wrappers.proto";
        message In{ message Row { optional double x2y = 1; } repeated Row rows = 1; enum E { A = 0; }
          oneof choice { string message_text = 2; E enum_value = 3; } map<string, int32> counts = 4;
          google.protobuf.Timestamp at = 5; google.protobuf.DoubleValue boxed = 6; }
        message Out { string y = 1; }
        service S { rpc predict(In) returns (Out) {} }
        """
    )

    assert schema.operations["predict"].input(rows=[{"x2y": 0.0}], counts={"a": 1}).ByteSize() > 0


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ('syntax = "proto3";\nmessage In {\n  doubel x = 1;\n}', 'model.proto:3:3: "doubel" is not defined'),
        ('syntax = "proto3";\nmessage In { double x = 1 }', "model.proto:2:27:"),
        ('syntax = "proto3";\nimport "other.proto";', "other.proto"),
        ('syntax = "proto4";', "model.proto:1:"),
    ],
)
def test_a_proto_that_does_not_compile_is_refused_with_protocs_own_message(text, place, capfd):
    with pytest.raises(SwapError) as refused:
        compile_proto(text.encode())

    assert refused.value.code == "PROTO_INVALID"
    assert place in refused.value.message
    assert capfd.readouterr().err == ""


def test_what_protoc_and_absl_print_of_a_proto_is_its_reason_or_nothing(capfd):
    service = "service S { rpc Predict(In) returns (In); }"
    compile_proto(
        f'import "google/protobuf/timestamp.proto"; message In {{ optional double x = 1; }} {service}'.encode()
    )
    with pytest.raises(SwapError) as refused:
        compile_proto(f'edition = "2024"; message In {{ double Xy = 1; }} {service}'.encode())
    assert refused.value.message.startswith("model.proto:1:39: Field name Xy should be lower_snake_case")
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("quoted", ["Zoë".encode(), b"\xf5"])
def test_what_protoc_quotes_need_be_neither_ascii_nor_utf8(quoted):
    with pytest.raises(SwapError, match="Unrecognized syntax identifier") as refused:
        compile_proto(b'syntax = "%b";' % quoted)
    assert quoted.decode(errors="replace") in refused.value.message
    with pytest.raises(SwapError, match="File not found"):
        compile_proto(b'syntax = "proto3"; import "%b.proto";' % quoted)


@pytest.mark.parametrize("service", ["", "service Empty {}"])
def test_a_proto_without_an_rpc_is_refused(service):
    with pytest.raises(SwapError, match="service Model") as refused:
        compile_proto((PROTO + service).encode())

    assert refused.value.code == "NO_OPERATION"


def test_a_descriptor_set_compiles_like_its_text_in_any_order_of_files():
    text = b"""syntax = "proto3"; import "google/protobuf/timestamp.proto";
        message In { google.protobuf.Timestamp at = 1; } service S { rpc f(In) returns (In); }"""
    files = compile_proto(text).files
    backwards = descriptor_pb2.FileDescriptorSet(file=reversed(files.file))

    assert list(compile_proto(backwards.SerializeToString(), is_descriptor_set=True).operations) == ["f"]


def test_a_descriptor_set_that_lacks_an_import_is_refused_with_its_name():
    text = b"""syntax = "proto3"; import "google/protobuf/timestamp.proto";
        message In { google.protobuf.Timestamp at = 1; } service S { rpc f(In) returns (In); }"""
    files = compile_proto(text).files.file
    alone = descriptor_pb2.FileDescriptorSet(file=[file for file in files if file.name == "model.proto"])

    with pytest.raises(SwapError, match=r"timestamp\.proto.*--include_imports") as refused:
        compile_proto(alone.SerializeToString(), is_descriptor_set=True)
    assert refused.value.code == "PROTO_INVALID"


@pytest.mark.parametrize("source", [b"\xff\xff\xff", b"syntax", b'\n\x05\n\x01a"\x00'])
def test_bytes_that_are_not_a_descriptor_set_are_refused(source):
    with pytest.raises(SwapError) as refused:
        compile_proto(source, is_descriptor_set=True)

    assert refused.value.code in {"PROTO_INVALID", "NO_OPERATION"}


def test_a_proto_is_gathered_with_all_files_that_it_imports(tmp_path):
    (tmp_path / "common").mkdir()
    (tmp_path / "common" / "row.proto").write_text('syntax = "proto3"; package c; message Row { double x = 1; }')
    path = tmp_path / "model.proto"
    path.write_text("""syntax = "proto3";
        import public "common/row.proto"; // import "nothing.proto"
        message Rows { repeated c.Row rows = 1; }
        service S { rpc f(Rows) returns (c.Row); }""")

    proto = read_proto(path)
    operation = compile_proto(proto.source, proto.is_descriptor_set).operations["f"]

    assert proto == read_proto(path)
    assert [field.name for field in operation.input(rows=[{"x": 1}]).rows[0].DESCRIPTOR.fields] == ["x"]


def test_a_missing_import_is_refused_with_its_name(tmp_path):
    path = tmp_path / "model.proto"
    path.write_text('syntax = "proto3";\nimport "common/row.proto";\nmessage A {}')

    with pytest.raises(SwapError, match=r"model\.proto:2:1: .*common/row\.proto") as refused:
        compile_file(path)

    assert refused.value.code == "PROTO_INVALID"
