"""A first swap, its parts, and the commands that a client wrote."""

from fakes.kafka_logs import FakeCluster
from hotswap.client.change import Change, Receipt
from hotswap.client.client import Client
from hotswap.commands import decode_command
from hotswap.generation import Model, Proto
from hotswap.settings import Settings
from hotswap.swap.command import Command

SHA = "a" * 64
MODEL = Model("file:///m.zip", SHA)
PROTO = 'syntax="proto3"; message A { optional double x = 1; } message B { string y = 1; } '
SERVICE = "service S { rpc P(A) returns (B); }"


def proto(text: str = PROTO + SERVICE) -> Proto:
    return Proto.inline(text)


def commands(cluster: FakeCluster, settings: Settings) -> list[Command]:
    return [decode_command(record.value)[1] for record in cluster.topics[settings.topics.control][0]]


async def first_swap(client: Client) -> Receipt:
    return await client.swap(Change(model=MODEL, proto=proto()))
