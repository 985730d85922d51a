"""The rows that a new generation must score before it serves: samples, and those with golden answers."""

import math
from collections.abc import Iterable
from pathlib import Path

from hotswap.artifacts.store import Store
from hotswap.cli.files import open_rows, read_served
from hotswap.client import protos
from hotswap.client.change import GoldenChoice, compile_file
from hotswap.codec.messages import serialize
from hotswap.codec.proto import Operation, Schema
from hotswap.codec.text.layout import BadRow
from hotswap.errors import UsageError
from hotswap.generation import Configuration, Proto, TextOptions
from hotswap.settings import Settings


async def read_samples(
    settings: Settings, path: Path, proto: Path | Proto | None, configuration: Configuration | None
) -> tuple[bytes, ...]:
    """Encode the rows of a file as input messages of the first operation of `proto` (None: the serving proto).

    They are read by `configuration`, or by the serving one if the proto is the serving one.

    Raises:
        UsageError: a row does not fit; samples are all or nothing.

    """
    options = configuration.table() if configuration else TextOptions()
    if isinstance(proto, Path):
        schema = compile_file(proto)
    elif proto:
        schema = await protos.compile(await Store(settings).fetch_proto(proto), proto.is_descriptor_set)
    else:
        served = await read_served(settings)
        schema = served.schema
        options = options if configuration else served.table(_first(schema))
    samples = []
    with open_rows(path, _first(schema), options) as rows:
        for row in rows:
            if isinstance(row, BadRow):
                raise UsageError(f"samples {path}: {row}")
            samples.append(serialize(rows.layout.pack([row.message])))
    return tuple(samples)


def golden_of(text: str | None) -> Path | GoldenChoice | None:
    """Return the golden answers that --golden names: a file, or what becomes of those before."""
    if text is None:
        return None
    return GoldenChoice(text) if text in list(GoldenChoice) else Path(text)


def tolerances_of(texts: Iterable[str]) -> dict[str, float]:
    """Return the tolerances by field. Raises UsageError."""
    tolerances = {}
    for text in texts:
        name, _, number = text.rpartition("=")
        try:
            tolerances[name] = float(number)
        except ValueError:
            tolerances[name] = math.nan
        if not name or not 0 <= tolerances[name] < math.inf:
            raise UsageError(
                f"--golden-tolerance {text}: write the field and a number that is 0 or more, as p_yes=0.001"
            )
    return tolerances


def _first(schema: Schema) -> Operation:
    return next(iter(schema.operations.values()))
