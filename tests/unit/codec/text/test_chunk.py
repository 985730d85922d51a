"""Rows in bulk are the rows one by one: the same bytes, the same reasons, the same numbers, whatever a CSV holds."""

import csv
import io
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hotswap.codec.proto import compile as compile_proto
from hotswap.codec.text.layout import BadRow, Chunk
from hotswap.codec.text.reader import read_rows
from hotswap.generation import TextOptions

FIELDS = """
  {0} double d = 1; {0} float f = 2; {0} int32 i = 3; {0} int64 l = 4; {0} uint32 u = 5; {0} uint64 ul = 16;
  {0} sint32 z = 7; {0} fixed64 x = 8; {0} bool b = 9; {0} string s = 2000; {0} bytes raw = 11; {0} Colour colour = 12;
"""
PROTO = f"""
syntax = "proto3";
package t;
enum Colour {{ COLOUR_UNSPECIFIED = 0; COLOUR_RED = 1; BLUE = 2; }}
message Plain {{ {FIELDS.format("")} }}
message Optional {{ {FIELDS.format("optional")} }}
message Frame {{ repeated Optional rows = 300; }}
service S {{
  rpc Plain_(Plain) returns (Plain); rpc Optional_(Optional) returns (Plain); rpc Frame_(Frame) returns (Plain);
}}
"""
SCHEMA = compile_proto(PROTO.encode(), False)
INPUTS = {name: operation.input for name, operation in SCHEMA.operations.items()}
COLUMNS = ["d", "f", "i", "l", "u", "ul", "z", "x", "b", "s", "raw", "colour", "ignored"]
LIMITS = [0, 1 << 31, 1 << 32, 1 << 53, 1 << 63, 1 << 64]
ODD = [
    *["", "-0", "-0.0", "1e999", "-1e400", "1e-50", "-1e-50", "3.4028235677973365e38", "3.4028235677973366e38", "1e39"],
    *["inf", "-Infinity", "nan", "NaN", "1_0", "+5", ".", "5.", ".5", "5.0", "5.00", "5.5", "1e2", "--1", "5 5", " 7"],
    *[
        "7\t",
        "\x0b7",
        "\xa07",
        "\u0663",
        "NA",
        "null",
        "true",
        "False",
        "blue",
        "RED",
        "2",
        "AQI=",
        "!",
        "\u017c",
        "\udc80",
    ],
    *["a\0", "\0", "x" * 127, "x" * 128, "\u017c" * 300, "y" * 600, "a,b", 'say "x"', "two\nlines", "a\rb", "a\r\nb"],
    *[str(sign * (limit + step)) for limit in LIMITS for step in (-1, 0, 1) for sign in (-1, 1)],
]
PLAIN = st.integers(0, 200).map(str)
NUMBERS = (
    st.floats(width=64).map(repr) | st.floats(width=32).map("{:g}".format) | st.integers(-(1 << 65), 1 << 65).map(str)
)
CELLS = NUMBERS | st.sampled_from(ODD) | st.text(st.characters(codec="utf-8"), max_size=5)


@st.composite
def tables(draw):
    """A CSV: good numbers for the most part, or anything; lines that are no rows; any end of a line."""
    header = draw(
        st.lists(st.sampled_from(COLUMNS), min_size=1, unique=True).filter(lambda names: names != ["ignored"])
    )
    cells = draw(st.sampled_from([PLAIN, CELLS, st.one_of(*[PLAIN] * 9, CELLS)]))
    end = draw(st.sampled_from(["\n", "\r\n", "\r"]))
    text, delimiter = io.StringIO(newline=""), draw(st.shared(DELIMITERS, key="delimiter"))
    quoting = draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))
    writer = csv.writer(text, delimiter=delimiter, lineterminator=end, quoting=quoting)
    writer.writerow(header)
    for _ in range(draw(st.integers(0, 12))):
        if draw(st.integers(0, 20)):
            writer.writerow([draw(cells) for _ in header])
        else:
            text.write(
                draw(st.sampled_from(["", "1", ",".join("123456789abcdef"), '"', '"a"b', '"open\n']) | CELLS) + end
            )
    return text.getvalue().removesuffix(draw(st.sampled_from(["", end])))


DELIMITERS = st.sampled_from([",", ";", "\t", "."])
MISSING = st.sampled_from([{""}, {"", "NA", "0"}, {"", "nan", "null"}, {"NA"}])


def one_by_one(text, message, options):
    rows = read_rows(io.StringIO(text, newline=""), "csv", message, options)
    return [told(rows, row) for row in rows]


def in_bulk(text, message, options):
    rows = read_rows(io.StringIO(text, newline=""), "csv", message, options)
    found = []
    for part in rows.in_bulk():
        if isinstance(part, Chunk):
            found += enumerate(part.values, part.number)
        else:
            found.append(told(rows, part))
    return found


def told(rows, row):
    return str(row) if isinstance(row, BadRow) else (row.number, rows.layout.pack([row.message]).SerializeToString())


@pytest.mark.parametrize("operation", INPUTS)
@pytest.mark.parametrize("column", COLUMNS[:-1])
def test_any_cell_among_plain_ones_has_the_same_bytes_or_reason(operation, column):
    for missing in ({""}, {"", "NA", "5.0"}):
        for cell in ODD:
            text = io.StringIO(newline="")
            csv.writer(text, lineterminator="\n").writerows([[column], ["1"], [cell], ["1"]])
            options = TextOptions(missing=frozenset(missing))
            expected = one_by_one(text.getvalue(), INPUTS[operation], options)
            assert in_bulk(text.getvalue(), INPUTS[operation], options) == expected


@given(
    text=tables(),
    operation=st.sampled_from(list(INPUTS)),
    delimiter=st.shared(DELIMITERS, key="delimiter"),
    missing=MISSING,
    chunk=st.sampled_from([1, 30, 1 << 18]),
)
@settings(max_examples=300, deadline=None)
def test_rows_in_bulk_are_the_rows_one_by_one(text, operation, delimiter, missing, chunk):
    message = INPUTS[operation]
    options = TextOptions(delimiter=delimiter, missing=frozenset(missing))
    with patch("hotswap.codec.text.reader._CHUNK", chunk):
        assert in_bulk(text, message, options) == one_by_one(text, message, options)


def parts(text, message=INPUTS["Frame_"], of=()):
    rows = read_rows(io.StringIO(text, newline=""), "csv", message, TextOptions())
    return [(part.number, len(part.values)) if isinstance(part, Chunk) else part.number for part in rows.in_bulk(of)]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("quoted", ["red", '"red, or ""so"""', '"two\nlines"'])
def test_good_rows_are_in_chunks(end, quoted):
    lines = [f"{number},,{quoted},true,{number / 7}" for number in range(100)]
    assert parts(end.join(["i,f,s,b,d", *lines])) == [(1, 100)]


def test_only_an_odd_row_is_read_by_itself():
    lines = [str(number) for number in range(10)]
    lines[3], lines[4], lines[9] = "nan", "one", "1e999"
    assert parts("\n".join(["d", *lines])) == [(1, 3), 4, 5, (6, 4), 10]


def test_a_chunk_with_a_line_that_is_no_row_is_read_row_by_row():
    with patch("hotswap.codec.text.reader._CHUNK", 8):
        assert parts("d,i\n1,1\n1,1\n1\n1,1\n2,2\n2,2\n") == [1, 2, 3, (4, 3)]


def test_what_the_model_may_not_know_is_told_by_value():
    rows = read_rows(io.StringIO("s,i\nred,1\n,2\nred,3\n"), "csv", INPUTS["Frame_"], TextOptions())
    (chunk,) = rows.in_bulk(["s", "b"])
    assert [(name, row.s, row.HasField("i"), count) for name, row, count in chunk.told] == [
        ("s", "red", False, 2),
        ("s", "", False, 1),
    ]


def test_a_field_that_no_column_fills_and_each_row_has_is_looked_at_row_by_row():
    assert parts("s\nred\nblue\n", INPUTS["Plain_"], ["i"]) == [1, 2]
    assert parts("s\nred\nblue\n", INPUTS["Plain_"], ["s"]) == [(1, 2)]
