"""Cases of `tests.support.data_readings`: layouts of folders, companions, and names."""

import os
import shutil
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from PIL import Image

from tests.support.reading_case import Case, Truth, classes, images, picture, text, unused


def splits(*names: str) -> Callable[[Path], Truth]:
    """Folders of train, test and (if there are three) val, each with a folder per class."""

    def make(folder: Path) -> Truth:
        truth = classes(folder / "d" / names[0], split="train")
        truth |= classes(folder / "d" / names[1], split="test", each=3)
        for name in names[2:]:
            truth |= classes(folder / "d" / name, split="val", each=4)
        return truth

    return make


def below(inner: str) -> Callable[[Path], Truth]:
    """Two classes in the folder ``inner`` of the data."""
    return lambda folder: classes(folder / "d" / inner)


def beside(*others: Callable[[Path], object], **options: object) -> Callable[[Path], Truth]:
    """Two classes, and what the ``others`` write into the data's folder."""

    def make(folder: Path) -> Truth:
        truth = classes(folder / "d", **options)  # type: ignore[arg-type]
        for other in others:
            other(folder / "d")
        return truth

    return make


def called(*labels: str) -> Callable[[Path], Truth]:
    """Classes with these names."""
    return lambda folder: classes(folder / "d", labels)


def named(name: str) -> Callable[[Path], Truth]:
    """Two classes of images whose names follow the pattern ``name``."""
    return lambda folder: classes(folder / "d", name=name)


def _together(*parts: Callable[[Path], Truth]) -> Callable[[Path], Truth]:
    return lambda folder: {path: use for part in parts for path, use in part(folder).items()}


def _class_with_splits(folder: Path) -> Truth:
    truth: Truth = {}
    for label in ("cat", "dog"):
        truth |= images(folder / "d" / label / "train", label, "train")
        truth |= images(folder / "d" / label / "test", label, "test", each=3)
    return truth


def _names_with_class(pattern: str) -> Callable[[Path], Truth]:
    def make(folder: Path) -> Truth:
        truth: Truth = {}
        for label in ("cat", "dog"):
            truth |= images(folder / "d", label, name=pattern.replace("CLASS", label))
        return truth

    return make


def _copied_classes(inner: str, copy: str) -> Callable[[Path], Truth]:
    def make(folder: Path) -> Truth:
        truth = classes(folder / "d" / inner)
        shutil.copytree(folder / "d" / inner, folder / "d" / copy)
        return truth

    return make


def _copied_class(folder: Path) -> Truth:
    truth = classes(folder / "d")
    shutil.copytree(folder / "d" / "cat", folder / "d" / "cat - Copy")
    return truth


def _copied_below(folder: Path) -> Truth:
    truth = classes(folder / "d", ("no", "yes"))
    shutil.copytree(folder / "d", folder / "copy")
    (folder / "copy").rename(folder / "d" / "tumour_dataset")
    return truth


def _masks_within(pattern: str) -> Callable[[Path], Truth]:
    """Photos, and the black and white masks of all of them in the same folders."""

    def make(folder: Path) -> Truth:
        truth = classes(folder / "d", name="{}.jpg" if pattern == "{}.png" else "{}.png")
        for photo in truth:
            mask = photo.with_name(pattern.format(photo.stem))
            Image.open(photo).convert("1").save(mask)
        return truth

    return make


def _masks_beside(image_folder: str, mask_folder: str, image: str = "{}.png") -> Callable:
    """Folders of images and masks with the same names, in each class or (with a slash) above."""

    def make(folder: Path) -> Truth:
        truth: Truth = {}
        for label in ("cat", "dog"):
            first = folder / "d" / image_folder.replace("CLASS", label)
            truth |= images(first, label, name=image)
            unused(folder / "d" / mask_folder.replace("CLASS", label))
        return truth

    return make


def _annotated(suffix: str) -> Callable[[Path], Truth]:
    def make(folder: Path) -> Truth:
        truth = classes(folder / "d", name="{}.jpg")
        for image in truth:
            text(image.with_suffix(suffix), "{}\n")
        return truth

    return make


def _mac_zip(folder: Path) -> Truth:
    truth = classes(folder / "d")
    for image in truth:
        text(folder / "d" / "__MACOSX" / image.parent.name / f"._{image.name}", b"\0\5\26\7")
    text(folder / "d" / ".DS_Store")
    text(folder / "d" / "cat" / ".DS_Store")
    return truth


def _link_back(folder: Path) -> Truth:
    truth = classes(folder / "d")
    (folder / "d" / "cat" / "again").symlink_to(folder / "d", target_is_directory=True)
    return truth


def _linked_class(folder: Path) -> Truth:
    truth = images(folder / "d" / "cat", "cat")
    images(folder / "elsewhere", "dog")
    (folder / "d" / "dog").symlink_to(folder / "elsewhere", target_is_directory=True)
    dogs = images(folder / "elsewhere", "dog")
    return truth | dogs


def _fake_heic(folder: Path, each: int = 12) -> None:
    for i in range(each):
        text(folder / f"IMG_{i}.HEIC", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(64))


def _bytes_name(in_class: bool) -> Callable[[Path], Truth]:
    def make(folder: Path) -> Truth:
        label = os.fsdecode(b"caf\xe9") if in_class else "cat"
        name = "{}.png" if in_class else os.fsdecode(b"gr\xfcn_{}.png")
        return images(folder / "d" / label, label, name=name) | images(folder / "d" / "dog", "dog")

    return make


def _accents(folder: Path) -> Truth:
    """The class in train is written in NFC, and that in test in NFD, as a Mac writes it."""
    truth: Truth = {}
    label = unicodedata.normalize("NFC", "café")
    for split, form, each in (("train", "NFC", 12), ("test", "NFD", 3)):
        written = unicodedata.normalize(form, label)
        truth |= images(folder / "d" / split / written, label, split, each=each)  # type: ignore[arg-type]
        truth |= images(folder / "d" / split / "bar", "bar", split, each=each)  # type: ignore[arg-type]
    return truth


def _merged(labels: Sequence[str], merged: str, *others: str) -> Callable[[Path], Truth]:
    def make(folder: Path) -> Truth:
        truth = classes(folder / "d", [*labels, *others])
        return {
            p: replace(use, label=merged if use.label in labels else use.label)
            for p, use in truth.items()
        }

    return make


def _split_cases() -> list[Case]:
    spellings = {
        "train, test, val": ("train", "test", "val"),
        "Train, Test, Valid": ("Train", "Test", "Valid"),
        "TRAIN and TEST": ("TRAIN", "TEST"),
        "training, testing, validation": ("training", "testing", "validation"),
        "Training_Set and Test_Set": ("Training_Set", "Test_Set"),
        "training_set, test_set, validation_set": ("training_set", "test_set", "validation_set"),
        "training set and test set, with blanks": ("training set", "test set"),
        "train2017, test2017, val2017": ("train2017", "test2017", "val2017"),
        "x_train, x_test, x_val": ("x_train", "x_test", "x_val"),
        "train_images and test_images": ("train_images", "test_images"),
        "images_train and images_test": ("images_train", "images_test"),
        "train-data and test-data": ("train-data", "test-data"),
        "seg_train and seg_test": ("seg_train", "seg_test"),
        "trainset, testset, valset": ("trainset", "testset", "valset"),
        "train, holdout and dev": ("train", "holdout", "dev"),
    }
    spelt = [Case(f"splits called {name}", splits(*folders)) for name, folders in spellings.items()]
    return [
        *spelt,
        Case("train alone", lambda f: classes(f / "d" / "train", split="train")),
        Case("train and eval", splits("train", "test", "eval"), says="eval-is"),
        Case(
            "train and eval, where eval is the test",
            splits("train", "eval"),
            "d --split.eval-is test",
        ),
        Case("train/train, as unpacked", splits("train/train", "test/test"), answer="either"),
        Case("a split within each class", _class_with_splits),
        Case(
            "a class that only the test has",
            lambda f: (
                classes(f / "d" / "train", split="train")
                | classes(f / "d" / "test", ("cat", "dog", "emu"), "test")
            ),
            answer="ask",
            says="emu",
        ),
        Case(
            "a class beside split folders",
            lambda f: splits("train", "test")(f) | images(f / "d" / "emu", "emu"),
            answer="ask",
            says="emu",
        ),
        Case(
            "a test folder of images without classes",
            lambda f: classes(f / "d" / "train", split="train") | unused(f / "d" / "test"),
            answer="either",
            says="test",
        ),
        Case(
            "folders fold1 and fold2 with the same classes",
            lambda f: classes(f / "d" / "fold1") | classes(f / "d" / "fold2"),
            answer="ask",
        ),
        Case(
            "folders of years with the same classes",
            lambda f: classes(f / "d" / "2019") | classes(f / "d" / "2020"),
            answer="ask",
        ),
        Case("classes valid and invalid", called("invalid", "valid"), answer="either"),
        Case("classes test and control", called("control", "test"), answer="either"),
        Case(
            "classes toy_bus, toy_car and toy_train",
            called("toy_bus", "toy_car", "toy_train"),
            answer="either",
        ),
        Case(
            "Cat in train and cat in test",
            lambda f: (
                classes(f / "d" / "train", ("Cat", "dog"), "train")
                | classes(f / "d" / "test", ("cat", "dog"), "test", each=3)
            ),
            answer="ask",
            says="merge-labels",
        ),
        Case(
            "a class that is called train, beside car and bus",
            called("bus", "car", "train"),
            answer="ask",
            says="train",
        ),
    ]


def _layout_cases() -> list[Case]:
    return [
        Case("a folder per class", below("")),
        Case("ten classes called 0 to 9", called(*map(str, range(10)))),
        Case("classes within one folder", below("images")),
        Case("classes within two folders", below("archive/photos")),
        Case("classes within a folder of the same name", below("d")),
        Case("splits within a folder", splits("v1/train", "v1/test")),
        Case("splits within two folders", splits("a/b/train", "a/b/test", "a/b/val")),
        Case("a folder images in each class", lambda f: classes(f / "d", inner="images")),
        Case(
            "a class with some images in a deeper folder",
            lambda f: classes(f / "d") | images(f / "d" / "cat" / "more", "cat", each=3),
            answer="either",
        ),
        Case(
            "subclasses in each class",
            lambda f: (
                classes(f / "d" / "cat", ("persian", "siamese"))
                | classes(f / "d" / "dog", ("poodle", "pug"))
            ),
            answer="ask",
            says="--layout",
            was_silently_wrong=True,
        ),
        Case(
            "names that begin with the class (cat.0.png)",
            _names_with_class("CLASS.{}.png"),
            answer="either",
        ),
        Case(
            "names that begin with the class (cat_000.png)",
            _names_with_class("CLASS_{:03}.png"),
            answer="either",
        ),
        Case(
            "names that end with the class (000_cat.png)",
            _names_with_class("{:03}_CLASS.png"),
            answer="either",
        ),
        Case(
            "a folder one level too high: two data sets side by side",
            lambda f: classes(f / "d" / "animals") | classes(f / "d" / "cars", ("audi", "bmw")),
            answer="ask",
            says="animals",
            was_silently_wrong=True,
        ),
        Case(
            "a folder one level too high: two data sets with splits",
            lambda f: (
                splits("animals/train", "animals/test")(f) | splits("birds/train", "birds/test")(f)
            ),
            answer="ask",
        ),
        Case(
            "a repository: the data set beside docs with pictures, and src",
            lambda f: (
                classes(f / "d" / "dataset")
                | unused(f / "d" / "docs", "figure{}.png", 3)
                | text(f / "d" / "src" / "main.py")
            ),
            answer="either",
            says="docs",
            was_silently_wrong=True,
        ),
        Case(
            "a repository: the data set beside src and a README",
            lambda f: (
                classes(f / "d" / "dataset")
                | text(f / "d" / "src" / "main.py")
                | text(f / "d" / "README.md")
            ),
        ),
        Case(
            "a repository: train and test beside models and src",
            lambda f: (
                splits("train", "test")(f)
                | text(f / "d" / "models" / "net.h5")
                | text(f / "d" / "src" / "main.py")
            ),
            answer="either",
        ),
        Case(
            "a repository: classes beside a folder of code",
            beside(lambda d: text(d / "src" / "main.py")),
            answer="either",
            says="src",
        ),
        Case("an archive unpacked twice", _copied_classes("animals", "animals (1)"), answer="ask"),
        Case("a class copied under another name", _copied_class, answer="ask"),
        Case("the classes, and a folder with a copy of them", _copied_below, answer="ask"),
        Case(
            "alphabets of characters in two sets",
            lambda f: (
                classes(f / "d" / "images_background" / "greek", ("alpha", "beta"))
                | classes(f / "d" / "images_evaluation" / "latin", ("a", "b"))
            ),
            answer="ask",
            was_silently_wrong=True,
        ),
        Case(
            "a folder per person, with the classes in it",
            lambda f: classes(f / "d" / "anna") | classes(f / "d" / "ben"),
            answer="ask",
        ),
        Case(
            "images and labels as folders",
            lambda f: unused(f / "d" / "images", "{}.jpg") | unused(f / "d" / "labels"),
            answer="ask",
            was_silently_wrong=True,
        ),
        Case(
            "train and test without classes",
            lambda f: unused(f / "d" / "train") | unused(f / "d" / "test"),
            answer="ask",
        ),
        Case(
            "photographs of two cameras in one folder (IMG_0.png, DSC_0.png)",
            lambda f: unused(f / "d", "IMG_{}.png") | unused(f / "d", "DSC_{}.png"),
            answer="ask",
        ),
        Case(
            "a train.csv and a test.csv beside images",
            lambda f: (
                unused(f / "d" / "images", "a{}.png")
                | unused(f / "d" / "images", "b{}.png")
                | text(f / "d" / "train.csv", "image,label\nimages/a0.png,cat\n")
                | text(f / "d" / "test.csv", "image\nimages/b0.png\n")
            ),
            answer="ask",
            says="train.csv",
        ),
        Case("images without a folder", lambda f: unused(f / "d", "IMG{}.png"), answer="ask"),
        Case("one class", called("cat"), answer="ask"),
        Case("an empty folder", _empty_folder, answer="ask"),
        Case("no such folder", lambda f: {}, answer="ask"),
        Case("one image", _one_image, "d.png", answer="ask"),
        Case("an unknown layout", below(""), "d --layout flatt", answer="ask", says="flatt"),
        Case(
            "an empty class folder",
            beside(lambda d: (d / "emu").mkdir()),
            answer="ask",
            says="emu",
            was_silently_wrong=True,
        ),
        Case(
            "an empty class folder that is ignored",
            beside(lambda d: (d / "emu").mkdir()),
            "d --ignore emu",
        ),
        Case(
            "a class folder of text files",
            beside(lambda d: text(d / "emu" / "notes.txt")),
            answer="ask",
            says="emu",
            was_silently_wrong=True,
        ),
        Case(
            "a folder of notes that is ignored",
            beside(lambda d: text(d / "notes" / "notes.txt")),
            "d --ignore notes",
        ),
        Case("a class that is ignored", beside(lambda d: images(d / "emu", "")), "d --ignore emu"),
        Case(
            "two patterns that are ignored",
            beside(lambda d: images(d / "emu", ""), lambda d: picture(d / "cat" / "old.png")),
            "d --ignore emu,*/old.png",
        ),
        Case(
            "a class of HEIC photographs, without the reader for them",
            beside(lambda d: _fake_heic(d / "emu")),
            answer="ask",
            says="heif",
            without="pillow_heif",
            was_silently_wrong=True,
        ),
        Case(
            "some HEIC photographs in a class, without the reader for them",
            beside(lambda d: _fake_heic(d / "cat", 6)),
            answer="ask",
            says="heif",
            without="pillow_heif",
            was_silently_wrong=True,
        ),
        Case("a link that leads back", _link_back, answer="either", was_silently_wrong=True),
        Case("a class folder that is a link", _linked_class),
        Case(
            "a table beside a folder of images",
            lambda f: _table_beside(f),
            answer="either",
            says="labels.csv",
        ),
        Case(
            "a table beside classes",
            beside(lambda d: text(d / "labels.csv", "path,label\ncat/0.png,cat\n")),
            answer="either",
        ),
    ]


def _one_image(folder: Path) -> Truth:
    picture(folder / "d.png")
    return {}


def _empty_folder(folder: Path) -> Truth:
    (folder / "d").mkdir()
    return {}


def _table_beside(folder: Path) -> Truth:
    truth: Truth = {}
    rows = ["path,label"]
    for label in ("cat", "dog"):
        drawn = images(folder / "d" / "images", label, name=label[0] + "{}.png")
        rows += [f"images/{path.name},{label}" for path in drawn]
        truth |= drawn
    text(folder / "d" / "labels.csv", "\n".join(rows) + "\n")
    return truth


def _companion_cases() -> list[Case]:
    return [
        Case(
            "masks called x_mask.png in the classes",
            _masks_within("{}_mask.png"),
            was_silently_wrong=True,
        ),
        Case(
            "masks called x_segmentation.png in the classes",
            _masks_within("{}_segmentation.png"),
            answer="either",
            was_silently_wrong=True,
        ),
        Case(
            "x.png beside x.jpg in the classes",
            _masks_within("{}.png"),
            answer="either",
            was_silently_wrong=True,
        ),
        Case("masks called x_mask.png without their images", named("{}_mask.png"), answer="either"),
        Case("classes with_mask and without_mask", called("with_mask", "without_mask")),
        Case("classes mask and no_mask", called("mask", "no_mask"), answer="either"),
        Case("images and masks in each class", _masks_beside("CLASS/images", "CLASS/masks")),
        Case("classes in images and in masks", _masks_beside("images/CLASS", "masks/CLASS")),
        Case("masks in a folder of each class", _masks_beside("CLASS", "CLASS/masks")),
        Case("a folder GT in each class", _masks_beside("CLASS", "CLASS/GT")),
        Case("a folder Ground_truth in each class", _masks_beside("CLASS", "CLASS/Ground_truth")),
        Case(
            "a folder GT beside the classes",
            beside(lambda d: unused(d / "GT")),
            answer="either",
            was_silently_wrong=True,
        ),
        Case(
            "a folder masks beside the classes",
            beside(lambda d: unused(d / "masks")),
            answer="either",
            was_silently_wrong=True,
        ),
        Case("an .xml file for each image", _annotated(".xml")),
        Case("a .json file for each image", _annotated(".json")),
        Case("a .txt file for each image", _annotated(".txt")),
        Case("an archive made on a Mac", _mac_zip),
        Case(
            "Thumbs.db and desktop.ini",
            beside(lambda d: text(d / "cat" / "Thumbs.db"), lambda d: text(d / "desktop.ini")),
        ),
        Case(
            "hidden folders",
            beside(
                lambda d: unused(d / ".ipynb_checkpoints"),
                lambda d: unused(d / "cat" / ".thumbs", each=2),
            ),
        ),
    ]


def _name_cases() -> list[Case]:
    return [
        Case("blanks in names", _together(called("guinea pig", "sea lion"))),
        Case("quotes in names", called('cat\'s "best"', "dog`s")),
        Case("commas and semicolons in names", named("a,b;{}.png")),
        Case("a newline in names", named("a\n{}.png")),
        Case("percent, hash and backslash in names", named("50%#a\\b{}.png")),
        Case("accents in NFC in train and in NFD in test", _accents, answer="either"),
        Case(
            "two classes that differ in the form of an accent",
            called(unicodedata.normalize("NFC", "café"), unicodedata.normalize("NFD", "café")),
            answer="either",
            says="merge-labels",
            was_silently_wrong=True,
        ),
        Case("file names that are not UTF-8", _bytes_name(in_class=False), answer="ask"),
        Case("a class name that is not UTF-8", _bytes_name(in_class=True), answer="ask"),
        Case("names of 250 bytes", named("x" * 240 + "{}.png")),
        Case("emoji in names", called("🐱", "🐶")),
        Case("upper-case suffixes", named("{}.PNG")),
        Case(
            "suffixes .JPG and .jpeg",
            _together(
                lambda f: images(f / "d" / "cat", "cat", name="{}.JPG"),
                lambda f: images(f / "d" / "dog", "dog", name="{}.jpeg"),
            ),
        ),
        Case("images without a suffix", named("IMG{}"), answer="either"),
        Case(
            "some images without a suffix",
            lambda f: classes(f / "d") | images(f / "d" / "cat", "cat", name="IMG{}"),
            was_silently_wrong=True,
        ),
        Case(
            "PNG files called .jpg",
            lambda f: {
                picture(path, format="png"): use
                for path, use in classes(f / "d", name="{}.jpg").items()
            },
        ),
        Case("two suffixes", named("{}.jpg.png")),
        Case("a dot before the name of a class", called("1.cat", "2.dog")),
        Case(
            "labels 1 and 01",
            called("01", "1", "2"),
            answer="either",
            says="merge-labels",
            was_silently_wrong=True,
        ),
        Case("labels 1 and 01, merged", _merged(("01", "1"), "1", "2"), "d --merge-labels"),
        Case(
            "labels Cat and cat",
            called("Cat", "cat", "dog"),
            answer="either",
            says="merge-labels",
            was_silently_wrong=True,
        ),
        Case(
            "labels Cat and cat, merged", _merged(("Cat", "cat"), "Cat", "dog"), "d --merge-labels"
        ),
        Case(
            "a trailing blank in a label",
            called("cat", "cat ", "dog"),
            answer="either",
            says="merge-labels",
            was_silently_wrong=True,
        ),
        Case("a class called None, and one called nan", called("None", "nan")),
    ]


CASES = [*_layout_cases(), *_split_cases(), *_companion_cases(), *_name_cases()]
