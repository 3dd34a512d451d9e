"""Makes a sampler from its name in the settings."""

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
    """Make the sampler that the setting ``sampler`` names.

    Args:
        name: `MultiFidelitySampler` for "mfgp", else one of Optuna's. "grid" gives a
            `RandomSampler`: the grid's points are initial points, made by `search.planning`.
        seed: Seed of every random draw of the sampler.
        max_epochs: Epochs of a trial that runs to its end. Only "mfgp" uses it.
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
                # Optuna calls `consider_pruned_trials` experimental.
                warnings.simplefilter("ignore", ExperimentalWarning)
                return CmaEsSampler(
                    seed=seed, warn_independent_sampling=False, consider_pruned_trials=True
                )
        case "nsga2":
            return NSGAIISampler(seed=seed)
        case "random" | "grid":
            return RandomSampler(seed=seed)
