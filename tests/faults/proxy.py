"""A loopback proxy between workers and a broker that delays, holds, cuts, delivers requests late, and forges.

Kafka's protocol is a stream of frames, each led by its size (4 bytes). A request's next bytes are its kind (2), version
(2) and correlation id (4); an answer's are the correlation id. The proxy parses no further, except in answers to a
Fetch, whose batches it can change in transit (`fetches.py`), and for a `tap` (`transactional_frames.py`). The broker
must advertise the proxy's own port to clients that connect through it (`brokers.py`).
"""

import asyncio
import contextlib
import random
import struct

from faults import fetches, transactional_frames

END_TXN = 26
TXN_OFFSET_COMMIT = 28
_OF_NOBODY = struct.pack(">qh?", -1, -1, False), struct.pack(">qh?B", -1, -1, False, 0)
"""The end of an EndTxn by which a worker asks for its rights (kafka/client/rights.py), of flexible versions, too; it
commits nothing."""


class Held:
    """Requests of one kind that are held back; `answers` are the broker's answers once they arrive at last."""

    def __init__(self, api_key, count):
        self.api_key = api_key
        self.caught = 0
        self.answers = []
        self._left = count
        self._is_full = asyncio.Event()
        self._is_answered = asyncio.Event()
        self._is_released = asyncio.Event()

    def release(self):
        """Release what is held, whether or not the client still waits for it, and hold no more."""
        self._left = 0
        self._is_released.set()

    async def full(self, timeout=30):
        """Wait until as many requests are held as were asked for."""
        async with asyncio.timeout(timeout):
            await self._is_full.wait()

    async def answered(self, timeout=30):
        """Return the broker's answers, without size and correlation id, once it has answered all held requests."""
        async with asyncio.timeout(timeout):
            await self._is_answered.wait()
        return self.answers

    def takes(self, request):
        if not self._left or request[4:6] != struct.pack(">h", self.api_key) or request.endswith(_OF_NOBODY):
            return False
        self._left -= 1
        self.caught += 1
        if not self._left:
            self._is_full.set()
        return True

    async def released(self):
        await self._is_released.wait()

    def note(self, answer):
        self.answers.append(answer[8:])
        if len(self.answers) == self.caught:
            self._is_answered.set()


class Proxy:
    """Listens on a port of 127.0.0.1 and forwards everything to another place; `async with` starts and stops it."""

    def __init__(self, *, listen_port, target_port, host="127.0.0.1", seed=0):
        self.port = listen_port
        self.random = random.Random(seed)
        self.delay_s = 0.0
        self.change = None
        """Changes a fetched batch: (topic, partition, bytes) -> bytes. None: no change."""
        self.tap = None
        """Sees requests of a transactional id, and their answers, each before it passes (`late_copies.py`)."""
        self.target = host, target_port
        self._held_share = 0.0
        self._filters = []
        self._links = {}
        self._server = None

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        return self

    async def __aexit__(self, *_):
        self._server.close()
        tasks = list(self._links)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._server.wait_closed()

    @property
    def bootstrap(self):
        """Bootstrap server of the way through it."""
        return f"127.0.0.1:{self.port}"

    def delay(self, seconds):
        """Delay each request and each answer by so long, one after the other."""
        self.delay_s = seconds

    def hold(self, share=1.0):
        """Block about this share of the connections' directions; a frame in transit is torn in two."""
        self._held_share = share
        for link in self._links.values():
            link.hold(share)

    def release(self):
        """End `hold`: forward everything that waited, even to the broker from clients that are gone."""
        self._held_share = 0.0
        for link in self._links.values():
            link.release()

    def cut(self):
        """Close every connection; of those with a held request only the client's side, so that it still arrives."""
        for task, link in self._links.items():
            if link.is_holding_request:
                link.leave_client()
            else:
                task.cancel()

    def hold_requests(self, api_key=END_TXN, count=1):
        """Hold the next requests of a kind, with all that follows on their connections; return the `Held`."""
        held = Held(api_key, count)
        self._filters.append(held)
        return held

    def release_held(self):
        """Release every `Held`."""
        for held in self._filters:
            held.release()
        self._filters.clear()

    def heal(self):
        """End delays and holds of every kind."""
        self.delay(0)
        self.release()
        self.release_held()

    def held_by(self, request):
        """Return the filter that holds a request back, or None."""
        return next((held for held in self._filters if held.takes(request)), None)

    def _accept(self, reader, writer):
        link = _Link(self, reader, writer)
        link.hold(self._held_share)
        task = asyncio.create_task(link.run(*self.target))
        self._links[task] = link
        task.add_done_callback(self._ended)

    def _ended(self, task):
        self._links.pop(task).leave_client()


class _Link:
    """A client's connection and its counterpart to the broker; it ends when the broker's side does."""

    def __init__(self, proxy, reader, writer):
        self.is_holding_request = False
        self._proxy = proxy
        self._client_reader, self._client = reader, writer
        self._gates = {"requests": asyncio.Event(), "answers": asyncio.Event()}
        self._late = {}
        self._fetches = {}
        self._tapped = {}
        self.release()

    def hold(self, share):
        for gate in self._gates.values():
            if self._proxy.random.random() < share:
                gate.clear()

    def release(self):
        for gate in self._gates.values():
            gate.set()

    def leave_client(self):
        self._client.transport.abort()

    async def run(self, host, port):
        try:
            reader, broker = await asyncio.open_connection(host, port)
        except OSError:
            return  # the broker is down: the client learns it by the end of its connection
        try:
            async with asyncio.TaskGroup() as both:
                requests = both.create_task(self._pass_requests(broker))
                await self._pass_answers(reader)
                requests.cancel()
        finally:
            broker.transport.abort()

    async def _pass_requests(self, broker):
        while request := await _frame(self._client_reader):
            if held := self._proxy.held_by(request):
                self._late[request[8:12]] = held
                self.is_holding_request = True
                await held.released()
                self.is_holding_request = False
            if self._proxy.change and (version := fetches.version_of(request)):
                self._fetches[request[8:12]] = version
            transactional = transactional_frames.request(request) if self._proxy.tap else None
            if transactional and not request.endswith(_OF_NOBODY):
                await self._proxy.tap.requested(transactional)
                self._tapped[request[8:12]] = transactional
            await self._pass(request, broker, self._gates["requests"])
        if not broker.is_closing():
            # Only half of the connection: the broker must still answer what came before, and then closes its half.
            with contextlib.suppress(OSError):  # it has been cut off meanwhile
                broker.write_eof()

    async def _pass_answers(self, reader):
        while answer := await _frame(reader):
            if held := self._late.pop(answer[4:8], None):
                held.note(answer)
            version = self._fetches.pop(answer[4:8], None)
            if version and self._proxy.change:
                answer = fetches.changed(answer, version, self._proxy.change)
            if (transactional := self._tapped.pop(answer[4:8], None)) and self._proxy.tap:
                await self._proxy.tap.answered(transactional, answer)
            await self._pass(answer, self._client, self._gates["answers"])

    async def _pass(self, frame, writer, gate):
        if self._proxy.delay_s:
            await asyncio.sleep(self._proxy.delay_s)
        if not gate.is_set():
            torn = self._proxy.random.randrange(len(frame))
            await _write(writer, frame[:torn])
            await gate.wait()
            frame = frame[torn:]
        await _write(writer, frame)


async def _write(writer, part):
    """Write, or drop the data if nobody reads it any more: a client that is gone must not cancel what is in transit."""
    try:
        if not writer.is_closing():
            writer.write(part)
            await writer.drain()
    except ConnectionError:
        writer.transport.abort()


async def _frame(reader):
    """Return the next frame with its size, or nothing at the end."""
    try:
        size = await reader.readexactly(4)
        return size + await reader.readexactly(int.from_bytes(size, "big"))
    except (asyncio.IncompleteReadError, OSError):
        return b""
