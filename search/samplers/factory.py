"""Which sampler proposes a sweep's points: ours, or one of Optuna's."""

import warnings

from optuna.exceptions import ExperimentalWarning
from optuna.samplers import (
    BaseSampler,
    CmaEsSampler,
    GPSampler,
    NSGAIISampler,
    RandomSampler,
    TPESampler,
)

from search.config import SamplerName
from search.samplers.multi_fidelity_gp import MultiFidelitySampler


def make_sampler(name: SamplerName, *, seed: int, max_epochs: int) -> BaseSampler:
    """A sampler by the name that users know it by.

    "grid" needs none: all of its points are the draft's (`search.planning.initial_points`).
    """
    match name:
        case "mfgp":
            return MultiFidelitySampler(seed=seed, max_epochs=max_epochs)
        case "tpe":
            return TPESampler(seed=seed)
        case "gp":
            return GPSampler(seed=seed)
        case "cmaes":
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ExperimentalWarning)  # of what is pruned
                return CmaEsSampler(
                    seed=seed, warn_independent_sampling=False, consider_pruned_trials=True
                )
        case "nsga2":
            return NSGAIISampler(seed=seed)
        case "random" | "grid":
            return RandomSampler(seed=seed)
