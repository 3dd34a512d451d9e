"""Search spaces: trial parameters, their ranges, and presets; also user errors. No torch, no Ray.

Does not sample: `SearchSpace.draw` asks a sampler for each value, in order of dependence.
"""

from spaces.conditional import SEPARATOR, Case, Conditional
from spaces.dimension import NATIVE, Candidates, Choices, Fixed, Range, Value, value_from_text
from spaces.errors import (
    ConfigError,
    DataError,
    RunError,
    SpaceError,
    UserError,
    WeightsError,
)
from spaces.grid import grid_points
from spaces.known_backbones import KnownBackbone, known_backbones
from spaces.params import EARLIER_VALUES, Fit, TrialParams, without_hub_prefix
from spaces.space import SearchSpace
from spaces.space_file import preset_names

__all__ = [
    "EARLIER_VALUES",
    "NATIVE",
    "SEPARATOR",
    "Candidates",
    "Case",
    "Choices",
    "Conditional",
    "ConfigError",
    "DataError",
    "Fit",
    "Fixed",
    "KnownBackbone",
    "Range",
    "RunError",
    "SearchSpace",
    "SpaceError",
    "TrialParams",
    "UserError",
    "Value",
    "WeightsError",
    "grid_points",
    "known_backbones",
    "preset_names",
    "value_from_text",
    "without_hub_prefix",
]
