"""The positive class, whose images must not be missed: the setting ``sensitivity`` names it."""

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
            "sensitivity needs data with exactly two classes and must name one of them; it names "
            f"{name!r}, and the data have {len(classes)} classes ({', '.join(classes[:5])}). Name "
            "another class, or leave the setting sensitivity out."
        )
    return list(classes).index(name)
