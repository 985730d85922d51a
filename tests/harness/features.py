"""Raises and lowers a feature's level on a running Kafka cluster (KIP-584), as `kafka-features.sh` does."""

import socket
import struct

_UPDATE_FEATURES, _VERSION, _TIMEOUT_MS = 57, 1, 30_000
_UPGRADE, _SAFE_DOWNGRADE = 1, 2


def set_level(bootstrap: str, feature: str, level: int, *, is_lowered: bool) -> None:
    """Set a feature's finalised level.

    Raises:
        OSError: the broker cannot be reached.
        AssertionError: it refuses, with its error code.

    """
    host, port = bootstrap.split(",", maxsplit=1)[0].split(":")
    with socket.create_connection((host, int(port)), timeout=_TIMEOUT_MS / 1_000) as link:
        link.sendall(_request(feature, level, is_lowered=is_lowered))
        with link.makefile("rb") as answer:
            body = answer.read(int.from_bytes(answer.read(4), "big"))
    # Correlation id (4), tags (1), throttle time (4); then the error.
    (code,) = struct.unpack_from(">h", body, 9)
    if code:
        raise AssertionError(f"{feature} does not become {level}: error {code}, {body[11:]!r}")


def _request(feature: str, level: int, *, is_lowered: bool) -> bytes:
    """Return an UpdateFeatures, with its size: https://kafka.apache.org/protocol#The_Messages_UpdateFeatures."""
    name = feature.encode()
    update = (
        struct.pack(">B", len(name) + 1)
        + name
        + struct.pack(">hbB", level, _SAFE_DOWNGRADE if is_lowered else _UPGRADE, 0)
    )
    head = struct.pack(">hhih1sB", _UPDATE_FEATURES, _VERSION, 1, 1, b"h", 0)
    body = head + struct.pack(">iB", _TIMEOUT_MS, 2) + update + struct.pack(">?B", False, 0)
    return struct.pack(">i", len(body)) + body
