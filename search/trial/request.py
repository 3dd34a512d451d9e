"""`TrialRequest`: what a worker is asked to run. Light to import."""

from dataclasses import dataclass
from typing import Any

from search.record import Repeat
from spaces import TrialParams

_KEY = "request"
"""The one key of Ray's trial configuration."""


@dataclass(frozen=True)
class TrialRequest:
    """A trial to be run, or to be gone on with."""

    number: int
    """Number of the trial in the study."""
    params: TrialParams
    repeat: Repeat | None = None
    """The trial that it repeats with another seed; None for a trial of the search."""
    from_checkpoint: bool = False
    """Whether it goes on from its last checkpoint, if there is one."""
    avoided_nodes: tuple[str, ...] = ()
    """Ray's ids of the machines that it must not run on."""

    def to_ray(self) -> dict[str, Any]:
        """The trial configuration that Ray passes around."""
        return {_KEY: self}

    @classmethod
    def from_ray(cls, config: dict[str, Any]) -> "TrialRequest":
        """The request in a trial configuration of Ray's."""
        request: TrialRequest = config[_KEY]
        return request
