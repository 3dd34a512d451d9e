"""The search space: parameters of a trial, their ranges, presets; users' errors. No torch, no Ray.

Doesn't sample: `SearchSpace.distributions` is for Optuna.
"""

from spaces.dimension import Choices, Fixed, Range
from spaces.errors import (
    ConfigError,
    DataError,
    RunError,
    SpaceError,
    UserError,
    WeightsError,
)
from spaces.params import TrialParams
from spaces.space import NATIVE, SearchSpace, preset_names

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
