"""The socket that a gateway listens on."""

import asyncio
import socket

from hotswap.gateway.server import GatewayOptions, _bind


async def test_a_reply_does_not_wait_for_the_clients_acknowledgement() -> None:
    options = GatewayOptions(
        host="127.0.0.1", port=0, timeout_s=1, max_waiting=1, body_bytes=1, hosts=1, is_foreign_code_allowed=False
    )
    seen: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = writer.get_extra_info("socket")
        seen.set_result(connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        writer.close()

    async with await asyncio.start_server(greet, sock=_bind(options)) as server:
        _, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        assert await seen
        writer.close()
        await writer.wait_closed()
