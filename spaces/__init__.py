"""What may be tried: the parameters of a trial, their ranges, the presets. No torch, no Ray."""

from spaces.errors import (
    ConfigError,
    DataError,
    RunError,
    SpaceError,
    UserError,
    WeightsError,
)
from spaces.params import TrialParams
from spaces.space import NATIVE, Choices, Fixed, Range, SearchSpace, preset_names

__all__ = [
    "NATIVE",
    "Choices",
    "ConfigError",
    "DataError",
    "Fixed",
    "Range",
    "RunError",
    "SearchSpace",
    "SpaceError",
    "TrialParams",
    "UserError",
    "WeightsError",
    "preset_names",
]
