"""Protos for Spark's fast path: operations of flat rows, and of rows that are not, of the tests' models."""

from dataclasses import dataclass, field
from typing import Any

from fakes.flat import Requests
from hotswap.generation import Configuration, Policy, frozen


@dataclass(frozen=True)
class Flat:
    """A model with operations by name, each "Input Output"; `others` have no fast path, with the reason's beginning."""

    model: str
    messages: str
    operations: dict[str, str]
    others: dict[str, tuple[str, str]] = field(default_factory=dict)
    configuration: Configuration = field(default_factory=Configuration)

    @property
    def proto(self) -> bytes:
        """The proto of all of them."""
        every = self.operations | {name: messages for name, (messages, _) in self.others.items()}
        pairs = {name: messages.split() for name, messages in every.items()}
        rpcs = "".join(f"rpc {name}({taken}) returns ({given}); " for name, (taken, given) in pairs.items())
        return f'syntax = "proto3"; {self.messages} service S {{ {rpcs} }}'.encode()


_TEXTS = {"plan": ("basic", "pro", "team"), "region": ("eu", "us", "apac")}


class CustomersRequests(Requests):
    """Random requests, whose plans and regions are usually known to the models."""

    def _usual(self, part: Any) -> Any:
        known = _TEXTS.get(part.name) if part.type == part.TYPE_STRING else None
        return self._random.choice(known) if known else super()._usual(part)


_CUSTOMER = """
message Row { optional string plan = 1; string region = 2; optional double age = 3; double balance = 4; int32 calls = 5;
  string note = 11; bytes raw = 12; repeated double many = 13; Row inner = 14; }
message Rows { repeated Row rows = 3; string note = 4; }
message Parsed { string plan = 1; string region = 2; double age = 3; double balance = 4; string calls = 5; }
"""
_ENUMS = """
enum Plan { nothing = 0; basic = 1; pro = 2; team = 3; gold = 4; odd = -5; }
enum Region { eu = 0; us = 1; apac = 2; mars = 3; }
message Coded { Plan plan = 1; optional Region region = 2047; float age = 3; optional sint64 balance = 4;
  bool calls = 5; }
message CodedRows { repeated Coded rows = 1; string note = 2; }
message Nested { Coded row = 1; }
"""
_ANSWERS = """
message Every { double prediction = 1; repeated double probability = 2; string churn = 3;
  repeated float rawPrediction = 400; optional int32 label = 4; }
enum Said { NO = 0; YES = 1; }
message Labels { string prediction = 9; optional Said churn = 1; float label = 4; }
message Score { int64 prediction = 1; repeated double probability = 2; }
message Table { repeated Score scores = 17; }
message Lists { repeated float probability = 4; repeated string churn = 1; repeated double prediction = 2; }
message Packed { repeated int64 prediction = 1; repeated Said churn = 300; repeated int32 label = 3 [packed = false]; }
"""
_STATEMENT = """
message Row { optional double a = 1; int64 b = 2; optional int64 c = 3; bool d = 4; string note = 11; }
message Answer { double twice = 1; double next = 2; optional string positive = 3; int64 cluster = 4; }
message Whole { optional int64 next = 1; }
message Level { string level = 1; }
"""
_POINT = """
message Row { double x = 1; optional float y = 2; }
message Answer { fixed32 prediction = 3; double cluster = 2; }
"""

CHURN = Flat(
    "churn",
    _CUSTOMER + _ENUMS + _ANSWERS,
    {
        "single": "Row Every",
        "labels": "Row Labels",
        "coded": "Coded Every",
        "rows": "Rows Table",
        "lists": "Rows Lists",
        "packed": "Rows Packed",
    },
    {
        "parsed": ("Parsed Every", "column `calls` comes from `calls`, which is nested or parsed"),
        "nested": ("Nested Every", "column `plan` comes from `row.plan`, which is nested"),
    },
)
SQL = Flat(
    "sql",
    _STATEMENT,
    {"statement": "Row Answer", "whole": "Row Whole"},
    {"level": ("Row Level", "output `level` is any text")},
    Configuration(runtime=frozen({"schema": "a DOUBLE, b SMALLINT, c BIGINT, d BOOLEAN"})),
)
FLAT = {
    "churn": CHURN,
    "forest, nothing may be missing": Flat(
        "forest",
        _CUSTOMER + _ENUMS + _ANSWERS,
        {"single": "Row Score", "rows": "CodedRows Table"},
        configuration=Configuration(missing=Policy.REFUSE),
    ),
    "sql": SQL,
    "halves": Flat("halves", _POINT, {"point": "Row Answer"}),
}
