from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.support.archives import pack
from tests.support.folders import lay_out
from trainables.data import read_source
from trainables.folders.companions import is_mask_name, without_companions
from trainables.folders.tree import scan_tree
from trainables.listing import ReadOptions

CASES: dict[str, tuple[list[str], list[str]]] = {
    "a mask by its ending": (["a/x.png", "a/x_mask.png"], ["a/x_mask.png"]),
    "several masks of an image": (
        ["a/b (1).png", "a/b (1)_mask.png", "a/b (1)_mask_1.png"],
        ["a/b (1)_mask.png", "a/b (1)_mask_1.png"],
    ),
    "other endings": (
        ["a/x.jpg", "a/x_seg.png", "a/x-GT.png", "a/x_ground_truth.png"],
        ["a/x-GT.png", "a/x_ground_truth.png", "a/x_seg.png"],
    ),
    "a mask in another format": (
        ["a/1.jpg", "a/2.jpg", "a/1.png", "a/2.png"],
        ["a/1.png", "a/2.png"],
    ),
    "photographs in two formats": (["a/1.jpg", "a/2.jpg", "a/1.png", "a/3.png"], []),
    "an ending without its image": (["a/blue_mask.png", "a/red_mask.png"], []),
    "masks beside images": (["images/1.png", "masks/1.png"], ["masks/1.png"]),
    "ground truth beside images": (["img/1.png", "Ground_truth/1.png"], ["Ground_truth/1.png"]),
    "annotations of other kinds": (
        ["images/1.png", "labels/1.png", "labels/1.txt"],
        ["labels/1.png", "labels/1.txt"],
    ),
    "masks below their images": (["a/1.png", "a/mask/1.png"], ["a/mask/1.png"]),
    "masks named as such below their images": (
        ["a/1.png", "a/masks/1_mask.png"],
        ["a/masks/1_mask.png"],
    ),
    "classes called mask": (["mask/1.png", "no_mask/1.png"], []),
}


@pytest.mark.parametrize("name", CASES)
def test_masks_and_annotations_are_left_out(name: str, tmp_path: Path) -> None:
    entries, expected = CASES[name]
    tree = scan_tree(lay_out(tmp_path, *entries)).root
    rest, left_out = without_companions(tmp_path, tree)
    assert left_out == expected
    assert rest.image_count == sum(1 for e in entries if not e.endswith(".txt")) - sum(
        1 for path in expected if not path.endswith(".txt")
    )


def test_folders_that_the_user_calls_classes_are_kept(tmp_path: Path) -> None:
    tree = scan_tree(lay_out(tmp_path, "images", "masks")).root
    assert without_companions(tmp_path, tree, keep_folders_of="")[1] == []
    assert len(without_companions(tmp_path, tree)[1]) == 3


def left_out(root: Path) -> list[str]:
    return without_companions(root, scan_tree(root).root)[1]


def draw(file: Path, colours: int, size: tuple[int, int] = (40, 30), mode: str = "RGB") -> None:
    """Save an image of this many colours."""
    values = np.arange(size[0] * size[1]).reshape(size[::-1]) % colours
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values.astype(np.uint8)).convert(mode).save(file)


@pytest.mark.parametrize("masked", [12, 3])
@pytest.mark.parametrize(("colours", "mode"), [(2, "1"), (2, "L"), (21, "P"), (5, "RGB")])
def test_an_image_of_few_colours_and_the_size_of_its_photo_is_a_mask(
    tmp_path: Path, colours: int, mode: str, masked: int
) -> None:
    for number in range(12):
        draw(tmp_path / f"a/{number}.jpg", 200)
    for number in range(masked):
        draw(tmp_path / f"a/{number}.png", colours, mode=mode)
    assert len(left_out(tmp_path)) == masked


@pytest.mark.parametrize(("colours", "size"), [(200, (40, 30)), (2, (32, 32))])
@pytest.mark.parametrize("pictures", [12, 3])
def test_other_pictures_that_are_numbered_as_photos_are_kept(
    tmp_path: Path, pictures: int, colours: int, size: tuple[int, int]
) -> None:
    for number in range(12):
        draw(tmp_path / f"a/{number}.jpg", 200)
    for number in range(pictures):
        draw(tmp_path / f"a/{number}.png", colours, size)
    assert left_out(tmp_path) == []


def test_images_are_compared_in_spite_of_damaged_ones_and_photos_on_their_side(
    tmp_path: Path,
) -> None:
    for number in range(3):
        draw(tmp_path / f"a/{number}.jpg", 200, (30, 40))
        draw(tmp_path / f"a/{number}.png", 2)
    (tmp_path / "a/0.png").write_bytes(b"no image")
    assert left_out(tmp_path) == ["a/0.png", "a/1.png", "a/2.png"]


def test_masks_in_an_archive_are_found(tmp_path: Path) -> None:
    for number in range(3):
        draw(tmp_path / f"d/a/{number}.jpg", 200)
        draw(tmp_path / f"d/a/{number}.png", 2)
        draw(tmp_path / f"d/b/{number}.jpg", 201)
    file = pack(tmp_path / "d", tmp_path / "d.tar")
    found = read_source(file, cache=tmp_path / "cache", options=ReadOptions())
    assert len(found.rows) == 6
    assert "masks and annotations of other images: 3" in str(found.unused[0])


@pytest.mark.parametrize(
    ("name", "is_mask"),
    [
        ("Ground_truth", True),
        ("GT", True),
        ("trainMasks", True),
        ("cat", False),
        ("grounds", False),
    ],
)
def test_names_of_masks(name: str, is_mask: bool) -> None:
    assert is_mask_name(name) == is_mask
