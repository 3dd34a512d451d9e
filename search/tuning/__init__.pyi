from .gpu_allocation import Resources as Resources
from .gpu_allocation import fit_resources as fit_resources
from .gpu_allocation import kinds_of as kinds_of
from .gpu_allocation import measure_shares as measure_shares
from .tuner import run_trials as run_trials
