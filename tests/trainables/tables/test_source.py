import unicodedata
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from spaces import DataError
from tests.support.archives import image_bytes
from tests.support.images import save_image
from tests.support.parquet import hub_table, write_shard
from trainables.data import check_source, read_source
from trainables.images import read_rgb
from trainables.listing import ReadOptions
from trainables.listing.listing import Listing

SCREEN = 1200
"""Largest number of characters in an error message."""


def listing(data: Path, **options: Any) -> Listing:
    return read_source(data, cache=data.parent / "cache", options=ReadOptions(**options))


def table(folder: Path, text: str, images: Sequence[str] = ("a.png", "b.png")) -> Path:
    """Write the table ``t.csv`` with images beside it."""
    for colour, name in enumerate(images):
        save_image(folder / name, colour)
    file = folder / "t.csv"
    file.write_text(text, encoding="utf-8")
    return file


def refusal(data: Path, **options: Any) -> str:
    """Message for a table that can't be read."""
    with pytest.raises(DataError) as raised:
        listing(data, **options)
    message = str(raised.value)
    assert "\n" not in message and len(message) < SCREEN
    return message


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_tables_are_read_with_common_column_names(tmp_path: Path, kind: str) -> None:
    save_image(tmp_path / "a" / "1.png")
    frame = pd.DataFrame({"Image": ["a/1.png"], "class": ["7"], "subset": ["validation"]})
    file = tmp_path / f"list.{kind}"
    frame.to_csv(file, index=False) if kind == "csv" else frame.to_parquet(file)
    row = listing(file).rows[0]
    assert (row.path, row.label, row.split) == (tmp_path / "a" / "1.png", "7", "val")


@pytest.mark.parametrize(
    ("columns", "sentence"),
    [
        ({"file": ["1.png"], "diagnosis": ["x"]}, "needs one called 'label'"),
        ({"path": ["1.png"], "label": [""]}, "1 row without a label"),
        ({"path": ["1.png"], "label": ["a"], "split": ["reserve"]}, "splits 'reserve'"),
        ({"path": [], "label": []}, "has no rows"),
    ],
)
def test_a_wrong_table_is_refused(
    tmp_path: Path, columns: dict[str, list[str]], sentence: str
) -> None:
    file = tmp_path / "list.csv"
    pd.DataFrame(columns).to_csv(file, index=False)
    with pytest.raises(DataError, match=sentence):
        listing(file)


@pytest.mark.parametrize(
    "text",
    [
        "path,label\na.png,cat\nb.png,dog\n",
        "path;label\na.png;cat\nb.png;dog\n",
        "\ufeffpath\tlabel\na.png\tcat\nb.png\tdog\n",
        " Path , Label \n a.png , cat \n b.png , dog \n",
        "file_name,category\n./a.png,cat\n.\\b.png,dog\n",
        "a.png,cat\nb.png,dog\n",
        "a.png cat\nb.png dog\n",
        "id,label\na,cat\nb,dog\n",
        "image_id,label\na,cat\nb,dog\n",
        "path,cat,dog\na.png,1,0\nb.png,0,1\n",
        "path,cat,dog\na.png,1.0,0.0\nb.png,0.0,1.0\n",
        "path,cat,dog\na.png,True,False\nb.png,False,True\n",
        "img,label,age\na.png,cat,3\nb.png,dog,4\n",
        "photo,label\na.png,cat\nb.png,dog\n",
        "path,label\nA.PNG,cat\nb.PNG,dog\n",
        "path,fine_label\na.png,cat\nb.png,dog\n",
        "id,path,label\n1,a.png,cat\n2,b.png,dog\n",
        "id,path,label\na,a.png,cat\nb,b.png,dog\n",
        "a.png,train,cat\nb.png,test,dog\n",
    ],
)
def test_one_table_is_understood_in_many_forms(tmp_path: Path, text: str) -> None:
    rows = listing(table(tmp_path, text)).rows
    assert [(row.path, row.label) for row in rows] == [
        (tmp_path / "a.png", "cat"),
        (tmp_path / "b.png", "dog"),
    ]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("path,coarse_label,fine_label\na.png,x,y\nb.png,x,z\n", "choose one with --label-column"),
        ("path,label,label_name\na.png,0,cat\nb.png,1,dog\n", r"label \('0'\), label_name"),
        ("path,label,label\na.png,x,y\nb.png,y,x\n", r"label.1 \('y'\); choose one with"),
        ("path,class,label\na.png,leaf,cat\nb.png,leaf,dog\n", "choose one with --label-column"),
        ("path,class,kind\na.png,x,k\nb.png,x,l\n", None),
        ("path,class,kind\na.png,x,k\na.png,x,k\nb.png,x,l\n", "always is 'x'; choose another"),
        ("image,mask,label\na.png,b.png,x\nb.png,a.png,y\n", r"image \('a.png'\), mask"),
        ("path,image,label\na.png,7,x\nb.png,8,y\n", "choose one with --image-column"),
        ("id,path,label\nb,a.png,x\na,b.png,y\n", r"path \('a.png'\), id \('b'\)"),
        ("id,image_id,label\na,b,x\nb,a,y\n", "choose one with --image-column"),
        ("path,label,split,fold\na.png,x,train,test\nb.png,y,test,train\n", "--split-column"),
        ("path,label,split\na.png,x,train\nb.png,y,extra\n", "the splits 'extra'"),
        ("path,label,subset\na.png,x,train\nb.png,y,extra\n", "the splits 'extra'"),
        ("path,cat,dog\na.png,1,1\nb.png,0,1\n", "1 of the 2 rows of .* have several classes"),
        ("path,cat,dog\na.png,0,0\nb.png,0,1\n", "1 of the 2 rows of .* have no class"),
        ("path,label\nhttps://x.org/a.png,x\nb.png,y\n", "1 address instead of paths"),
        ("path,label\n,x\nb.png,y\n", "1 row without an image"),
        ("path,label\na.png,x\na.png,y\n", r"1 image several labels, such as a.png \('x' and 'y'"),
        ("path,label\nc.png,x\nb.png,y\n", r"1 of the 2 images .*'c.png'; give .* --image-root"),
        ("path,label,split\na.png,x,train\nb.png,,train\n", "1 row without a label"),
        ("path,label,split\na.png,,test\nb.png,,test\n", "2 rows without a label"),
        ("a.png,cat,red\nb.png,dog,blue\n", r"2 \('cat'\), 3 \('red'\); .*--label-column"),
        ("path,label\na.png,x\nb.png,y\na.png,x|y\n", r"1 rows the label 'x|y', which joins"),
        ('path,label\na.png,x\nb.png,y\na.png,"y, x"\n', r"1 rows the label 'y, x'"),
        ("17,cat\n18,cat\n", "needs one called 'path'"),
    ],
)
def test_a_table_that_can_be_read_in_several_ways_is_refused(
    tmp_path: Path, text: str, sentence: str | None
) -> None:
    file = table(tmp_path, text)
    if sentence is None:
        assert {row.label for row in listing(file).rows} == {"x"}, "the survey says: one class"
    else:
        with pytest.raises(DataError, match=sentence):
            listing(file)
        refusal(file)


AMBIGUOUS = "id,image,mask,coarse_label,fine_label,fold,split,patient\n" + (
    "b,a.png,b.png,pet,cat,test,train,p1\na,b.png,a.png,pet,dog,train,test,p2\n"
)


def test_flags_choose_every_column(tmp_path: Path) -> None:
    found = listing(
        table(tmp_path, AMBIGUOUS),
        image_column="mask",
        label_column="fine_label",
        split_column="fold",
        group_column="patient",
    )
    assert [(r.path.name, r.label, r.split, r.group) for r in found.rows] == [
        ("b.png", "cat", "test", "p1"),
        ("a.png", "dog", "train", "p2"),
    ]
    assert found.unused[0].count == 4
    assert found.unused[0].example == "id, image, coarse_label, split"
    assert "images: mask, labels: fine_label, splits: fold, groups: patient" in found.kind


@pytest.mark.parametrize("role", ["image", "label", "split", "group"])
def test_a_wrong_name_of_a_column_gets_a_suggestion(tmp_path: Path, role: str) -> None:
    message = refusal(table(tmp_path, AMBIGUOUS), **{f"{role}_column": "fine_lable"})
    assert f"--{role}-column" in message and "did you mean 'fine_label'" in message


def test_messages_about_wide_tables_stay_short(tmp_path: Path) -> None:
    names = [f"a rather long measurement number {k}" for k in range(400)]
    wide = table(tmp_path, ",".join(["path", *names]) + "\na.png" + ",7.5" * 400 + "\n")
    assert "and 381 more" in refusal(wide)
    assert "and 381 more" in refusal(wide, label_column="?")


def test_unused_columns_are_named(tmp_path: Path) -> None:
    text = "path,label,age,fold\na.png,x,3,0\nb.png,y,4,1\n"
    found = listing(table(tmp_path, text))
    assert [(u.count, u.example) for u in found.unused] == [(2, "age, fold")]
    assert {row.split for row in found.rows} == {None}, "numbers of folds are no splits"


@pytest.mark.parametrize(
    ("column", "values", "splits"),
    [
        ("is_valid", ("False", "True"), ("train", "val")),
        ("is_valid", ("0", "1"), ("train", "val")),
        ("is_test", ("False", "True"), (None, "test")),
        ("is_test", ("no", "yes"), (None, "test")),
        ("is_valid", ("N", "Y"), ("train", "val")),
        ("is_train", ("0", "1"), ("val", "train")),
        ("set", ("train", "valid"), ("train", "val")),
        ("Phase", ("Training", "Testing"), ("train", "test")),
        ("partition", ("dev", "train"), ("val", "train")),
        ("subset", ("1", "2"), (None, None)),
        ("fold", ("A", "B"), (None, None)),
        ("split", ("0", "1"), (None, None)),
        ("where", ("train", "test"), ("train", "test")),
        ("eval_or_train", ("eval", "train"), ("val", "train")),
    ],
)
def test_columns_whose_values_name_splits_are_splits(
    tmp_path: Path, column: str, values: tuple[str, str], splits: tuple[str | None, ...]
) -> None:
    text = f"path,label,{column}\na.png,x,{values[0]}\nb.png,y,{values[1]}\n"
    found = listing(table(tmp_path, text))
    assert tuple(row.split for row in found.rows) == splits
    assert bool(found.unused) is (splits == (None, None)), "a column is used, or named"


@pytest.mark.parametrize(
    ("columns", "values", "splits"),
    [
        ("is_valid,is_test", ("0,1", "0,0", "1,0"), ("test", "train", "val")),
        ("is_train,is_test", ("0,1", "0,0", "1,0"), ("test", "val", "train")),
        ("is_train,is_val", ("0,1", "0,0", "1,0"), ("val", "test", "train")),
        ("is_train,is_val,is_test", ("0,0,1", "0,1,0", "1,0,0"), ("test", "val", "train")),
    ],
)
def test_flags_of_several_splits_are_read_together(
    tmp_path: Path, columns: str, values: Sequence[str], splits: Sequence[str]
) -> None:
    names = [f"{k}.png" for k in range(3)]
    rows = [f"{name},x,{value}\n" for name, value in zip(names, values, strict=True)]
    found = listing(table(tmp_path, f"path,label,{columns}\n{''.join(rows)}", names))
    assert [row.split for row in found.rows] == list(splits)
    assert found.unused == () and found.notes == ()


@pytest.mark.parametrize(
    ("columns", "value", "sentence"),
    [
        ("is_valid,is_test", "1,1", "1 row in which more than one of is_valid, is_test is true"),
        ("is_train,is_val,is_test", "0,0,0", "in which none of .* is true, such as row 2; give"),
    ],
)
def test_flags_that_leave_no_split_or_several_are_refused(
    tmp_path: Path, columns: str, value: str, sentence: str
) -> None:
    first = value.replace("1", "0")[:-1] + "1"
    file = table(tmp_path, f"path,label,{columns}\na.png,x,{first}\nb.png,y,{value}\n")
    with pytest.raises(DataError, match=sentence):
        listing(file)
    refusal(file)


def test_rows_that_are_not_train_may_be_val_or_test(tmp_path: Path) -> None:
    file = table(tmp_path, "path,label,is_train\na.png,x,True\nb.png,y,False\n")
    for split, other in (("val", "test"), ("test", "val")):
        found = listing(file, eval_is=split)
        assert [row.split for row in found.rows] == ["train", split]
        assert found.notes == (
            f"Rows that are not is_train were read as {split}; --split.eval-is {other} reads them "
            f"as {other}.",
        )


def test_test_rows_without_a_label_are_left_out_and_told(tmp_path: Path) -> None:
    found = listing(table(tmp_path, "path,label,split\na.png,x,train\nb.png,,test\n"))
    assert [row.path.name for row in found.rows] == ["a.png"]
    assert (found.unused[0].reason, found.unused[0].example) == (
        "test rows without a label",
        "b.png",
    )


def test_a_row_given_twice_is_used_once_and_told(tmp_path: Path) -> None:
    found = listing(table(tmp_path, "path,label\na.png,x\n./a.png,x\nb.png,y\n"))
    assert len(found.rows) == 2
    assert "repeat an image" in found.unused[0].reason and found.unused[0].count == 1


@pytest.mark.parametrize(
    ("images", "root"),
    [
        (("images/a.png", "images/b.png"), "images"),
        (("train/a.png", "train/b.png", "test/a.png"), "train"),
        (("../a.png", "../b.png"), ".."),
    ],
)
def test_images_one_step_away_are_found(tmp_path: Path, images: Sequence[str], root: str) -> None:
    (tmp_path / "set").mkdir()
    found = listing(table(tmp_path / "set", "path,label\na.png,x\nb.png,y\n", images))
    expected = (tmp_path / "set" / root).resolve()
    assert {row.path.resolve().parent for row in found.rows} == {expected}
    assert "The paths of the table start at" in found.notes[0]


def test_images_in_two_folders_need_an_image_root(tmp_path: Path) -> None:
    images = [f"{folder}/{name}.png" for folder in ("small", "large") for name in "ab"]
    file = table(tmp_path, "path,label\na.png,x\nb.png,y\n", images)
    assert "(large/, small/); choose one with --image-root" in refusal(file)
    found = listing(file, image_root=tmp_path / "small")
    assert {row.path.parent.name for row in found.rows} == {"small"}
    assert "choose another --image-root" in refusal(file, image_root=tmp_path / "nowhere")


@pytest.mark.parametrize("prefix", ["/home/bob/pets/", "C:\\Users\\bob\\pets\\"])
def test_absolute_paths_of_another_machine_are_found_and_told(tmp_path: Path, prefix: str) -> None:
    file = table(tmp_path, f"path,label\n{prefix}a.png,x\n{prefix}b.png,y\n")
    found = listing(file)
    assert [row.path for row in found.rows] == [tmp_path / "a.png", tmp_path / "b.png"]
    assert "was on another machine" in found.notes[0]


def test_an_id_that_fits_two_files_is_refused(tmp_path: Path) -> None:
    file = table(tmp_path, "id,label\na,x\nb,y\n", ("a.png", "a.bmp", "b.png"))
    assert "may be a.bmp, a.png; write the name with its ending" in refusal(file)


@pytest.mark.parametrize("on_disk", ["NFC", "NFD"])
def test_accents_match_in_either_form(tmp_path: Path, on_disk: Any) -> None:
    name = "caf\u00e9/\u00fcber.png"
    other = "NFD" if on_disk == "NFC" else "NFC"
    text = f"path,label\n{unicodedata.normalize(other, name)},x\nb.png,y\n"
    file = table(tmp_path, text, (unicodedata.normalize(on_disk, name), "b.png"))
    assert all(row.path.is_file() for row in listing(file).rows)


def test_images_inside_a_parquet_table_are_read_where_they_lie(tmp_path: Path) -> None:
    file = hub_table(tmp_path / "t.parquet", [0, 1, 1])
    found = listing(file)
    assert Counter(row.label for row in found.rows) == {"cat": 1, "dog": 2}
    assert [row.path for row in found.rows] == [file / f"{k}.png" for k in range(3)]
    assert read_rgb(found.rows[2].path).getpixel((0, 0)) == (2, 2, 2)
    assert not (tmp_path / "cache").exists()


def test_rows_inside_a_table_are_left_out_by_their_names(tmp_path: Path) -> None:
    found = listing(hub_table(tmp_path / "t.parquet", [0, 1, 1]), ignore=("1.png", "9.png"))
    assert [row.path.name for row in found.rows] == ["0.png", "2.png"]
    assert [str(u) for u in found.unused] == ["rows left out by --ignore: 1, such as 1.png"]
    assert found.notes == ("--ignore '9.png' matches nothing.",)


def test_rows_without_an_image_are_refused_or_left_out(tmp_path: Path) -> None:
    images = [image_bytes(k) for k in range(6)]
    file = write_shard(tmp_path / "t.parquet", [*images, None, None], [*"ababab", "a", "b"])
    told = f"{file} has 2 rows without an image, such as 6; leave them out with --ignore '6'"
    assert told in refusal(file)
    with pytest.raises(DataError, match="2 rows without an image"):
        check_source(file, cache=tmp_path)
    assert len(listing(file, ignore=("6", "7")).rows) == 6


def test_rows_that_name_files_are_read_from_these(tmp_path: Path) -> None:
    paths = [str(save_image(tmp_path / "a.png")), "b.png"]
    save_image(tmp_path / "b.png")
    file = write_shard(tmp_path / "t.parquet", [None, None], ["x", "y"], paths=paths)
    assert [row.path for row in listing(file).rows] == [tmp_path / "a.png", tmp_path / "b.png"]
    (tmp_path / "b.png").unlink()
    assert "1 row without an image, such as 1, whose file 'b.png' does not exist" in refusal(file)


def test_images_are_read_only_from_files_called_parquet(tmp_path: Path) -> None:
    file = hub_table(tmp_path / "t.pq", [0, 1])
    assert "called .parquet; rename it to t.parquet" in refusal(file)
    file.rename(tmp_path / "t.PARQUET")
    assert len(listing(tmp_path / "t.PARQUET").rows) == 2


def test_a_table_of_images_without_labels_is_refused_by_a_check(tmp_path: Path) -> None:
    file = write_shard(tmp_path / "t.parquet", [image_bytes(0)] * 3)
    with pytest.raises(DataError, match=r"has the columns image; it needs one called 'label'"):
        check_source(file, cache=tmp_path)
    hub_table(file, [0, 1, -1])
    with pytest.raises(DataError, match="has 1 row without a label; fill or drop them"):
        check_source(file, cache=tmp_path)


def test_two_columns_of_images_inside_a_table_need_a_flag(tmp_path: Path) -> None:
    file = hub_table(tmp_path / "t.parquet", [0, 1], "image", "mask")
    assert "image, mask; choose one with --image-column" in refusal(file)
    assert len(listing(file, image_column="image").rows) == 2
    assert "leave out --image-root" in refusal(file, image_column="image", image_root=tmp_path)


def test_lists_of_labels_are_refused(tmp_path: Path) -> None:
    save_image(tmp_path / "a.png")
    frame = pd.DataFrame({"path": ["a.png"], "label": [["cat", "dog"]]})
    frame.to_parquet(tmp_path / "t.parquet")
    assert "give each image one label" in refusal(tmp_path / "t.parquet")


def test_rows_are_left_out_by_their_path_and_counted(tmp_path: Path) -> None:
    for name in ("a.png", "b.png", "c.png"):
        save_image(tmp_path / "d" / name)
    file = tmp_path / "t.csv"
    file.write_text("path,label\nd/a.png,x\nd/b.png,y\nd/c.png,x\nd/c.png,y\n")
    with pytest.raises(DataError, match="leave it out with --ignore"):
        listing(file)
    result = listing(file, ignore=("c.png", "none/*"))
    assert [row.path.name for row in result.rows] == ["a.png", "b.png"]
    assert [(u.reason, u.count) for u in result.unused] == [("rows left out by --ignore", 2)]
    assert any("'none/*' matches nothing" in note for note in result.notes)


def test_the_mistakes_of_a_table_are_found_by_a_check(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("path,label\nlost.png,x\n")
    with pytest.raises(DataError, match=r"1 of the 1 images .*'lost.png'"):
        check_source(tmp_path / "t.csv", cache=tmp_path)
