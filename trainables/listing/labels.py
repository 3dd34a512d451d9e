"""Labels that differ in spelling only: found in any source's listing, and merged on request."""

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace

from spaces import DataError
from spaces.wording import MAX_NAMED, shorten
from trainables.listing.listing import Listing, natural_key


def reconcile_labels(listing: Listing, *, merge: bool) -> Listing:
    """Note the labels that differ in spelling only, or ``merge`` them into the most frequent one.

    Spellings differ in case, spaces, invisible characters, the encoding of accents (NFC or NFD) or
    leading zeros. Equally frequent spellings are merged into the first one in natural order.

    Raises `DataError` if the spellings are not merged and the source's splits differ in them.
    """
    counts = Counter(row.label for row in listing.rows)
    groups = spelling_groups(counts)
    if not groups:
        return listing
    if not merge:
        _refuse_spellings_by_split(listing, groups)
        text = _describe(groups, counts)
        note = f"Some labels differ in spelling only ({text}); --merge-labels makes them one class."
        return replace(listing, notes=(*listing.notes, note))
    chosen = {name: max(group, key=lambda n: counts[n]) for group in groups for name in group}
    rows = tuple(replace(row, label=chosen.get(row.label, row.label)) for row in listing.rows)
    note = f"Labels that differ in spelling only were merged ({_describe(groups, counts)})."
    return replace(listing, rows=rows, notes=(*listing.notes, note))


def spelling_groups(labels: Iterable[str]) -> list[list[str]]:
    """Groups of two or more labels that differ in spelling only, in natural order."""
    groups: dict[str, list[str]] = defaultdict(list)
    for label in sorted(set(labels), key=natural_key):
        groups[_spelling_key(label)].append(label)
    return [group for group in groups.values() if len(group) > 1]


def _spelling_key(label: str) -> str:
    """Label in NFC and lower case, without spaces, invisible characters and leading zeros."""
    visible = (c for c in label if unicodedata.category(c) != "Cf")  # not a zero-width space
    text = unicodedata.normalize("NFC", "".join(visible)).casefold()
    return re.sub(r"(?<![\d.,])0+(?=\d)", "", re.sub(r"\s+", "", text))


def _refuse_spellings_by_split(listing: Listing, groups: Sequence[Sequence[str]]) -> None:
    """Raise `DataError` if a given split lacks a spelling that another split has."""
    by_split: dict[str | None, set[str]] = defaultdict(set)
    for row in listing.rows:
        by_split[row.split].add(row.label)
    for group in groups:
        for split, labels in by_split.items():
            if missing := [label for label in group if label not in labels]:
                other = next(s for s, names in by_split.items() if missing[0] in names)
                raise DataError(
                    f"The label {missing[0]!r} of {other or 'some images'} is missing in "
                    f"{split or 'others'}, and differs from "
                    f"{next(label for label in group if label != missing[0])!r} in spelling only; "
                    "give --merge-labels to make them one class, or rename one."
                )


def _describe(groups: Sequence[Sequence[str]], counts: Counter[str]) -> str:
    """The first groups with their numbers of images: "'Cat' (3) and 'cat' (97)"."""
    shown = [
        " and ".join(f"{_quote(label)} ({counts[label]})" for label in group[:MAX_NAMED])
        for group in groups[:MAX_NAMED]
    ]
    more = len(groups) - len(shown)
    return "; ".join(shown) + (f"; and {more} more" if more else "")


def _quote(label: str) -> str:
    """Label in quotes with its spaces kept, and "decomposed" after one in NFD."""
    decomposed = unicodedata.normalize("NFC", label) != label
    text = label if len(label) < 40 else shorten(label)
    return repr(text) + (" in decomposed Unicode" if decomposed else "")
