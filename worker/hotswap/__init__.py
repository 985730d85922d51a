"""Hotswap: a standing fleet of workers that scores a stream and swaps its model while the stream flows.

The public API is the names listed here, and nothing else. Each is imported on first access, because a worker or
`hotswap --help` needs few of them.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hotswap.client.answers import Answers as Answers
    from hotswap.client.answers import Outgoing as Outgoing
    from hotswap.client.answers import Place as Place
    from hotswap.client.answers import Prediction as Prediction
    from hotswap.client.answers import Refused as Refused
    from hotswap.client.change import Change as Change
    from hotswap.client.change import Receipt as Receipt
    from hotswap.client.client import Client as Client
    from hotswap.client.cut import Cut as Cut
    from hotswap.client.fleet import FleetAnswer as FleetAnswer
    from hotswap.errors import Doubt as Doubt
    from hotswap.errors import HotswapError as HotswapError
    from hotswap.errors import NoAnswer as NoAnswer
    from hotswap.errors import StartError as StartError
    from hotswap.errors import SwapCode as SwapCode
    from hotswap.errors import SwapError as SwapError
    from hotswap.errors import UsageError as UsageError
    from hotswap.generation import Configuration as Configuration
    from hotswap.local.kafka import LocalKafka as LocalKafka
    from hotswap.settings import Settings as Settings

__version__ = "0.2.0"  # the single source of the version: the package, the image and `hotswap --version` read it

_ROOMS = {
    "hotswap.client.answers": ("Answers", "Outgoing", "Place", "Prediction", "Refused"),
    "hotswap.client.change": ("Change", "Receipt"),
    "hotswap.client.client": ("Client",),
    "hotswap.client.cut": ("Cut",),
    "hotswap.client.fleet": ("FleetAnswer",),
    "hotswap.errors": ("Doubt", "HotswapError", "NoAnswer", "StartError", "SwapCode", "SwapError", "UsageError"),
    "hotswap.generation": ("Configuration",),
    "hotswap.local.kafka": ("LocalKafka",),
    "hotswap.settings": ("Settings",),
}
_MODULE_OF = {name: module for module, names in _ROOMS.items() for name in names}
__all__ = list(_MODULE_OF)


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULE_OF[name]), name)


def __dir__() -> list[str]:
    return __all__
