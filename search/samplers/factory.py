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
from search.samplers.freeze_thaw import FreezeThawSampler
from search.samplers.multi_fidelity_gp import MultiFidelitySampler
from spaces import SearchSpace


def make_sampler(
    name: SamplerName, space: SearchSpace, *, seed: int, max_rounds: int, freeze_thaw: bool = False
) -> BaseSampler:
    """Make the sampler that the setting ``sampler`` names.

    Args:
        name: `MultiFidelitySampler` for "mfgp", else one of Optuna's. "grid" gives a
            `RandomSampler`: the grid's points are initial points, made by `search.planning`.
        space: The space that the sampler draws from; `SearchSpace.draw` names its parameters.
        seed: Seed of every random draw of the sampler.
        max_rounds: Rounds of a trial that runs to its end. Only "mfgp" uses it.
        freeze_thaw: Whether the sampler "mfgp" is to choose which trials go on.
    """
    match name:
        case "mfgp":
            kind = FreezeThawSampler if freeze_thaw else MultiFidelitySampler
            return kind(seed=seed, max_rounds=max_rounds, names_at=space.names_at)
        case "tpe":
            if not space.dependencies:
                return TPESampler(seed=seed)
            with warnings.catch_warnings():
                # Optuna calls groups of conditional parameters experimental.
                warnings.simplefilter("ignore", ExperimentalWarning)
                return TPESampler(seed=seed, multivariate=True, group=True)
        case "gp":
            return GPSampler(seed=seed, warn_independent_sampling=False)
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
