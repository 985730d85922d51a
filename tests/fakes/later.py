"""Commands that need a later version of the control log's contract than the tests' own code knows."""

from hotswap.commands import encode_command
from hotswap.swap.command import VERSION, Command
from hotswap.v1 import control_pb2 as wire

UNKNOWN = b"\xf2\x01\x02\x08\x07"
"""Field 30 of a command, a message: a kind that this version does not know."""


def needing(value: bytes, version: int = VERSION + 1) -> bytes:
    """The same command, which says that it needs this version."""
    return value + wire.Command(least_version=version).SerializeToString()


def later(command: Command, version: int = VERSION + 1, deployment: str = "d") -> bytes:
    return needing(encode_command(deployment, command), version)


def of_unknown_kind(command_id: str = "later", version: int = VERSION + 1, deployment: str = "d") -> bytes:
    return needing(wire.Command(command_id=command_id, deployment=deployment).SerializeToString() + UNKNOWN, version)
