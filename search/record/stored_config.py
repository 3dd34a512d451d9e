"""What can be told of a launch or a resume in a moment, before torch and Ray are there."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from search.config import RESUMABLE, SweepConfig, overlay
from search.record.paths import SweepPaths
from spaces import ConfigError


@dataclass(frozen=True)
class Resolved:
    """What the settings of a launched sweep came to: ``resolved.json``."""

    metric: str
    """The metric that trials are ranked by, where "auto" was asked for."""
    sampler_seed: int
    """Seed of the sampler, before it counts the trials that have begun."""

    @classmethod
    def read(cls, paths: SweepPaths) -> Self:
        """Of a launched sweep. Earlier versions wrote the metric into ``sweep.json`` itself."""
        if paths.resolved.exists():
            return cls(**json.loads(paths.resolved.read_text(encoding="utf-8")))
        asked = asked_config(paths)
        return cls(asked.metric, asked.sampler_seed)


def asked_config(paths: SweepPaths, changes: Mapping[str, Any] | None = None) -> SweepConfig:
    """The settings of a launched sweep as they were asked for, with ``changes`` by dotted name.

    Raises `ConfigError` if a change can't be honoured.
    """
    fixed = [name for name in changes or {} if name not in RESUMABLE]
    if fixed:
        raise ConfigError(
            f"{', '.join(fixed)} can't change in a sweep that has begun, or its trials could not "
            f"be compared; launch another one, or change only {', '.join(RESUMABLE)}."
        )
    stored = json.loads(paths.config.read_text(encoding="utf-8"))
    return SweepConfig.parse(overlay(stored, changes or {}))


def load_config(paths: SweepPaths, changes: Mapping[str, Any] | None = None) -> SweepConfig:
    """The settings that a launched sweep runs with: `asked_config`, where it lies now.

    Its ``metric`` is the resolved one. Raises `ConfigError` if a change can't be honoured.
    """
    here = {"name": paths.root.name, "results_dir": paths.root.parent}
    asked = asked_config(paths, changes)
    return asked.model_copy(update={**here, "metric": Resolved.read(paths).metric})


def searches_on(changes: Mapping[str, Any]) -> bool:
    """Whether changes of a resume ask for more of a search that its budget has ended."""
    return not {"trials", "time_budget", "gpu_hours", "target"}.isdisjoint(changes)
