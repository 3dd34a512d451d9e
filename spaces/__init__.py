"""Search spaces: trial parameters, their ranges, and presets; also user errors. No torch, no Ray.

Does not sample: `SearchSpace.draw` asks a sampler for each value, in order of dependence.
"""

from spaces.conditional import SEPARATOR, Case, Conditional
from spaces.dimension import NATIVE, Choices, Fixed, Range, Value, value_from_text
from spaces.errors import (
    ConfigError,
    DataError,
    RunError,
    SpaceError,
    UserError,
    WeightsError,
)
from spaces.grid import grid_points
from spaces.params import EARLIER_VALUES, Fit, TrialParams
from spaces.space import SearchSpace
from spaces.space_file import preset_names

__all__ = [
    "EARLIER_VALUES",
    "NATIVE",
    "SEPARATOR",
    "Case",
    "Choices",
    "Conditional",
    "ConfigError",
    "DataError",
    "Fit",
    "Fixed",
    "Range",
    "RunError",
    "SearchSpace",
    "SpaceError",
    "TrialParams",
    "UserError",
    "Value",
    "WeightsError",
    "grid_points",
    "preset_names",
    "value_from_text",
]
