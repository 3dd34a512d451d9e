import gzip
from pathlib import Path

import pandas as pd
import pytest

from spaces import DataError
from trainables.tables.table import Table, looks_like_image, read_table

ROWS = "path,label\na.png,cat\nb.png,dog\n"


@pytest.mark.parametrize(
    "content",
    [
        ROWS.encode(),
        ROWS.replace(",", ";").encode(),
        ROWS.replace(",", "\t").encode(),
        ROWS.replace(",", "|").encode(),
        ROWS.replace(",", ", ").encode(),
        ROWS.replace("path,label", " path , label ").encode(),
        ROWS.replace("\n", "\r\n").encode(),
        ROWS.encode("utf-8-sig"),
        ROWS.encode("utf-16"),
        ROWS.encode("utf-16-le"),
        ROWS.encode("utf-16-be"),
        gzip.compress(ROWS.encode(), mtime=0),
        b'"path","label"\n"a.png","cat"\n"b.png","dog"\n',
        b"path;label\na.png;cat\nb.png;dog",
    ],
)
def test_one_table_is_read_whatever_its_separator_and_encoding(
    tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "t.csv").write_bytes(content)
    table = read_table(tmp_path / "t.csv")
    assert table.columns == ["path", "label"]
    assert table.texts("path") == ["a.png", "b.png"]
    assert table.texts("label") == ["cat", "dog"]


def test_a_comma_in_a_value_is_no_separator(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("path;label\na.png;cat, black\nb,1.png;dog\n")
    assert read_table(tmp_path / "t.csv").texts("label") == ["cat, black", "dog"]


def test_a_table_in_windows_1252_is_read_and_told(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes("path,label\na.png,caf\u00e9\n".encode("cp1252"))
    table = read_table(tmp_path / "t.csv")
    assert table.texts("label") == ["caf\u00e9"]
    assert "it was read as Windows-1252" in table.notes[0]


@pytest.mark.parametrize(
    "text",
    [
        "a.png,cat\nb.png,dog\n",
        "a.png cat\nb.png dog\n",
        "a.png\tcat\nb.png\tdog\n",
        "images/a.JPG 0\nimages/b.JPG 1\n",
        "17,cat\n18,cat\n19,dog\n",
    ],
)
def test_a_table_without_a_header_has_numbered_columns(tmp_path: Path, text: str) -> None:
    (tmp_path / "t.txt").write_text(text)
    table = read_table(tmp_path / "t.txt")
    assert not table.has_header and table.columns == ["1", "2"]
    assert len(table.frame) == len(text.splitlines())
    assert "has no header" in table.notes[0]


@pytest.mark.parametrize(
    "text",
    [
        "image,label\na.png,label\nb.png,cat\n",
        "path,defect\na.png,defect\nb.png,sound\n",
        "label;id_code\nlabel;17\ncat;18\n",
    ],
)
def test_a_class_may_be_called_as_its_column(tmp_path: Path, text: str) -> None:
    (tmp_path / "t.csv").write_text(text)
    table = read_table(tmp_path / "t.csv")
    assert table.has_header and len(table.frame) == 2
    assert table.columns == text.splitlines()[0].replace(";", ",").split(",")


@pytest.mark.parametrize("ends", [(",", ","), (",,", ",,"), (",", "")])
def test_separators_at_the_end_of_rows_are_no_columns(
    tmp_path: Path, ends: tuple[str, str]
) -> None:
    (tmp_path / "t.csv").write_text(f"id,label\n007,cat{ends[0]}\n008,dog{ends[1]}\n")
    table = read_table(tmp_path / "t.csv")
    assert table.columns == ["id", "label"]
    assert table.texts("id") == ["007", "008"] and table.texts("label") == ["cat", "dog"]


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("t.csv", b"", "it is empty"),
        ("t.csv", b"PK\x03\x04 a spreadsheet", "save it as CSV"),
        ("t.zip", b"PK\x03\x04 images", "unpack it, and give the folder of its images"),
        ("t.rar", b"Rar!\x1a\x07 images", "unpack it, and give the folder of its images"),
        ("t.json", b'[{"file_name": "a.png"}]', "save it as CSV"),
        ("t.jsonl", b'{"file_name": ', "save it again as CSV or Parquet"),
        ("t.parquet", b"x", "it is not Parquet; save it again"),
        ("t.csv", b"version https://git-lfs.github.com/spec/v1\n", "run git lfs pull"),
        ("t.csv", b"path,label\na,b\na,b,c,d,e\n", "can't be read as a table"),
    ],
)
def test_what_is_no_table_is_refused_in_a_sentence(
    tmp_path: Path, name: str, content: bytes, sentence: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=sentence) as raised:
        read_table(tmp_path / name)
    assert len(str(raised.value)) < 500


def test_a_value_of_several_lines_is_read_and_an_open_quotation_mark_is_refused(
    tmp_path: Path,
) -> None:
    table = tmp_path / "t.csv"
    table.write_text('path,label,note,x\na.png,cat,"two ""big""\nlines"\nb.png,dog,\n')
    assert read_table(table).texts("path") == ["a.png", "b.png"]
    rows = ['a.png,cat,"5 inch', "b.png,dog,", 'c.png,cat,"6 inch', "d.png,dog,"]
    table.write_text("\n".join(["path,label,note", *rows]))
    with pytest.raises(DataError, match="line 2 has a quotation mark that is not closed"):
        read_table(table)


@pytest.mark.parametrize("damage", [slice(0, -9), slice(0, 12)])
def test_a_gzip_file_that_is_cut_off_is_refused_in_a_sentence(
    tmp_path: Path, damage: slice
) -> None:
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(ROWS.encode())[damage])
    with pytest.raises(DataError, match=r"t.csv.gz can't be read as a table: its end is missing"):
        read_table(tmp_path / "t.csv.gz")


def test_a_damaged_gzip_file_is_refused_in_a_sentence(tmp_path: Path) -> None:
    content = bytearray(gzip.compress(ROWS.encode()))
    content[10] = 255
    (tmp_path / "t.csv.gz").write_bytes(content)
    with pytest.raises(DataError, match=r"t.csv.gz can't be read as a table: it is damaged"):
        read_table(tmp_path / "t.csv.gz")


def test_lines_of_json_are_a_table(tmp_path: Path) -> None:
    lines = ['{"file_name": "a.png", "label": 1}', '{"file_name": "b.png"}', ""]
    (tmp_path / "metadata.jsonl").write_text("\n".join(lines))
    table = read_table(tmp_path / "metadata.jsonl")
    assert table.texts("file_name") == ["a.png", "b.png"]
    assert table.texts("label") == ["1", ""]


def test_missing_values_are_empty_texts_and_lists_are_kept() -> None:
    table = Table(pd.DataFrame({"label": [None, float("nan"), " x ", 7, ["a", "b"]]}))
    assert table.texts("label") == ["", "", "x", "7", "['a', 'b']"]
    assert table.first_texts("label") == table.texts("label")


def test_values_that_end_like_an_image_look_like_one() -> None:
    assert looks_like_image(" a/b.JPG ") and looks_like_image("x.tif")
    assert not looks_like_image("png") and not looks_like_image("a.csv")
