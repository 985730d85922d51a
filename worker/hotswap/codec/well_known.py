"""Google's well-known types, which protobuf recognizes by name alone."""

from importlib import import_module
from typing import Any, Final

from google.protobuf.descriptor_pool import DescriptorPool

from hotswap.errors import SwapCode, SwapError

_IN: Final = {
    "any": ("Any",),
    "duration": ("Duration",),
    "field_mask": ("FieldMask",),
    "struct": ("Struct", "Value", "ListValue"),
    "timestamp": ("Timestamp",),
    "wrappers": tuple(
        f"{kind}Value" for kind in ("Double", "Float", "Int64", "UInt64", "Int32", "UInt32", "Bool", "String", "Bytes")
    ),
}


def check_well_known(pool: DescriptorPool) -> None:
    """Check that messages that have the names of Google's have their fields, too: protobuf would fail on their JSON.

    Raises SwapError PROTO_INVALID.
    """
    for file, names in _IN.items():
        for name in names:
            try:
                google = pool.FindMessageTypeByName(f"google.protobuf.{name}")
            except KeyError:
                continue
            own = import_module(f"google.protobuf.{file}_pb2").DESCRIPTOR.message_types_by_name[name]
            if _shape(google) != _shape(own):
                reason = (
                    f"message {google.full_name} is not Google's: import google/protobuf/{file}.proto, or rename it"
                )
                raise SwapError(SwapCode.PROTO_INVALID, reason)


def _shape(message: Any) -> list[tuple[Any, ...]]:
    parts = sorted(message.fields, key=lambda part: part.number)
    kinds = [part.message_type or part.enum_type for part in parts]
    return [
        (part.name, part.number, part.type, part.is_repeated, kind and kind.full_name)
        for part, kind in zip(parts, kinds, strict=True)
    ]
