"""Which of Optuna's samplers proposes a sweep's points."""

from optuna.samplers import (
    BaseSampler,
    CmaEsSampler,
    GPSampler,
    NSGAIISampler,
    RandomSampler,
    TPESampler,
)

from search.config import SamplerName


def make_sampler(name: SamplerName, *, seed: int) -> BaseSampler:
    """A sampler by the name that users know it by.

    "grid" has no sampler: its points are the draft's (`SearchSpace.grid`), and random ones follow.
    """
    match name:
        case "tpe":
            return TPESampler(seed=seed)
        case "gp":
            return GPSampler(seed=seed)
        case "cmaes":
            return CmaEsSampler(seed=seed, warn_independent_sampling=False)
        case "nsga2":
            return NSGAIISampler(seed=seed)
        case "random" | "grid":
            return RandomSampler(seed=seed)
