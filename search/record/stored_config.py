"""Settings of a launched sweep, with the changes of a resume.

This module imports neither torch nor Ray.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from search.config import RESUMABLE_SETTINGS, WHOLE_EPOCHS, Rounds, SweepConfig, overlay
from search.record.paths import SweepPaths
from spaces import ConfigError

_SEARCH_BUDGETS = ("trials", "time_budget", "gpu_hours", "target")


@dataclass(frozen=True)
class ResolvedSettings:
    """Contents of ``resolved.json``: values of settings that a launch has determined."""

    metric: str
    """Metric that trials are ranked by; never "auto"."""
    sampler_seed: int
    """Base seed of the sampler. Each resume adds the number of trials that have begun."""
    max_epochs: int
    """Epochs of a trial that is not stopped early."""
    rounds: Rounds = WHOLE_EPOCHS
    """The rounds of an epoch. In sweeps of earlier versions, each epoch is one round."""

    @classmethod
    def read(cls, paths: SweepPaths) -> Self:
        """The resolved settings of a launched sweep.

        Earlier versions of Finesweep had no ``resolved.json``, and wrote these to ``sweep.json``.
        """
        if not paths.resolved.exists():
            requested = requested_config(paths)
            return cls(requested.metric, requested.sampler_seed, requested.epochs)
        values = json.loads(paths.resolved.read_text(encoding="utf-8"))
        if "max_epochs" not in values:  # earlier versions did not write it
            values["max_epochs"] = requested_config(paths).epochs
        return cls(**values | {"rounds": Rounds(**values.get("rounds", {}))})


def requested_config(paths: SweepPaths, changes: Mapping[str, Any] | None = None) -> SweepConfig:
    """Settings of a launched sweep as its user gave them, with ``changes`` applied.

    ``changes`` has new values by dotted name. Raises `ConfigError` if a resume can't change one of
    the settings in ``changes``.
    """
    fixed = [name for name in changes or {} if name not in RESUMABLE_SETTINGS]
    if fixed:
        raise ConfigError(
            f"{', '.join(fixed)} can't change in a sweep that has begun, because its trials must "
            "stay comparable; launch another sweep, or change only "
            f"{', '.join(RESUMABLE_SETTINGS)}."
        )
    stored = json.loads(paths.config.read_text(encoding="utf-8"))
    return SweepConfig.parse(overlay(stored, changes or {}))


def load_sweep_config(paths: SweepPaths, changes: Mapping[str, Any] | None = None) -> SweepConfig:
    """Settings that a launched sweep runs with, including ``changes``.

    These are the settings of `requested_config`, but with the resolved ``metric`` and
    ``max_epochs``, and with the ``name`` and ``results_dir`` of the folder's present location.
    Raises the `ConfigError` of `requested_config`.
    """
    location = {"name": paths.root.name, "results_dir": paths.root.parent}
    requested = requested_config(paths, changes)
    resolved = ResolvedSettings.read(paths)
    determined = {"metric": resolved.metric, "max_epochs": resolved.max_epochs}
    return requested.model_copy(update=location | determined)


def extends_search(changes: Mapping[str, Any]) -> bool:
    """Whether ``changes`` set a new budget, so that a resume continues a search that has ended."""
    return not set(_SEARCH_BUDGETS).isdisjoint(changes)
