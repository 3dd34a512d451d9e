"""`Repeat`: a trial that is run once more. Light to import, for every worker does."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Repeat:
    """A trial run again with another seed, to see how much of its score was luck."""

    of: int
    """The number of that trial."""
    seed: int
    epochs: int
    """After which it ends; the schedule is the trial's."""
