"""The class that must not be missed, as the setting sensitivity names it."""

from collections.abc import Sequence

from search.config.settings import SweepConfig
from spaces import ConfigError


def positive_class(config: SweepConfig, classes: Sequence[str]) -> int | None:
    """The number of the class that ``config.sensitivity`` is of; None if it asks for none.

    Raises `ConfigError`.
    """
    if not config.sensitivity:
        return None
    name = config.sensitivity.rpartition("=")[0]
    if len(classes) != 2 or name not in classes:
        raise ConfigError(
            f"sensitivity is of one of two classes, not of {name!r} among {len(classes)} "
            f"({', '.join(classes[:5])}); name another, or leave it out."
        )
    return list(classes).index(name)
