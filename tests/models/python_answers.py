"""Answers of the tests' Python models, as expected.json has them."""

import math
from typing import Any

from google.protobuf.message import Message

from models.python_cases import SPECIAL


def plain(value: Any) -> Any:
    """Return a message, or a value in it, as expected.json has it."""
    if isinstance(value, Message):
        return {part.name: plain(getattr(value, part.name)) for part in value.DESCRIPTOR.fields}
    if isinstance(value, float) and not math.isfinite(value):
        return next(text for text, number in SPECIAL.items() if repr(number) == repr(value))
    return value if isinstance(value, str | int | float) else [plain(one) for one in value]
