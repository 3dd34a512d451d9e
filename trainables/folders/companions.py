"""Companions: masks and annotations that are stored as images beside the images they describe."""

import os
import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath

from trainables.folders.tree import Folder, file_suffix
from trainables.listing import name_words

MASK_REASON = "masks and annotations of other images"
"""Reason why companions are not used."""

_MASK_WORDS = {
    *("annotation", "annotations", "annots", "bbox", "bboxes", "groundtruth", "gt", "label"),
    *("labels", "mask", "masks", "matte", "mattes", "seg", "segmentation", "segmentations"),
    *("segmented", "segs", "trimap", "trimaps"),
}
"""Words for what describes an image and is stored as an image, in lower case."""
_IMAGE_WORDS = {
    *("data", "image", "images", "img", "imgs", "input", "inputs", "jpegimages", "jpg", "jpgs"),
    *("original", "originals", "photo", "photos", "picture", "pictures", "raw", "rgb"),
}
"""Words for folders of images that masks may lie beside, in lower case."""
_PHOTO_SUFFIXES = {".jpg", ".jpeg", ".jfif", ".heic"}
_MASK_SUFFIXES = {".png", ".gif", ".bmp", ".tif", ".tiff"}
_COMPARED = 5
"""Number of images in a folder that are compared with the photo of the same name."""
_MOST_COLOURS = 32
"""Largest number of colours in a mask. That of an object has two; Pascal VOC has 22 in all."""
_MASK_NAME = re.compile(
    rf"(?P<image>.+?)[ _\-.]+(?:ground[ _-]?truth|{'|'.join(sorted(_MASK_WORDS))})"
    r"(?:[ _\-.(]*\d+\)?)?",
    re.IGNORECASE,
)


def without_companions(
    root: Path,
    folder: Folder,
    place: Callable[[str], str] = str,
    keep_folders_of: str | None = None,
) -> tuple[Folder, list[str]]:
    """Tree without masks and annotations, and the paths of the files that were left out.

    They are a folder such as "masks" beside "images", a file such as "x_mask.png" beside "x.png",
    and a file such as "x.png" beside "x.jpg" if every PNG file of the folder has such a JPEG file,
    of the same size, and few colours. Folders directly in ``keep_folders_of`` are kept, because the
    user calls them classes. ``place`` gives the path on disk of a path; both are below ``root``.
    """
    left_out: list[str] = []
    folders = []
    for child in folder.folders:
        if folder.path != keep_folders_of and _is_mask_folder(child, folder):
            left_out += child.file_paths()
        else:
            kept, more = without_companions(root, child, place, keep_folders_of)
            folders.append(kept)
            left_out += more
    masks = _mask_files(folder.images, lambda name: root / place(folder.join(name)))
    left_out += [folder.join(name) for name in folder.images if name in masks]
    images = tuple(name for name in folder.images if name not in masks)
    return Folder(folder.path, tuple(folders), images, folder.others), left_out


def is_mask_name(name: str) -> bool:
    """Whether a folder's name says that it holds masks or annotations, such as "Ground_truth"."""
    words = name_words(name)
    return bool(_MASK_WORDS.intersection(words)) or "".join(words) == "groundtruth"


def _is_mask_folder(child: Folder, parent: Folder) -> bool:
    """Whether a folder holds masks: by its name, and by the images that lie beside it.

    "mask" beside "no_mask" is a class.
    """
    if not is_mask_name(child.name):
        return False
    siblings = [sibling for sibling in parent.with_images if sibling is not child]
    named = [name_words(sibling.name) for sibling in siblings]
    if any(_IMAGE_WORDS.intersection(name) and not _MASK_WORDS & set(name) for name in named):
        return True
    return bool(parent.images) and not siblings and _describes(child, parent.images)


def _describes(child: Folder, images: Sequence[str]) -> bool:
    """Whether most images in a folder are named as those in ``images`` are."""
    stems = {PurePosixPath(name).stem for name in images}
    names = [PurePosixPath(path).stem for path in child.image_paths()]
    found = [name for name in names if name in stems or _image_of(name) in stems]
    return 2 * len(found) > len(names)


def _mask_files(names: Sequence[str], locate: Callable[[str], Path]) -> set[str]:
    """Names of the files that are masks of other files among ``names``, which lie in one folder."""
    stem_of = {name: os.path.splitext(name)[0] for name in names}  # noqa: PTH122
    stems = set(stem_of.values())
    by_suffix: dict[str, dict[str, str]] = defaultdict(dict)
    masks = set()
    for name, stem in stem_of.items():
        if _image_of(stem) in stems:
            masks.add(name)
        else:
            by_suffix[file_suffix(name)][stem] = name
    photos = {s: name for suffix in _PHOTO_SUFFIXES for s, name in by_suffix[suffix].items()}
    for suffix in _MASK_SUFFIXES:
        same = by_suffix[suffix]
        if same and photos.keys() >= same.keys():
            compared = list(same)[:: -(-len(same) // _COMPARED)]
            alike = [_is_mask_of(locate(photos[s]), locate(same[s])) for s in compared]
            if 2 * sum(alike) > len(alike):
                masks.update(same.values())
    return masks


def _is_mask_of(photo: Path, image: Path) -> bool:
    """Whether an image has the size of the photo, upright or on its side, and few colours."""
    from trainables.images import IMAGE_ERRORS, image_size, read_rgb  # slow to import

    try:
        is_as_large = sorted(image_size(image)) == sorted(image_size(photo))
        return is_as_large and read_rgb(image).getcolors(_MOST_COLOURS) is not None
    except IMAGE_ERRORS:
        return False


def _image_of(stem: str) -> str | None:
    """Stem of the image that a mask is named after; None if the name is not that of a mask."""
    match = _MASK_NAME.fullmatch(stem)
    return match["image"] if match else None
