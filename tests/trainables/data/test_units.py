from pathlib import Path

import pytest

from spaces import DataError
from trainables.data.scan_results import ScannedImage
from trainables.data.units import find_units, group_notes
from trainables.listing.listing import ReadOptions, Row, SplitName


def image(
    name: str, group: str | None = None, pixels: str = "", split: SplitName | None = None
) -> tuple[Row, ScannedImage]:
    scanned = ScannedImage(f"bytes of {name}", pixels=pixels or name)
    return Row(Path("/root") / name, "label", split, group), scanned


def test_copies_and_groups_that_share_an_image_are_one_unit() -> None:
    readable = [image("a", "g"), image("b", "g"), image("c", pixels="b"), image("d")]
    units = find_units(readable, Path("/root"), ReadOptions())
    assert units.names == ("bytes of a",) * 3 + ("bytes of d",)
    assert not units.only_exact_copies


def test_copies_alone_leave_the_draw_as_it_is() -> None:
    readable = [image("a"), image("b", pixels="a"), image("c")]
    units = find_units(readable, Path("/root"), ReadOptions())
    assert units.names == ("bytes of a", "bytes of a", "bytes of c")
    assert units.only_exact_copies


def test_groups_across_given_splits_are_named_with_their_number() -> None:
    readable = [image("p1_a", split="train"), image("p1_b", split="test"), image("x", split="val")]
    units = find_units(readable, Path("/root"), ReadOptions(group_by="p[0-9]"))
    first, second = group_notes(readable, units)
    assert "1 group of 2.0 images" in first and "1 image without a group" in first
    assert "1 of 1 groups have images in several of the given splits" in second


def test_a_group_of_test_images_and_of_images_without_a_split_is_in_several_splits() -> None:
    readable = [image("p1_a"), image("p1_b", split="test")]
    units = find_units(readable, Path("/root"), ReadOptions(group_by="p[0-9]"))
    assert "such as 'p1' in train and test" in group_notes(readable, units)[1]


def test_an_expression_that_matches_no_path_is_refused() -> None:
    with pytest.raises(DataError, match="matches none of the 1 paths"):
        find_units([image("a")], Path("/root"), ReadOptions(group_by="dog"))
