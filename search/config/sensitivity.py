"""The class that must not be missed, as the setting ``sensitivity`` names it."""

from collections.abc import Sequence

from search.config.settings import SweepConfig
from spaces import ConfigError


def positive_class_index(config: SweepConfig, classes: Sequence[str]) -> int | None:
    """Index in ``classes`` of the class that ``config.sensitivity`` names; None if that is unset.

    Raises `ConfigError` unless there are two classes and one of them has that name.
    """
    if not config.sensitivity:
        return None
    name = config.sensitivity.rpartition("=")[0]
    if len(classes) != 2 or name not in classes:
        raise ConfigError(
            f"sensitivity must name one of exactly two classes; it names {name!r}, and the data "
            f"have {len(classes)} ({', '.join(classes[:5])}). Name another class, or leave it out."
        )
    return list(classes).index(name)
