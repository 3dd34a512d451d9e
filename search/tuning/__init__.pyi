from .budget import TimeLimit as TimeLimit
from .gpu_allocation import Resources as Resources
from .gpu_allocation import fit_resources as fit_resources
from .gpu_allocation import measure_shares as measure_shares
from .gpu_allocation import one_trial_per_kind as one_trial_per_kind
from .training_speed import measure_training_speed as measure_training_speed
from .tuner import run_trials as run_trials
