"""Settings of a launched sweep, read back and changed by a resume. Imports no torch and no Ray."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from search.config import RESUMABLE_SETTINGS, SweepConfig, overlay
from search.record.paths import SweepPaths
from spaces import ConfigError

_SEARCH_BUDGETS = ("trials", "time_budget", "gpu_hours", "target")


@dataclass(frozen=True)
class ResolvedSettings:
    """Settings whose value is only known once a sweep is launched: ``resolved.json``."""

    metric: str
    """Metric that trials are ranked by; never "auto"."""
    sampler_seed: int
    """Seed of the sampler. The number of trials that have begun is added at each start."""

    @classmethod
    def read(cls, paths: SweepPaths) -> Self:
        """The resolved settings of a launched sweep.

        Earlier versions have no ``resolved.json``: they wrote these values to ``sweep.json``.
        """
        if paths.resolved.exists():
            return cls(**json.loads(paths.resolved.read_text(encoding="utf-8")))
        requested = requested_config(paths)
        return cls(requested.metric, requested.sampler_seed)


def requested_config(paths: SweepPaths, changes: Mapping[str, Any] | None = None) -> SweepConfig:
    """Settings of a launched sweep as its user gave them, with ``changes`` by dotted name.

    Raises `ConfigError` if a setting is changed that a resume can't change.
    """
    fixed = [name for name in changes or {} if name not in RESUMABLE_SETTINGS]
    if fixed:
        raise ConfigError(
            f"{', '.join(fixed)} can't change in a sweep that has begun, or its trials could not "
            f"be compared; launch another one, or change only {', '.join(RESUMABLE_SETTINGS)}."
        )
    stored = json.loads(paths.config.read_text(encoding="utf-8"))
    return SweepConfig.parse(overlay(stored, changes or {}))


def load_sweep_config(paths: SweepPaths, changes: Mapping[str, Any] | None = None) -> SweepConfig:
    """Settings that a launched sweep runs with.

    Those of `requested_config`, but with the resolved ``metric``, and with ``name`` and
    ``results_dir`` by where the sweep's folder lies now. Raises `ConfigError` as that does.
    """
    location = {"name": paths.root.name, "results_dir": paths.root.parent}
    requested = requested_config(paths, changes)
    return requested.model_copy(update={**location, "metric": ResolvedSettings.read(paths).metric})


def extends_search(changes: Mapping[str, Any]) -> bool:
    """Whether a resume with these changes sets a new budget, so that an ended search goes on."""
    return not set(_SEARCH_BUDGETS).isdisjoint(changes)
