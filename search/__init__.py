"""The sweep: what runs where, what is tried next, what becomes of the winner.

Ray and torch take seconds to import, so these names are looked up when first used.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from search.config.settings import SweepConfig
    from search.result import SweepResult
    from search.sweep import Sweep

__all__ = ["Sweep", "SweepConfig", "SweepResult"]

_HOME = {
    "Sweep": "search.sweep",
    "SweepConfig": "search.config.settings",
    "SweepResult": "search.result",
}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    raise AttributeError(f"module 'search' has no attribute {name!r}")
