"""Hotswap: a standing fleet of workers that scores a stream and swaps its model while the stream flows.

The public API is the names listed here, and nothing else. Each is imported on first access, because a worker or
`hotswap --help` needs few of them.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hotswap.client.answers import Answers, Outgoing, Place, Prediction, Refused
    from hotswap.client.change import Change, Cut, Receipt
    from hotswap.client.client import Client
    from hotswap.client.fleet import FleetAnswer
    from hotswap.errors import Doubt, HotswapError, NoAnswer, StartError, SwapCode, SwapError, UsageError
    from hotswap.generation import Configuration
    from hotswap.local.kafka import LocalKafka
    from hotswap.settings import Settings

__version__ = "0.1.0"  # the single source of the version: the package, the image and `hotswap --version` read it

__all__ = [
    "Answers",
    "Change",
    "Client",
    "Configuration",
    "Cut",
    "Doubt",
    "FleetAnswer",
    "HotswapError",
    "LocalKafka",
    "NoAnswer",
    "Outgoing",
    "Place",
    "Prediction",
    "Receipt",
    "Refused",
    "Settings",
    "StartError",
    "SwapCode",
    "SwapError",
    "UsageError",
]

_ROOMS = {
    "hotswap.client.answers": ("Answers", "Outgoing", "Place", "Prediction", "Refused"),
    "hotswap.client.change": ("Change", "Cut", "Receipt"),
    "hotswap.client.client": ("Client",),
    "hotswap.client.fleet": ("FleetAnswer",),
    "hotswap.errors": ("Doubt", "HotswapError", "NoAnswer", "StartError", "SwapCode", "SwapError", "UsageError"),
    "hotswap.generation": ("Configuration",),
    "hotswap.local.kafka": ("LocalKafka",),
    "hotswap.settings": ("Settings",),
}
_MODULE_OF = {name: module for module, names in _ROOMS.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULE_OF[name]), name)


def __dir__() -> list[str]:
    return __all__
