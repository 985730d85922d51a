"""A Python model over HTTP: put through the gateway, and asked by the paper's endpoints and the plain API."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import httpx

from faults.python_model_cases import PythonCase
from harness.calls import Gateway
from harness.fleet import Deployment
from hotswap.artifacts.detect import as_file
from hotswap.batch import Format
from hotswap.codec.proto import Operation
from hotswap.codec.text.layout import Layout

_AT_ONCE = 8
_LONGEST_S = 900
_JSON = {"accept": Format.JSON.value}


class OverHttp:
    """Calls of a deployment's gateway, which runs the models that calls bring, too."""

    def __init__(self, client: httpx.AsyncClient, deployment: str) -> None:
        self._client = client
        self._predict = f"/v1/{deployment}/predict"
        self._turns = asyncio.Semaphore(_AT_ONCE)

    @classmethod
    @asynccontextmanager
    async def started(cls, deployment: Deployment) -> AsyncIterator["OverHttp"]:
        """Yield the calls of a gateway that runs until the block ends."""
        served = await Gateway(deployment, "gateway", "--allow-foreign-code").start()
        try:
            async with httpx.AsyncClient(base_url=served.address, timeout=_LONGEST_S) as client:
                yield cls(client, deployment.name)
        finally:
            served.kill()

    async def faults(self, case: PythonCase) -> list[str]:
        """Put a model, ask for all its rows in each way, and return what is not as expected."""
        with as_file(case.folder) as packed:
            model = {"model": (f"{case.name}.zip", packed.read_bytes()), "proto": case.proto}
        put = await self._client.put("/model", files=model)
        if put.status_code != httpx.codes.OK:
            return [f"PUT /model: {put.status_code}: {put.text}"]
        ways = {
            "/v1/…/predict": self._table,
            "/v1/…/predict as protobuf": self._each,
            "/model/methods": self._message,
            "/transformJSONDefault": self._transformed,
        }
        found = []
        for operation in case.operations:
            for name, way in ways.items():
                found += [f"{name}: {fault}" for fault in await way(case, operation)]
            found += [f"/transformJSON: {fault}" for fault in await self._own(case, operation, model)]
        return found

    async def _table(self, case: PythonCase, operation: Operation) -> list[str]:
        """JSON in and out, all rows in one call."""
        table = case.as_table()
        call = {"json": table.rows, "params": {"operation": operation.name}}
        answer = await self._posted(self._predict, **call)
        if isinstance(answer, str):
            return [answer]
        return table.faults(operation, (one.get("prediction", str(one)) for one in json.loads(answer)["predictions"]))

    async def _each(self, case: PythonCase, operation: Operation) -> list[str]:
        """JSON in and protobuf out."""
        table = case.as_table()
        headers = {"content-type": Format.JSON.value, "accept": Format.PROTOBUF.value}
        calls = ({"content": row, "headers": headers, "params": {"operation": operation.name}} for row in table.texts())
        return table.faults(operation, await self._all(self._predict, calls))

    async def _message(self, case: PythonCase, operation: Operation) -> list[str]:
        """Protobuf in and out."""
        headers = {"content-type": Format.PROTOBUF.value, "accept": Format.PROTOBUF.value}
        calls = ({"content": value, "headers": headers} for value in case.messages(operation))
        return case.faults(operation, await self._all(f"/model/methods/{operation.name}", calls))

    async def _transformed(self, case: PythonCase, operation: Operation) -> list[str]:
        """A file of JSON in, JSON out: one call, or where the reply would be one message of all, a call for each."""
        table = case.as_table()
        parts = [table.texts()] if not _holds_many(operation) else [[text] for text in table.texts()]
        calls = (_form(operation, part) for part in parts)
        return table.faults(operation, _joined(await self._all("/transformJSONDefault", calls)))

    async def _own(self, case: PythonCase, operation: Operation, model: dict[str, Any]) -> list[str]:
        """The same with a model of the call's own, which the gateway runs: the first row where a call takes one."""
        table = case.as_table()
        if _holds_many(operation):
            table = table.head(1)
        answer = await self._posted("/transformJSON", **_form(operation, table.texts(), **model))
        return table.faults(operation, _joined([answer]))

    async def _all(self, path: str, calls: Any) -> Sequence[bytes | str]:
        return await asyncio.gather(*(self._posted(path, **call) for call in calls))

    async def _posted(self, path: str, **call: Any) -> bytes | str:
        """Return the body of a reply, or as a text what is wrong."""
        async with self._turns:
            reply = await self._client.post(path, **call)
        return reply.content if reply.status_code == httpx.codes.OK else f"{reply.status_code}: {reply.text}"


def _holds_many(operation: Operation) -> bool:
    return Layout(operation.input).holds_many


def _form(operation: Operation, texts: Sequence[bytes], **more: Any) -> dict[str, Any]:
    table = b"[" + b",".join(texts) + b"]"
    files = {"jsonFile": ("rows.json", table), **more}
    return {"files": files, "data": {"operation": operation.name}, "headers": _JSON}


def _joined(replies: Sequence[bytes | str]) -> list[Any]:
    """Return the answers in replies that are lists, or a message each."""
    found: list[Any] = []
    for reply in replies:
        answer = reply if isinstance(reply, str) else json.loads(reply)
        found += answer if isinstance(answer, list) else [answer]
    return found
