"""`TrialRequest`: the trial that a worker is asked to run. Imports neither Ray nor torch."""

from dataclasses import dataclass
from typing import Any

from search.record import Repeat
from spaces import TrialParams

_KEY = "request"
"""The only key in Ray Tune's ``config`` of a trial."""


@dataclass(frozen=True)
class TrialRequest:
    """A trial that a worker is to start or to resume."""

    number: int
    """Number of the trial in the study."""
    params: TrialParams
    repeat: Repeat | None = None
    """The trial that this one repeats, and how; None for a trial of the search."""
    from_checkpoint: bool = False
    """Whether to resume the trial from its last checkpoint, if it has one."""
    excluded_nodes: tuple[str, ...] = ()
    """Ray ids of the nodes that the trial must not run on."""

    def to_ray(self) -> dict[str, Any]:
        """The request as Ray Tune's ``config`` of a trial."""
        return {_KEY: self}

    @classmethod
    def from_ray(cls, config: dict[str, Any]) -> "TrialRequest":
        """The request inside a trial's ``config``."""
        request: TrialRequest = config[_KEY]
        return request
