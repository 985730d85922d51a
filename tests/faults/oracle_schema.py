"""The proto of the fuzzed requests, defined again for the oracles, and the values that its fields accept."""

import base64
import re

from faults.wire_oracle import Field, Refused

PROTO = b"""
syntax = "proto3";
enum Color { COLOR_UNSPECIFIED = 0; COLOR_RED = 1; COLOR_GREEN = 2; BLUE = 3; }
message Address { string city = 1; optional int32 number = 2; Address inner = 3; }
message Row {
  optional double x0 = 1; optional float x1 = 2; optional int32 x2 = 3; optional int64 x3 = 4; optional sint32 x4 = 5;
  optional bool x5 = 6; uint32 x6 = 7; optional fixed64 x7 = 8; optional double x8 = 9; Color color = 10;
  string country = 11; bytes raw = 12; repeated int32 many_numbers = 13; map<string, double> tags = 14;
  Address address = 15; float y = 16;
}
message Frame { repeated Row rows = 1; }
message Value { double value = 1; }
message Values { repeated double value = 1; }
service Estimator { rpc One(Row) returns (Value); rpc Many(Frame) returns (Values); }
"""
ADDRESS = {"city": Field(1, "string"), "number": Field(2, "int32", "optional")}
ADDRESS["inner"] = Field(3, ADDRESS)
ROW = {
    "x0": Field(1, "double", "optional"), "x1": Field(2, "float", "optional"), "x2": Field(3, "int32", "optional"),
    "x3": Field(4, "int64", "optional"), "x4": Field(5, "sint32", "optional"), "x5": Field(6, "bool", "optional"),
    "x6": Field(7, "uint32"), "x7": Field(8, "fixed64", "optional"), "x8": Field(9, "double", "optional"),
    "color": Field(10, "enum"), "country": Field(11, "string"), "raw": Field(12, "bytes"),
    "many_numbers": Field(13, "int32", "repeated"), "tags": Field(14, "double", "map"), "address": Field(15, ADDRESS),
    "y": Field(16, "float"),
}  # fmt: skip
FRAME = {"rows": Field(1, ROW, "repeated")}
COLORS = {"COLOR_UNSPECIFIED": 0, "COLOR_RED": 1, "COLOR_GREEN": 2, "BLUE": 3}
RANGES = {
    "int32": (-(2**31), 2**31), "sint32": (-(2**31), 2**31), "enum": (-(2**31), 2**31), "int64": (-(2**63), 2**63),
    "uint32": (0, 2**32), "fixed64": (0, 2**64),
}  # fmt: skip
FLOAT_MAX = (2 - 2**-23) * 2.0**127


def utf8(text):
    try:
        text.encode()
    except UnicodeEncodeError:
        raise Refused("no UTF-8") from None
    return text


def finite(kind, number):
    if abs(number) > (FLOAT_MAX if kind == "float" else 1.7976931348623157e308):
        raise Refused("out of range")
    return number


def in_range(kind, number):
    low, high = RANGES[kind]
    if not low <= number < high:
        raise Refused("out of range")
    return number


def base64_bytes(text):
    bare = text.rstrip("=").replace("-", "+").replace("_", "/")
    padding = len(text) - len(bare)
    if not re.fullmatch(r"[A-Za-z0-9+/]*", bare) or len(bare) % 4 == 1 or padding not in (0, -len(bare) % 4):
        raise Refused("no base64")
    return base64.b64decode(bare + "=" * (-len(bare) % 4))
