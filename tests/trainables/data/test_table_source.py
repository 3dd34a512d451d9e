from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from spaces import DataError
from trainables.data import ReadOptions, read_source
from trainables.data.listing import Listing


def listing(data: Path, **options: Any) -> Listing:
    return read_source(data, cache=data.parent / "cache", options=ReadOptions(**options))


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_tables_are_read_with_common_column_names(tmp_path: Path, kind: str) -> None:
    table = pd.DataFrame({"Image": ["a/1.png"], "class": ["7"], "subset": ["validation"]})
    file = tmp_path / f"list.{kind}"
    table.to_csv(file, index=False) if kind == "csv" else table.to_parquet(file)
    row = listing(file).rows[0]
    assert (row.path, row.label, row.split) == (tmp_path / "a" / "1.png", "7", "val")


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        ({"file": ["1.png"], "diagnosis": ["x"]}, "needs one called 'label'"),
        ({"path": ["1.png"], "label": [""]}, "1 rows without a label"),
        ({"path": ["1.png"], "label": ["a"], "split": ["holdout2"]}, "splits 'holdout2'"),
        ({"path": [], "label": []}, "has no rows"),
    ],
)
def test_a_wrong_table_is_refused(
    tmp_path: Path, table: dict[str, list[str]], sentence: str
) -> None:
    file = tmp_path / "list.csv"
    pd.DataFrame(table).to_csv(file, index=False)
    with pytest.raises(DataError, match=sentence):
        listing(file)
