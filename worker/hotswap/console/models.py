"""The models in a deployment's control log: their serving times and files."""

import asyncio
import re
import shlex
import tempfile
from collections.abc import AsyncIterator, Mapping
from http import HTTPStatus
from pathlib import PurePath
from typing import BinaryIO, NamedTuple
from urllib.parse import unquote

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from hotswap.artifacts.places import without_secrets
from hotswap.artifacts.store import Store
from hotswap.client.overview import Overview
from hotswap.console.facts import generation_of
from hotswap.console.shared import Shared
from hotswap.gateway.problems import Problem
from hotswap.generation import Model

TAB = "models"
_CHUNK = 1 << 20


class ServedGeneration(NamedTuple):
    """A generation of a model, and when the first worker served it (ms since the epoch; None: not known, or never)."""

    generation: int
    at_ms: float | None


class KnownModel(NamedTuple):
    """A model: its generations, the newest first, and whether it serves now."""

    model: Model
    place: str
    generations: list[ServedGeneration]
    is_serving: bool


class ModelPages:
    """The pages of each deployment under /d/{deployment}/models."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [
            Route("/d/{deployment}/models", self.show, methods=["GET"]),
            Route("/d/{deployment}/models/{sha256}", self.download, methods=["GET"]),
        ]

    async def show(self, request: Request) -> Response:
        """Show the models."""
        name = self._shared.deployment(request).name
        view = (await self._shared.watch.first(name)).view
        models = list(_known(view).values()) if view else []
        command = f"hotswap rollback {shlex.quote(name)} --to GENERATION"
        return await self._shared.page(request, "models", TAB, models=models, command=command)

    async def download(self, request: Request) -> Response:
        """Send the file of a model, verified before its first byte."""
        deployment = self._shared.deployment(request)
        view = (await self._shared.watch.first(deployment.name)).view
        known = _known(view).get(request.path_params["sha256"]) if view else None
        if known is None:
            detail = f"the control log of {deployment.name} knows no model with this digest"
            raise Problem(HTTPStatus.NOT_FOUND, detail)
        file: BinaryIO = tempfile.TemporaryFile(prefix="hotswap-console-")  # noqa: SIM115 - closed once it is sent
        try:
            await Store(deployment.settings).save(known.model, file)
        except BaseException:
            file.close()
            raise
        headers = {"Content-Disposition": f'attachment; filename="{_file_name(known.model)}"'}
        return StreamingResponse(_chunks(file), media_type="application/octet-stream", headers=headers)


async def _chunks(file: BinaryIO) -> AsyncIterator[bytes]:
    with file:
        file.seek(0)
        while chunk := await asyncio.to_thread(file.read, _CHUNK):
            yield chunk


def _file_name(model: Model) -> str:
    suffix = PurePath(unquote(without_secrets(model.uri))).suffix
    return re.sub(r"[^A-Za-z0-9._-]", "_", f"{model.name or model.sha256[:12]}{suffix}")


def _known(view: Overview) -> Mapping[str, KnownModel]:
    """Return the models by digest, the one of the newest generation first."""
    since = {one.entry.verdict.generation: one.served_at for one in view.commands if one.served_at}
    serving, known = generation_of(view), dict[str, KnownModel]()
    for swap in reversed(view.swaps):
        model, at = swap.generation.model, since.get(swap.number)
        model_entry = known.setdefault(
            model.sha256, KnownModel(model, without_secrets(model.uri), [], is_serving=False)
        )
        model_entry.generations.append(ServedGeneration(swap.number, at and at * 1000))
        if swap.number == serving:
            known[model.sha256] = model_entry._replace(is_serving=True)
    return known
