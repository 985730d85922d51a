"""The parts of a swap, or of a scoring with a model of the caller's own, as a call brings them."""

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from pathlib import Path
from typing import NamedTuple, TypeAlias

from hotswap.artifacts.detect import UnknownKind, find_kind
from hotswap.client.change import Change, Rollout
from hotswap.codec.proto import Schema
from hotswap.gateway.bodies import Form
from hotswap.gateway.problems import Problem
from hotswap.generation import Proto
from hotswap.packages.configuration import parse_configuration

Compile: TypeAlias = Callable[[bytes], Awaitable[Schema]]


class SavedModel(NamedTuple):
    """An uploaded model: its local file, its kind and the sender's name for it."""

    path: Path
    kind: str
    name: str | None


async def save_model(form: Form, folder: Path) -> SavedModel:
    """Save the part `model`. Raises Problem: 422, it is no model of a known kind, and no parameter `kind` names one."""
    path, name = await form.save("model", folder)
    if not path.stat().st_size:
        raise Problem(HTTPStatus.BAD_REQUEST, "the part 'model' is empty", part="model")
    try:
        kind = form.text("kind") or find_kind(path)
    except UnknownKind as error:
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, f"the part 'model' {error.why}", part="model") from None
    return SavedModel(path, kind, name or None)


async def proto_of(form: Form, compile_proto: Compile) -> tuple[Proto, Schema]:
    """Return the part `proto`, compiled. Raises SwapError: it does not compile, or has no operation."""
    source = await form.some("proto")
    return Proto.inline(source), await compile_proto(source)


async def change_of(form: Form, folder: Path, compile_proto: Compile, *, configuration: str) -> Change:
    """Return the change that the parts `model`, `proto` and that of the `configuration` make; at least one is there."""
    parts = ("model", "proto", configuration)
    if not any(map(form.has, parts)):
        raise Problem(HTTPStatus.BAD_REQUEST, f"nothing would change: none of the parts {', '.join(parts)} is present")
    model = await save_model(form, folder) if form.has("model") else None
    proto, _ = await proto_of(form, compile_proto) if form.has("proto") else (None, None)
    options = parse_configuration(await form.some(configuration), configuration) if form.has(configuration) else None
    return Change(
        model=model and model.path,
        kind=model and model.kind,
        name=model and model.name,
        proto=proto,
        configuration=options,
        rollout=Rollout(),
    )
