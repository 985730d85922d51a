"""What the golden files of formats are made of."""

import base64
import json
from types import SimpleNamespace
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from google.protobuf.timestamp_pb2 import Timestamp

from hotswap.batch import Limits
from hotswap.generation import Configuration, Generation, Model, Policy, Proto, TextOptions, frozen
from hotswap.pipeline.addressing import Address
from hotswap.pipeline.admission import Rules
from hotswap.settings import Settings
from hotswap.swap.command import SwapCommand
from hotswap.trust.keys import Signer

DIGEST = "0123456789abcdef" * 4
PROTO = """syntax = "proto3";
package golden;
message Row { optional double x = 1; }
message Score { double y = 1; }
service Model { rpc score(Row) returns (Score); }
"""
MODEL = Model("s3://models/churn.zip", DIGEST, "h2o", "churn")
CONFIGURATION = Configuration(
    columns=frozen({"X": "x"}),
    outputs=frozen({"y": "predict"}),
    missing=Policy.REFUSE,
    mistyped=Policy.ACCEPT,
    unknown_category=Policy.REFUSE,
    max_batch_records=500,
    max_request_bytes=100_000,
    deadline_ms=5_000,
    runtime=frozen({"contributions": "true"}),
    text=TextOptions(delimiter=";", missing=frozenset({"", "NA"}), is_strict=False),
)
SWAP = SwapCommand(
    command_id="c1",
    generation=1,
    model=MODEL,
    proto=Proto.inline(PROTO),
    configuration=CONFIGURATION,
    samples=(b"\x09\0\0\0\0\0\0\xf0?",),
    cut={3: 70},
    not_after_ms=1_800_000_000_123,
    deadline_ms=60_000,
)
TOPIC, CLUSTER = "hotswap.control", "fake-cluster"
SETTINGS = Settings(deployment="d", worker_id="w1", compression="lz4", control_topic=TOPIC)
ADDRESS = Address(
    Generation(7, MODEL, Proto.inline(PROTO), CONFIGURATION, ()),
    Rules(proto_sha256=DIGEST, operations=("score",), max_request_bytes=1_000),
    "d.requests-3",
    Limits(prediction=1 << 20, dead_letter=400),
)
KEY = Signer(Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
FILES = {"model.ini": b"[info]\n", "data/part-00000.json": b"{}\n"}
"""What is in the model of the store's and the cache's golden files, a saved pipeline."""


def records(*given: tuple[bytes | None, bytes | None, Any]) -> bytes:
    """Records as text: key, value and headers, each in base64."""
    plain = [
        {"key": text(key), "value": text(value), "headers": [[name, text(held)] for name, held in headers]}
        for key, value, headers in given
    ]
    return (json.dumps(plain, indent=1) + "\n").encode()


def parsed(content: bytes) -> list[SimpleNamespace]:
    """The records of a golden file, as a reader gives them."""
    return [
        SimpleNamespace(
            offset=at,
            timestamp=1_790_000_000_000,
            key=raw(one["key"]),
            value=raw(one["value"]),
            headers=[(name, raw(held)) for name, held in one["headers"]],
        )
        for at, one in enumerate(json.loads(content))
    ]


def text(value: bytes | None) -> str | None:
    return None if value is None else base64.b64encode(value).decode()


def raw(value: str | None) -> bytes | None:
    return None if value is None else base64.b64decode(value)


def fixed_now() -> Timestamp:
    return Timestamp(seconds=1_790_000_000)
