"""Reads a configuration from a file: JSON with its fields, or the `modelConfig.properties` of an Acumos model."""

import codecs
import json
from dataclasses import fields
from pathlib import Path
from typing import Any

from hotswap.errors import UsageError
from hotswap.generation import Configuration, Policy, TextOptions, frozen

_MAPPINGS = ("columns", "outputs", "runtime")
_POLICIES = ("missing", "mistyped", "unknown_category")


def read_configuration(path: Path) -> Configuration:
    """Read a JSON file with the fields of Configuration: {"missing": "refuse", "columns": {"Age": "age"}, ...}.

    The entries of a `.properties` file become the runtime's options, unchanged.

    Raises:
        UsageError: the file cannot be read, or is not a configuration; the message names the field.

    """
    try:
        data = path.read_bytes()
        is_java = path.suffix == ".properties"
        document = {"runtime": read_properties(data)} if is_java else json.loads(data.decode("utf-8-sig"))
    except (OSError, ValueError) as error:
        raise UsageError(f"configuration {path} cannot be read: {error}") from error
    return configuration_of(document, str(path))


def parse_configuration(content: bytes, name: str) -> Configuration:
    """Read the content of either, a JSON object or properties; errors call it `name`.

    Raises:
        UsageError: it is not a configuration; the message names the field.

    """
    try:
        is_json = content.removeprefix(codecs.BOM_UTF8).lstrip().startswith(b"{")
        document = json.loads(content.decode("utf-8-sig")) if is_json else {"runtime": read_properties(content)}
    except ValueError as error:
        raise UsageError(f"configuration {name} cannot be read: {error}") from error
    return configuration_of(document, name)


def configuration_of(document: Any, name: str) -> Configuration:
    """Convert such a JSON document to a configuration; errors call it `name`.

    Raises:
        UsageError: it is not a configuration; the message names the field.

    """
    known = {part.name for part in fields(Configuration)}
    if not isinstance(document, dict) or not set(document) <= known:
        odd = (
            "unknown fields " + ", ".join(sorted(set(document) - known))
            if isinstance(document, dict)
            else "not an object"
        )
        raise UsageError(f"configuration {name}: {odd}; it must be a JSON object of {', '.join(sorted(known))}")
    return Configuration(**{part: _option(name, part, value) for part, value in document.items()})


def document_of(configuration: Configuration) -> dict[str, Any]:
    """Convert a configuration to its JSON document, without defaults."""
    default = Configuration()
    document = {
        part.name: getattr(configuration, part.name)
        for part in fields(Configuration)
        if getattr(configuration, part.name) != getattr(default, part.name)
    }
    for part in set(document) & set(_MAPPINGS):
        document[part] = dict(document[part])
    if text := document.get("text"):
        document["text"] = {
            "delimiter": text.delimiter,
            "missing": sorted(text.missing - {""}),
            "ignore_unknown": not text.is_strict,
        }
    return document


def read_properties(data: bytes) -> dict[str, str]:
    """Read the keys and values of a Java .properties file, as java.util.Properties does.

    UTF-8 (a byte order mark is skipped), otherwise Latin-1: the rule of java.util.PropertyResourceBundle. Raises
    ValueError: an invalid escape sequence.
    """
    import javaproperties  # noqa: PLC0415 - 30 ms, and few models come with such a file

    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("latin-1")
    return javaproperties.loads(text)


def _option(configuration: str, name: str, value: Any) -> Any:
    if name in _POLICIES:
        if value not in list(Policy):
            raise UsageError(f"configuration {configuration}: {name} must be one of {', '.join(Policy)}, not {value!r}")
        return Policy(value)
    if name == "text":
        return _text_options(configuration, value)
    if name in _MAPPINGS:
        if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
            raise UsageError(f"configuration {configuration}: {name} must be an object of strings, not {value!r}")
        return frozen(value)
    if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
        raise UsageError(f"configuration {configuration}: {name} must be an integer from 1, not {value!r}")
    return value


def _text_options(configuration: str, value: Any) -> TextOptions:
    if not isinstance(value, dict) or not set(value) <= {"delimiter", "missing", "ignore_unknown"}:
        raise UsageError(
            f"configuration {configuration}: text must be an object of delimiter, missing and ignore_unknown"
        )
    delimiter, missing = value.get("delimiter", ","), value.get("missing", [])
    ignore_unknown = value.get("ignore_unknown", False)
    if not isinstance(delimiter, str) or len(delimiter) != 1:
        raise UsageError(f"configuration {configuration}: text.delimiter must be one character, not {delimiter!r}")
    if not isinstance(missing, list) or not all(isinstance(text, str) for text in missing):
        raise UsageError(f"configuration {configuration}: text.missing must be a list of strings, not {missing!r}")
    if not isinstance(ignore_unknown, bool):
        raise UsageError(
            f"configuration {configuration}: text.ignore_unknown must be true or false, not {ignore_unknown!r}"
        )
    return TextOptions(delimiter=delimiter, missing=frozenset({"", *missing}), is_strict=not ignore_unknown)
