from .config import SweepConfig as SweepConfig
from .result import SweepResult as SweepResult
from .sweep import Sweep as Sweep
