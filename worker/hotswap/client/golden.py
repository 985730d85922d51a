"""The golden answers of a swap: read, and checked against its proto; or what becomes of the base's."""

import asyncio
import time
from pathlib import Path

from hotswap.artifacts.store import Store
from hotswap.client import protos
from hotswap.client.change import Change, GoldenChoice
from hotswap.client.fleet import Fleet
from hotswap.client.loadable import check_contract
from hotswap.codec.golden import GoldenAnswers
from hotswap.codec.text.golden_rows import read_golden
from hotswap.errors import UsageError
from hotswap.generation import Configuration, Proto
from hotswap.swap.command import STAGED
from hotswap.swap.timeline import Swap


async def golden_document(
    change: Change, base: Swap | None, proto: Proto | None, fleet: Fleet, store: Store
) -> bytes | None:
    """Return the document of a swap's golden answers; None: the swap names none, and inherits the base's, if any.

    It is empty if the base's are to be compared no more. `proto` is that of the new generation.

    Raises:
        UsageError: the base has some, and nothing says whether the new model or proto must give them; the file does not
            fit the proto; or a live worker does not know golden answers.

    """
    choice, old = change.golden, base.generation.golden if base else None
    if change.golden_tolerances and not isinstance(choice, Path):
        raise UsageError("tolerances are those of a file of golden answers: name it with `--golden FILE`")
    if choice is None or choice is GoldenChoice.INHERIT:
        _check_inherited(change, base)
        return None
    if choice is GoldenChoice.NONE and old is None:
        return None
    check_contract(STAGED, "golden answers", fleet.workers.values(), time.time())
    if isinstance(choice, GoldenChoice):
        return b""
    answers = choice
    if isinstance(answers, Path):
        answers = await _read(answers, change, base, proto, fleet, store)
    try:
        return answers.dump()
    except ValueError as error:
        raise UsageError(f"the golden answers cannot be published: {error}") from error


def _check_inherited(change: Change, base: Swap | None) -> None:
    has_some = base is not None and base.generation.golden is not None
    if change.golden is GoldenChoice.INHERIT:
        if not has_some:
            raise UsageError("there are no golden answers to inherit: the generation before has none")
        return
    if has_some and base and (change.model or change.proto):
        what = "model" if change.model else "proto"
        raise UsageError(
            f"generation {base.number} has golden answers, and this swap replaces its {what}: choose `--golden "
            "inherit` if the new generation must give the same ones, `--golden FILE` for others, or `--golden none`"
        )


async def _read(
    path: Path, change: Change, base: Swap | None, proto: Proto | None, fleet: Fleet, store: Store
) -> GoldenAnswers:
    if proto is None:
        raise UsageError("golden answers need a proto, and the deployment has none yet")
    schema = await protos.compile(await store.fetch_proto(proto), proto.is_descriptor_set)
    configuration = change.configuration or (base.generation.configuration if base else Configuration())
    told = fleet.told.get(base.command_id, {}).values() if base and not change.proto else ()
    columns = next((outcome.fields for outcome in told if outcome.fields), {})
    options = configuration.table(columns.get(next(iter(schema.operations))))
    return await asyncio.to_thread(read_golden, path, schema, options, change.golden_tolerances)
