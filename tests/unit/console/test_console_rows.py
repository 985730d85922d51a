"""A row typed in a form, as the table that the gateway and the commands read."""

from hotswap.batch import Format
from hotswap.codec.proto import compile as compile_proto
from hotswap.console.rows import as_text, command_of, inputs_of
from hotswap.generation import TextOptions

PROTO = b"""
syntax = "proto3";
message Row { optional double age = 1; optional double age_2 = 2; optional double Old = 3; }
service S { rpc f(Row) returns (Row); }
"""
COLUMNS = (("Age", "age"), ("Old", "age"), ("age", "age_2"))


def typed(**values):
    inputs = inputs_of(compile_proto(PROTO).operations["f"], {}, values)
    return as_text(inputs, "", TextOptions(columns=COLUMNS[:1] + COLUMNS[2:]))


def test_a_form_is_a_table_by_the_models_names():
    assert typed(age="1", age_2="2") == (b"Age,age\n1,2\n", Format.CSV)
    assert typed(age_2="2", Old="3") == (b"age,Old\n2,3\n", Format.CSV)


def test_a_field_whose_name_fills_another_one_is_left_out():
    inputs = inputs_of(compile_proto(PROTO).operations["f"], {}, {"age": "1", "Old": "3"})
    assert as_text(inputs, "", TextOptions(columns=(("Old", "age"),))) == (b"Old\n1\n", Format.CSV)


def test_the_command_that_asks_the_same_may_lack_what_the_form_does():
    assert command_of("d", None, b"a\n1\n", Format.CSV).endswith("hotswap predict d row.csv")
    assert command_of("d", "f", b"a\n1\n", Format.CSV, may_lack=True).endswith("--operation f --allow-missing")
