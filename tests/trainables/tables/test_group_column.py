import pandas as pd
import pytest

from trainables.tables.columns import Columns
from trainables.tables.group_column import group_column_note
from trainables.tables.table import Table


def note(*, group: str | None = None, **columns: list[object]) -> str | None:
    """Note on a table of six images of two classes."""
    frame = pd.DataFrame({"path": list("abcdef"), "label": list("xyxyxy"), **columns})
    return group_column_note(Table(frame), Columns("path", "label", group=group), classes=2)


@pytest.mark.parametrize("name", ["patient", "Patient ID", "lesion_id", "StudyInstanceUID"])
def test_a_column_that_names_the_owner_of_several_images_is_proposed(name: str) -> None:
    assert note(**{name: [1, 1, 2, 2, 3, 3]}) == (
        f"The column {name!r} has 3 values in 6 rows. If images with the same value belong "
        f"together, keep them in one split with --group-column {name!r}."
    )


def test_of_several_columns_the_one_of_the_largest_groups_is_proposed() -> None:
    proposed = note(lesion_id=list("aabcde"), patient_id=list("aaabbc"))
    assert proposed is not None and "'patient_id' has 3 values" in proposed


def test_other_columns_propose_nothing() -> None:
    assert note(patient_id=list("abcdef")) is None, "no value recurs"
    assert note(patient_id=list("aaabbb")) is None, "they may be the classes"
    assert note(patient_id=["a", "b", "c", "", "", ""]) is None, "no value recurs"
    assert note(patient_sex=list("mmffxx"), patient_age=[1, 1, 2, 2, 3, 3]) is None
    assert note(group="site", site=[1, 1, 2, 2, 3, 3], patient_id=list("aabbcc")) is None
