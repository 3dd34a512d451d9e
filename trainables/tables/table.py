"""`Table`: the columns of a CSV, JSON Lines or Parquet file, however it is written."""

import csv
import gzip
import io
import json
import re
import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING

from spaces import DataError
from spaces.errors import first_line
from spaces.wording import name_some
from trainables.images import IMAGE_SUFFIXES
from trainables.tables.column_names import is_id_name, is_image_name
from trainables.tables.parquet_file import is_parquet, read_parquet

if TYPE_CHECKING:
    import pandas as pd

_SEPARATORS = (",", ";", "\t", "|")
"""Separators of columns, in order of preference."""
_SPACES = r"\s+"
"""Separator of lists of images: any number of spaces or tabs."""
_SAMPLE_CHARACTERS = 2**16
"""Length of a table's beginning that its separator is found in."""
_FIRST_ROWS = 100
"""Number of rows in a quick look at a column."""
_OTHER_FORMATS = {".xlsx", ".xls", ".ods", ".json", ".feather", ".arrow", ".pkl", ".db"}
"""Suffixes of tables that can't be read."""
_ARCHIVES = {".zip", ".7z", ".rar"}
"""Suffixes of archives, which are not opened."""


@dataclass(frozen=True)
class Table:
    """A table with one image per row. Missing values are NaN, None or empty."""

    frame: "pd.DataFrame"
    """All columns but those of `embedded`. Names are text without surrounding spaces."""
    embedded: tuple[str, ...] = ()
    """Columns that hold encoded images instead of paths. Their values are not read."""
    classes: tuple[str, ...] = ()
    """Columns that are declared to hold classes, whose names replace their numbers."""
    has_header: bool = True
    """Whether the file names its columns; otherwise they are called "1", "2" and so on."""
    notes: tuple[str, ...] = ()

    @property
    def columns(self) -> list[str]:
        """Names of all columns."""
        return [*self.embedded, *self.frame.columns]

    def texts(self, column: str) -> list[str]:
        """Values of a column as text without surrounding spaces; empty where missing."""
        return _texts(self.frame[column])

    def first_texts(self, column: str) -> list[str]:
        """First values of a column, as `texts` gives them: a quick look at a long table."""
        return _texts(self.frame[column].head(_FIRST_ROWS))


def _texts(values: "pd.Series") -> list[str]:
    pairs = zip(values.tolist(), values.isna().tolist(), strict=True)
    return ["" if is_missing else str(value).strip() for value, is_missing in pairs]


def read_table(file: Path) -> Table:
    """Read a table, which is Parquet or text; its content decides, not its name.

    Raises `DataError` if it can't be read.
    """
    try:
        if is_parquet(file):
            content = read_parquet(file)
            classes = tuple(name.strip() for name in content.classes)
            return Table(_with_plain_names(content.frame), tuple(content.embedded), classes)
        data = file.read_bytes()
        if data[:2] == b"\x1f\x8b":
            data = _decompress(data)
        _refuse_other_formats(file, data)
        text, encoding = decode_text(data)
        if text.lstrip().startswith("{"):
            return _read_json_lines(text)
        return _read_text(text, encoding)
    except DataError:
        raise
    except (ValueError, OSError) as error:  # pandas and pyarrow raise subclasses of these
        reason = first_line(error).rstrip(".")
        raise DataError(
            f"{file} can't be read as a table: {reason}; save it again as CSV or Parquet."
        ) from None


def _decompress(data: bytes) -> bytes:
    """Content of a gzip file. Raises `ValueError` if it is cut off or damaged, or `OSError`."""
    try:
        return gzip.decompress(data)
    except EOFError:
        raise ValueError("its end is missing") from None
    except zlib.error as error:
        raise ValueError(f"it is damaged ({error})") from None


def join_tables(tables: Sequence[Table], files: Sequence[Path]) -> Table:
    """Table of the rows of all ``tables``, which were read from ``files``.

    Raises `DataError` if their columns differ.
    """
    import pandas as pd

    first = tables[0]
    for table, file in zip(tables, files, strict=True):
        if (set(table.columns), table.classes) != (set(first.columns), first.classes):
            raise DataError(
                f"{files[0]} and {file} differ in their columns ({name_some(first.columns)}; "
                f"{name_some(table.columns)}) or in which of them are classes; leave one out with "
                f"--ignore {file.name!r}, or write it again."
            )
    frame = pd.concat([table.frame for table in tables], ignore_index=True)
    return replace(first, frame=frame)


def looks_like_image(value: str) -> bool:
    """Whether a value ends like the name of an image file."""
    _, dot, suffix = value.strip().rpartition(".")
    return dot + suffix.lower() in IMAGE_SUFFIXES


def _refuse_other_formats(file: Path, content: bytes) -> None:
    """Raise `DataError` for a spreadsheet, an archive, JSON or a Git LFS pointer."""
    if content.startswith(b"version https://git-lfs"):
        raise DataError(f"{file} is a Git LFS pointer, not the table; run git lfs pull.")
    if file.suffix.lower() in _ARCHIVES:
        raise DataError(
            f"{file} is an archive, which is not opened; unpack it, and give the folder of its "
            "images."
        )
    if file.suffix.lower() in _OTHER_FORMATS or content.startswith(b"PK\x03\x04"):
        raise DataError(f"{file} is not a CSV or Parquet table; save it as CSV.")
    if file.suffix.lower() == ".parquet":
        raise DataError(f"{file} can't be read as a table: it is not Parquet; save it again.")


def decode_text(content: bytes) -> tuple[str, str]:
    """Text of a file without its byte order mark, and the encoding: UTF-8, UTF-16 or Windows-1252.

    Bytes that Windows-1252 lacks are read as Latin-1.
    """
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return content.decode("utf-16"), "utf-16"
    head = content[:1000]
    if head.count(0) > len(head) // 4:
        encoding = "utf-16-be" if head[:1] == b"\0" else "utf-16-le"
        return content.decode(encoding), encoding
    for encoding in ("utf-8-sig", "cp1252"):
        try:
            return content.decode(encoding), encoding
        except UnicodeDecodeError:
            continue
    return content.decode("latin-1"), "latin-1"


def _read_text(text: str, encoding: str) -> Table:
    """Table in a text file. Raises `ValueError` if it is empty, or a row is malformed."""
    if not text.strip():
        raise ValueError("it is empty")
    separator = _separator(text)
    has_header = _has_header(text, separator)
    frame = _read_rows(text, separator, has_header=has_header)
    if _ends_with_separators(frame):
        frame = _read_rows(text, separator, has_header=has_header, cells=len(frame.columns))
    if '"' in text and _has_value_of_several_lines(frame):
        _refuse_open_quotes(text, separator)
    notes = []
    if encoding in ("cp1252", "latin-1"):
        notes.append("The table is not UTF-8; it was read as Windows-1252 text.")
    if not has_header:
        frame.columns = frame.columns.map(lambda k: str(k + 1))
        notes.append("The table has no header; its columns are called 1, 2 and so on.")
    return Table(_with_plain_names(frame), has_header=has_header, notes=tuple(notes))


def _read_rows(
    text: str, separator: str, *, has_header: bool, cells: int | None = None
) -> "pd.DataFrame":
    """Rows of a text, or only the first ``cells`` of each."""
    import pandas as pd  # slow to import, and most data are folders

    return pd.read_csv(
        io.StringIO(text),
        sep=separator,
        dtype=str,
        keep_default_na=False,
        header=0 if has_header else None,
        skipinitialspace=True,
        index_col=None if cells is None else False,
        usecols=None if cells is None else range(cells),
    )


def _ends_with_separators(frame: "pd.DataFrame") -> bool:
    """Whether rows end with separators that the header lacks.

    Pandas then takes the first columns as the index, and the last columns are empty.
    """
    import pandas as pd

    last = frame.iloc[:, -frame.index.nlevels :].fillna("")
    return not isinstance(frame.index, pd.RangeIndex) and bool((last == "").all(axis=None))


def _has_value_of_several_lines(frame: "pd.DataFrame") -> bool:
    return any(frame[name].astype(str).str.contains("\n", regex=False).any() for name in frame)


def _refuse_open_quotes(text: str, separator: str) -> None:
    """Raise `ValueError` if a value begins with a quotation mark that the value does not end with.

    Pandas takes the rows up to the next quotation mark for a part of that value, and tells nobody.
    """
    if separator == _SPACES:
        return
    rows = csv.reader(
        io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True, strict=True
    )
    first_line_of_row = 1
    try:
        for _ in rows:
            first_line_of_row = rows.line_num + 1
    except csv.Error as error:
        if "expected after" in str(error):  # and not that a value is long
            raise ValueError(
                f"line {first_line_of_row} has a quotation mark that is not closed"
            ) from None


def _read_json_lines(text: str) -> Table:
    """Table in a text with a JSON object in each line. Raises `ValueError` if it is another one."""
    import pandas as pd

    records = [json.loads(line) for line in text.splitlines() if line.strip()]
    return Table(_with_plain_names(pd.DataFrame(records, dtype=object)))


def _has_header(text: str, separator: str) -> bool:
    """Whether the first row names the columns.

    It does not if it names an image. It does if one of its values is the name of a column of images
    and appears once. Otherwise it does not if one of its values is repeated further down.
    """
    lines = _sample(text)
    if separator == _SPACES:
        rows = [line.split() for line in lines]
    else:
        rows = list(csv.reader(lines, delimiter=separator, skipinitialspace=True))
    first, *others = [[cell.strip() for cell in row] for row in rows]
    if any(looks_like_image(cell) for cell in first):
        return False
    below = [set(column) for column in zip_longest(*others, fillvalue="")]
    columns = list(zip(first, below, strict=False))
    if any((is_image_name(c) or is_id_name(c)) and c not in seen for c, seen in columns):
        return True
    return not any(cell and cell in seen for cell, seen in columns)


def _sample(text: str) -> list[str]:
    """Complete lines at the beginning of a text that are not empty."""
    head = text[:_SAMPLE_CHARACTERS]
    lines = head.splitlines()
    if len(head) < len(text) and len(lines) > 1:
        lines.pop()
    return [line for line in lines if line.strip()]


def _separator(text: str) -> str:
    """Separator that cuts every row of the sample into as many cells as the first row.

    `csv.Sniffer` is not used, because it fails on short tables and may choose a letter.
    """
    sample = _sample(text)
    for separator in _SEPARATORS:
        widths = Counter(len(row) for row in csv.reader(sample, delimiter=separator) if row)
        first = len(next(csv.reader(sample, delimiter=separator)))
        if first > 1 and set(widths) == {first}:
            return separator
    if _is_path_and_label(sample):
        return _SPACES
    return _most_frequent_separator(sample[0])


def _is_path_and_label(lines: Sequence[str]) -> bool:
    """Whether every line has an image's path, spaces and one more word, as lists of images have."""
    return all(re.fullmatch(r"\S+\.(\w+)\s+\S+\s*", line) for line in lines) and all(
        looks_like_image(line.split()[0]) for line in lines
    )


def _most_frequent_separator(header: str) -> str:
    """Most frequent separator in the first row; a comma if there is none."""
    return max(_SEPARATORS, key=header.count)


def _with_plain_names(frame: "pd.DataFrame") -> "pd.DataFrame":
    """Frame whose column names are text without surrounding spaces. Names must be unique."""
    names = [str(name).strip() for name in frame.columns]
    if repeated := [name for name, count in Counter(names).items() if count > 1]:
        raise ValueError(f"it has two columns called {repeated[0]!r}")
    return frame.set_axis(names, axis=1)
