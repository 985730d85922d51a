"""A field may be called whatever protobuf allows: also as an attribute of messages, of classes, or as Python's words.

Each name is held to a field that is called `plain`: a name is not on the wire, and stands in texts as it is.
"""

import io
import keyword
import re

import numpy as np
import pytest
from google.protobuf import descriptor_pb2, timestamp_pb2

from hotswap.batch import Format, Refusal
from hotswap.cli.unknown import Unknown
from hotswap.codec.columns import Decoder
from hotswap.codec.compatibility import incompatibilities
from hotswap.codec.encoder import Encoder
from hotswap.codec.fields import Column
from hotswap.codec.outputs import Output
from hotswap.codec.proto import compile as compile_proto
from hotswap.codec.text import wire
from hotswap.codec.text.layout import Layout
from hotswap.codec.text.writer import CsvTable, JsonTable
from hotswap.codec.values import Table
from hotswap.gateway.documents import as_json
from hotswap.gateway.tensors import Tensors
from hotswap.generation import Configuration, TextOptions
from hotswap.runtimes.java.arguments import _plain, _Row

ATTRIBUTES = {
    *dir(descriptor_pb2.FileDescriptorSet()), *dir(descriptor_pb2.FileDescriptorSet), *dir(timestamp_pb2.Timestamp()),
    *dir(type(descriptor_pb2.FileDescriptorSet)), *dir(type("Any", (), {})()),
}  # fmt: skip
WORDS = {*keyword.kwlist, *keyword.softkwlist, "self", "cls", "message", "kwargs", "row", "rows_field", "PLAIN", "to_s"}
NAMES = sorted(name for name in ATTRIBUTES | WORDS if re.fullmatch(r"[A-Za-z_]\w*", name))
PROTO = """
syntax = "proto3";
message Inner { optional string plain = 1; repeated Inner next = 2; map<string, double> of = 3; }
message One { optional double plain = 1; Inner inner = 2; optional string note = 3; oneof choice { int64 whole = 4; } }
message Rows { repeated One plain = 1; }
message Columns { repeated double plain = 1; repeated string note = 2; }
message Flat { double plain = 1; optional string note = 2; }
message Deep { One plain = 1; map<string, One> more = 2; oneof choice { Inner left = 3; string right = 4; } }
service S {
  rpc one(One) returns (One); rpc rows(Rows) returns (Rows); rpc columns(Columns) returns (Columns);
  rpc flat(Flat) returns (Flat); rpc deep(Deep) returns (Deep);
}
"""
CSV = {
    "one": "plain,inner.plain,note,whole,inner.of.a\n1.5,x,y,7,2\n",
    "rows": "plain,inner.plain,note\n1.5,x,y\n,,\n",
    "columns": "plain,note\n1.5,a\n2,b\n",
    "flat": "plain,note\n1.5,x\n",
    "deep": "plain.plain,plain.inner.plain,right\n1,x,z\n",
}
JSON = {
    "one": '{"plain": 1.5, "inner": {"plain": "x", "next": [{"plain": "z"}], "of": {"a": 2}}, "whole": "7"}',
    "rows": '[{"plain": 1.5, "inner": {"plain": "x"}}, {}]',
    "columns": '{"plain": [1.5, "NaN"], "note": ["a", "b"]}',
    "flat": '{"plain": 1.5, "note": null}',
    "deep": '{"plain": {"plain": 1, "inner": {}}, "more": {"k": {"plain": -0.0}}, "left": {"plain": ""}}',
}


def named(text, name):
    """Return a text with another name; in the JSON of a CSV's cell, a field has the name of proto3's mapping."""
    json_name = re.sub("_+(.?)", lambda match: match[1].upper(), name)
    return re.sub(r"\bplain\b", name, text.replace('""plain""', f'""{json_name}""'))


@pytest.fixture(scope="module")
def plain():
    return compile_proto(PROTO.encode())


@pytest.fixture(scope="module", params=NAMES)
def called(request):
    return request.param, compile_proto(named(PROTO, request.param).encode())


def read(text, content, operation):
    value = wire.read(text.encode(), content, operation, TextOptions())
    assert not isinstance(value, Refusal), (operation.name, value)
    return value


def test_the_names_have_all_methods_of_messages_among_them():
    assert {"SerializeToString", "ParseFromString", "DESCRIPTOR", "HasField", "ListFields", "Clear", "Extensions"} < {
        *NAMES
    }
    assert {"self", "class", "__class__", "FromDatetime", "mro", "UnknownFields", "FromString"} < {*NAMES}


def test_texts_become_the_same_messages_and_messages_the_same_texts(called, plain):
    name, schema = called
    for operation in plain.operations.values():
        odd = schema.operations[operation.name]
        for texts, content in ((CSV, Format.CSV), (JSON, Format.JSON)):
            value = read(texts[operation.name], content, operation)
            assert read(named(texts[operation.name], name), content, odd) == value
            for accept in (Format.CSV, Format.JSON):
                written = wire.write(value, accept, odd).decode()
                assert written == named(wire.write(value, accept, operation).decode(), name), (operation.name, accept)


def test_tables_of_answers_are_the_same(called, plain):
    name, schema = called
    for operation in plain.operations.values():
        value = read(JSON[operation.name], Format.JSON, operation)
        written = []
        for one in (operation, schema.operations[operation.name]):
            message, csv, json = one.output.FromString(value), io.StringIO(), io.StringIO()
            CsvTable(csv, one.output).write({"row": 1}, message)
            JsonTable(json).write({"row": 1}, message)
            written.append([csv.getvalue(), json.getvalue(), str(as_json(message)), str(_plain(message))])
        assert written[1] == [named(text, name) for text in written[0]], operation.name


def test_json_takes_both_names_of_a_field_and_refuses_the_same(called):
    name, _ = called
    text = f'syntax = "proto3"; message A {{ double {name} = 1; B to_b = 2; }} message B {{ int32 {name} = 1; }}'
    operation = compile_proto(f"{text} service S {{ rpc p(A) returns (A); }}".encode()).operations["p"]
    json_name = operation.input.DESCRIPTOR.fields_by_name[name].json_name
    for inner in ("to_b", "toB"):
        given = f'{{"{inner}": {{"{json_name}": 1}}, "{name}": 2}}'
        assert read(given, Format.JSON, operation) == b"\x09\0\0\0\0\0\0\0\x40\x12\x02\x08\x01"
    for given in (f'{{"{name}": "x"}}', f'{{"to_b": {{"{name}": 1.5}}}}', f'{{"to_b": {{"{name}_": 1}}}}'):
        refused = wire.read(given.encode(), Format.JSON, operation, TextOptions())
        assert isinstance(refused, Refusal), given
        assert name in refused.message


def test_models_read_and_fill_them(called):
    name, schema = called
    columns = [Column(name), Column("note", ("a", "y"))]
    for operation in ("one", "rows", "columns", "flat"):
        message = schema.operations[operation].input
        decoder = Decoder(message=message, columns=columns, configuration=Configuration())
        assert decoder.problems == [], operation
        rows = decoder.decode([read(named(CSV[operation], name), Format.CSV, schema.operations[operation])])
        assert (rows.refused, rows.table.matrix[0, 0]) == ({}, 1.5), operation
        outputs = [Output(name, 0, 1, (name,))]
        flat = schema.operations["columns" if operation == "columns" else "flat"].output
        encoder = Encoder(message=flat, outputs=outputs, names={"note": name}, is_one_row=operation != "columns")
        (answer, *_) = encoder.encode(Table(np.array([[0.0]])), rows.__class__(Table(np.empty((1, 0))), [0], None))
        assert getattr(flat.FromString(answer), name) in (0.0, [0.0])


def test_the_tensors_and_the_rows_of_a_command_have_them(called):
    name, schema = called
    tensors = Tensors(schema.operations["flat"].input)
    given = {"name": name, "datatype": "FP64", "shape": [1], "data": [1.5]}
    values = tensors.read([given], b"")
    assert tensors.write(values, {name: False})[0][0]["data"] == [1.5]
    layout = Layout(schema.operations["flat"].input)
    unknown = Unknown(layout, {name: ["2.5"]})
    unknown.look(layout.row.FromString(values[0]))
    assert list(unknown.notes()) == [f"`{name}`: the model does not know 1.5 (1 row): scored as missing or unknown"]
    assert getattr(_Row({name: 7}), name) == 7


def test_messages_rpcs_services_and_packages_may_be_called_so_too(called):
    name, _ = called
    whole = f".{name}.{name}.{name}"
    text = f"""syntax = "proto3"; package {name}.{name};
        message {name} {{
          double a = 1; message {name} {{ double b = 1; }} {whole}.{name} inner = 2; oneof {name}_ {{ int32 c = 3; }}
        }}
        enum E_ {{ {name}_0 = 0; }} service {name}_s {{ rpc {name}({whole}) returns ({whole}); }}"""
    schema = compile_proto(text.encode())
    operation = schema.operations[name]
    value = read('{"a": 1.5, "inner": {"b": 2}, "c": 3}', Format.JSON, operation)
    assert wire.write(value, Format.JSON, operation) == b'{"a": 1.5, "inner": {"b": 2.0}, "c": 3}'
    assert incompatibilities(schema, compile_proto(text.replace("double b", "double d").encode())) != []
