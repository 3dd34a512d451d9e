from pathlib import Path

import pytest

from tests.support.folders import lay_out
from trainables.folders.companions import is_mask_name, without_companions
from trainables.folders.tree import scan_tree

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
    rest, left_out = without_companions(tree)
    assert left_out == expected
    assert rest.image_count == sum(1 for e in entries if not e.endswith(".txt")) - sum(
        1 for path in expected if not path.endswith(".txt")
    )


def test_folders_that_the_user_calls_classes_are_kept(tmp_path: Path) -> None:
    tree = scan_tree(lay_out(tmp_path, "images", "masks")).root
    assert without_companions(tree, keep_folders_of="")[1] == []
    assert len(without_companions(tree)[1]) == 3


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
