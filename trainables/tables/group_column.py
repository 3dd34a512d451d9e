"""Proposal of a column that groups the images of a table, such as those of one patient."""

from trainables.tables.column_names import column_words
from trainables.tables.columns import Columns
from trainables.tables.table import Table

_OWNERS = {
    *("animal", "case", "donor", "group", "individual", "lesion", "participant", "patient"),
    *("person", "plant", "sequence", "series", "session", "slide", "specimen", "study", "subject"),
    *("tree", "video", "visit", "volunteer"),
}
"""Words for what several images may show or come from."""
_IDENTIFIERS = {
    *("code", "id", "identifier", "index", "instance", "key", "name", "no", "nr", "num"),
    *("number", "uid"),
}
"""Words that may stand beside one of them in the name of a column."""


def group_column_note(table: Table, columns: Columns, *, classes: int) -> str | None:
    """Note that proposes ``--group-column``, if a column that is not used names owners of images.

    Its values must recur, and be more than the classes. Of several, it is that of the largest
    groups.
    """
    counts: dict[str, int] = {}
    for name in table.frame.columns:
        if columns.group or name in columns.used or not _names_owners(name):
            continue
        values = [value for value in table.texts(name) if value]
        if classes < (count := len(set(values))) < len(values):
            counts[name] = count
    if not counts:
        return None
    best = min(counts, key=lambda name: counts[name])
    return (
        f"The column {best!r} has {counts[best]} values in {len(table.frame)} rows. If images with "
        f"the same value belong together, keep them in one split with --group-column {best!r}."
    )


def _names_owners(column: str) -> bool:
    """Whether a column's name is that of an owner of images, such as "patient_id"."""
    words = set(column_words(column))
    return bool(words & _OWNERS) and words <= _OWNERS | _IDENTIFIERS
