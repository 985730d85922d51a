"""Reads a CSV request, by RFC 4180 with a header that names fields."""

import math
import re

from faults.oracle_schema import COLORS, ROW, base64_bytes, finite, in_range, utf8
from faults.wire_oracle import Field, Refused

_CSV_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_CSV_WHOLE = re.compile(r"([+-]?[0-9]+)(?:\.0+)?")


def csv_rows(value):
    """Return the rows of a CSV with a header."""
    text = value.decode("utf-8", errors="surrogateescape").removeprefix("\ufeff")
    records = list(_records(text))
    if not records or records[0] is None:
        raise Refused("no header")
    header = [utf8(name).strip(" \t") for name in records[0]]
    columns = [_column(name) for name in header]
    known = [name for name, column in zip(header, columns, strict=True) if column and column[1].label != "repeated"]
    if not any(columns) or len(set(known)) < len(known):
        raise Refused("the header")
    found = []
    for cells in records[1:]:
        if cells is None:
            if len(header) > 1:
                continue
            cells = [""]  # noqa: PLW2901 - of one column, an empty line is a row without a value
        if len(cells) != len(header):
            raise Refused("another number of cells")
        found.append(_csv_row(columns, cells))
    return found


def _records(text):
    """Return the records of RFC 4180; an empty line is None."""
    at, end = 0, len(text)
    while at < end:
        cells, is_empty = [], text[at] in "\r\n"
        while True:
            cell, at = _cell(text, at)
            cells.append(cell)
            if at < end and text[at] == ",":
                at += 1
                continue
            break
        at += 2 if text[at : at + 2] == "\r\n" else 1
        yield None if is_empty else cells


def _cell(text, at):
    if text[at : at + 1] != '"':
        start = at
        while at < len(text) and text[at] not in ",\r\n":
            at += 1
        return text[start:at], at
    cell, at = [], at + 1
    while True:
        if at >= len(text):
            raise Refused("a quote that does not end")
        if text[at] != '"':
            cell.append(text[at])
            at += 1
        elif text[at + 1 : at + 2] == '"':
            cell.append('"')
            at += 2
        else:
            break
    at += 1
    if at < len(text) and text[at] not in ",\r\n":
        raise Refused("text after a quote")
    return "".join(cell), at


def _column(name):
    """Return the path of a column and its field; None: unknown."""
    message, path, parts = ROW, [], name.split(".")
    for place, part in enumerate(parts):
        field = message.get(part)
        path.append(part)
        is_last = place == len(parts) - 1
        if field is None:
            return None
        if field.label == "map":
            return None if is_last else ([*path, ".".join(parts[place + 1 :])], Field(0, field.kind))
        if is_last:
            return (path, field) if isinstance(field.kind, str) else None
        if isinstance(field.kind, str):
            return None
        message = field.kind
    return None


def _csv_row(columns, cells):
    row = {"y": math.nan}
    for column, text in zip(columns, cells, strict=True):
        if column is None:
            continue
        (*parents, name), field = column
        if text == "":
            if name == "x6":  # the one whole number that is not optional: 0 would be a value
                raise Refused("missing")
            continue
        holder = row
        for parent in parents:
            holder = holder.setdefault(parent, {})
        value = _csv_value(field.kind, text)
        if field.label == "repeated":
            holder.setdefault(name, []).append(value)
        else:
            holder[name] = value
    return row


def _csv_value(kind, text):
    if kind == "string":
        return utf8(text)
    if kind == "bytes":
        return base64_bytes(text)
    text = text.strip(" \t\r\n")
    if kind in ("double", "float"):
        return _csv_float(kind, text)
    if kind == "bool":
        if text.lower() not in ("true", "false", "1", "0"):
            raise Refused("no bool")
        return text.lower() in ("true", "1")
    if kind == "enum":
        names = {name.lower(): number for name, number in COLORS.items()}
        names |= {name.removeprefix("color_"): number for name, number in names.items()}
        if text.lower() in names:
            return names[text.lower()]
    whole = _CSV_WHOLE.fullmatch(text)
    if not whole:
        raise Refused("no whole number")
    return in_range(kind, int(whole[1][:5_000]) if len(whole[1]) < 4_000 else 2**70)


def _csv_float(kind, text):
    odd = {"inf": math.inf, "infinity": math.inf, "nan": math.nan}
    if text.isascii() and text.lstrip("+-").lower() in odd and len(text) - len(text.lstrip("+-")) < 2:
        return -odd[text[1:].lower()] if text.startswith("-") else odd[text.lstrip("+").lower()]
    if not _CSV_NUMBER.fullmatch(text):
        raise Refused("no number")
    return finite(kind, float(text))
