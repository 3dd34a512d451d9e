"""Search spaces: trial parameters, their ranges, and presets; also user errors. No torch, no Ray.

Does not sample: `SearchSpace.distributions` are the distributions that Optuna samples from.
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
