"""Cases of `tests.support.data_readings`: copies, groups, and formats of images."""

import shutil
import struct
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance

from tests.support.reading_case import Case, Truth, Use, classes, images, noise, text


def _copied(change: Callable[[Image.Image], Image.Image], ending: str) -> Callable[[Path], Truth]:
    """Two classes of 24 images; half of them have a changed copy, which must be in their split.

    The images have the spectrum of photographs, and 64 x 64 pixels; small ones are not compared.
    """

    def make(folder: Path) -> Truth:
        result: Truth = {}
        for path, use in classes(folder / "d", each=24).items():
            Image.fromarray(_photograph(zlib.crc32(f"{use.label}{path.stem}".encode()))).save(path)
            result[path] = replace(use, group=f"{use.label}/{path.stem}")
            if int(path.stem) % 2:
                with Image.open(path) as image:
                    copy = path.with_name(f"{path.stem}_copy{ending}")
                    change(image).save(copy)
                    result[copy] = replace(result[path], needed=False)
        return result

    return make


def _photograph(seed: int) -> np.ndarray:
    """Noise with the spectrum of photographs, 1/f, ``(64, 64, 3)`` uint8."""
    white = np.random.default_rng(seed).normal(size=(64, 64, 3))
    frequency = np.hypot(np.fft.fftfreq(64)[:, None], np.fft.fftfreq(64)[None])
    spectrum = np.fft.fft2(white, axes=(0, 1)) / np.maximum(frequency, 1 / 64)[..., None]
    pixels = np.fft.ifft2(spectrum, axes=(0, 1)).real
    return (110 + 35 * pixels / pixels.std()).clip(0, 255).astype(np.uint8)


def _same_bytes(folder: Path) -> Truth:
    """Three images of cats that lie among the dogs too."""
    truth = classes(folder / "d")
    for i in range(3):
        one, other = folder / "d" / "cat" / f"{i}.png", folder / "d" / "dog" / f"c{i}.png"
        shutil.copyfile(one, other)
        truth[one] = Use("cat", group=f"{i}", needed=False)
        truth[other] = Use("dog", group=f"{i}", needed=False)
    return truth


def _leaked(ending: str) -> Callable[[Path], Truth]:
    """Given splits; an image of the test is in train as well, as a copy with this ending."""

    def make(folder: Path) -> Truth:
        truth = classes(folder / "d" / "train", split="train")
        truth |= classes(folder / "d" / "test", split="test", each=4)
        original = folder / "d" / "test" / "cat" / "0.png"
        copy = folder / "d" / "train" / "cat" / f"copy{ending}"
        if ending == ".png":
            shutil.copyfile(original, copy)
        else:
            with Image.open(original) as image:
                image.save(copy)
        truth[original] = replace(truth[original], group="copy")
        truth[copy] = Use("cat", "train", group="copy", needed=False)
        return truth

    return make


def _patients(folder: Path) -> Truth:
    truth: Truth = {}
    for label, first in (("ill", 1), ("well", 7)):
        for patient in range(first, first + 6):
            drawn = images(
                folder / "d" / label, label, each=4, name=f"patient{patient}_{{:03}}.png"
            )
            truth |= {path: replace(use, group=f"p{patient}") for path, use in drawn.items()}
    return truth


def _ungrouped(folder: Path) -> Truth:
    return {path: replace(use, group="") for path, use in _patients(folder).items()}


def _saved(save: Callable[[np.ndarray, Path], object], suffix: str) -> Callable[[Path], Truth]:
    """Two classes of images in a format. ``save`` writes the pixels ``(32, 32, 3)`` uint8."""

    def make(folder: Path) -> Truth:
        truth: Truth = {}
        for k, label in enumerate(("cat", "dog")):
            for i in range(12):
                path = folder / "d" / label / f"{i}{suffix}"
                path.parent.mkdir(parents=True, exist_ok=True)
                save(noise(100 * k + i), path)
                truth[path] = Use(label)
        return truth

    return make


def _by_pillow(**options: object) -> Callable[[np.ndarray, Path], object]:
    return lambda pixels, path: Image.fromarray(pixels).save(path, **options)  # type: ignore[arg-type]


def _frames(**options: object) -> Callable[[np.ndarray, Path], object]:
    """Three frames of which the first is the image."""

    def save(pixels: np.ndarray, path: Path) -> None:
        others = [Image.fromarray(np.roll(pixels, 8 * k, axis=1)) for k in (1, 2)]
        Image.fromarray(pixels).save(path, save_all=True, append_images=others, **options)  # type: ignore[arg-type]

    return save


def _grey16(low: int, high: int) -> Callable[[np.ndarray, Path], object]:
    """16-bit grey whose values lie between ``low`` and ``high``, as a thermal camera saves it."""

    def save(pixels: np.ndarray, path: Path) -> None:
        share = pixels[..., 0] / 255
        Image.fromarray((low + share * (high - low)).astype(np.uint16)).save(path)

    return save


def _float_tiff(low: float, high: float) -> Callable[[np.ndarray, Path], object]:
    def save(pixels: np.ndarray, path: Path) -> None:
        share = pixels[..., 0] / 255
        Image.fromarray((low + share * (high - low)).astype(np.float32)).save(path)

    return save


def _mode(mode: str) -> Callable[[np.ndarray, Path], object]:
    return lambda pixels, path: Image.fromarray(pixels).convert(mode).save(path)


def _dicom(pixels: np.ndarray, path: Path) -> None:
    """A DICOM file of 12-bit grey, in explicit little-endian form, written by hand."""

    def element(group: int, number: int, kind: bytes, value: bytes) -> bytes:
        value += b"\0" * (len(value) % 2)
        long = kind in (b"OW", b"OB")
        size = struct.pack("<HI", 0, len(value)) if long else struct.pack("<H", len(value))
        return struct.pack("<HH", group, number) + kind + size + value

    def short(number: int, value: int) -> bytes:
        return element(0x28, number, b"US", struct.pack("<H", value))

    image_class = b"1.2.840.10008.5.1.4.1.1.7"
    meta = element(2, 2, b"UI", image_class) + element(2, 3, b"UI", b"1.2.3")
    meta += element(2, 0x10, b"UI", b"1.2.840.10008.1.2.1")
    grey = (pixels[..., 0].astype(np.uint16) * 16).tobytes()
    body = element(8, 0x16, b"UI", image_class) + element(8, 0x18, b"UI", b"1.2.3")
    body += short(2, 1) + element(0x28, 4, b"CS", b"MONOCHROME2")
    body += short(0x10, 32) + short(0x11, 32) + short(0x100, 16) + short(0x101, 12)
    body += short(0x102, 11) + short(0x103, 0)
    body += element(0x7FE0, 0x10, b"OW", grey)
    size = element(2, 0, b"UL", struct.pack("<I", len(meta)))
    path.write_bytes(bytes(128) + b"DICM" + size + meta + body)


def _heic(pixels: np.ndarray, path: Path) -> None:
    import pillow_heif

    pillow_heif.from_pillow(Image.fromarray(pixels)).save(path)


def _spoilt(spoil: Callable[[Path], object], count: int = 1) -> Callable[[Path], Truth]:
    """Two classes; ``count`` images of the first are spoilt, and must be left out and named."""

    def make(folder: Path) -> Truth:
        truth = classes(folder / "d", name="{}.jpg")
        for path in list(truth)[:count]:
            spoil(path)
            del truth[path]
        return truth

    return make


def _content(content: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content)


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-300])


_POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:%064d\nsize 12345\n"
_PAGE = b"<!DOCTYPE html><html><body>404 Not Found</body></html>\n"


def _all_pointers(folder: Path) -> Truth:
    for number, path in enumerate(classes(folder / "d")):
        path.write_bytes(_POINTER % number)
    return {}


def _copy_cases() -> list[Case]:
    def turned(image: Image.Image) -> Image.Image:
        return image.transpose(Image.Transpose.ROTATE_90)

    return [
        Case("the same images in two classes", _same_bytes, answer="either", says="cat and dog"),
        Case(
            "pictures saved as PNG and as BMP",
            _copied(lambda image: image, ".bmp"),
            was_silently_wrong=True,
        ),
        Case(
            "pictures saved as PNG and as JPEG",
            _copied(lambda image: image, ".jpg"),
            was_silently_wrong=True,
        ),
        Case(
            "pictures and smaller copies",
            _copied(lambda image: image.resize((48, 48)), ".png"),
            was_silently_wrong=True,
        ),
        Case("pictures and turned copies", _copied(turned, ".png"), was_silently_wrong=True),
        Case(
            "pictures and brighter copies",
            _copied(lambda image: ImageEnhance.Brightness(image).enhance(1.15), ".png"),
            was_silently_wrong=True,
        ),
        Case("a test image in train as well", _leaked(".png"), says="copy.png"),
        Case(
            "a test image in train as well, saved as BMP",
            _leaked(".bmp"),
            says="copy.bmp",
            was_silently_wrong=True,
        ),
        Case("images of patients, as told", _patients, r"d --group-by patient(\d+)_"),
        Case(
            "images of patients, by their names",
            _ungrouped,
            says="--group-by",
            was_silently_wrong=True,
        ),
        Case(
            "a pattern of groups that fits no name",
            lambda f: classes(f / "d"),
            r"d --group-by patient(\d+)_",
            answer="ask",
            says="patient",
        ),
        Case(
            "a pattern that is no regular expression",
            lambda f: classes(f / "d"),
            "d --group-by (x",
            answer="ask",
        ),
    ]


def _format_cases() -> list[Case]:
    raw = {".png": "16-bit PNG", ".tif": "16-bit TIFF"}
    return [
        *[
            Case(f"{name} of the full range", _saved(_grey16(0, 65535), suffix))
            for suffix, name in raw.items()
        ],
        Case(
            "16-bit PNG of a thermal camera (29000 to 31000)",
            _saved(_grey16(29000, 31000), ".png"),
            was_silently_wrong=True,
        ),
        Case("16-bit TIFF of an X-ray (0 to 4095)", _saved(_grey16(0, 4095), ".tif")),
        Case("float TIFF from 0 to 1", _saved(_float_tiff(0, 1), ".tif"), answer="either"),
        Case("float TIFF of temperatures", _saved(_float_tiff(280, 310), ".tif"), answer="either"),
        Case("DICOM", _saved(_dicom, ".dcm"), needs="pydicom"),
        Case("DICOM without a suffix", _saved(_dicom, ""), answer="either", needs="pydicom"),
        Case("HEIC", _saved(_heic, ".heic"), needs="pillow_heif"),
        Case("HEIC files called .jpg", _saved(_heic, ".jpg"), needs="pillow_heif"),
        Case("AVIF", _saved(_by_pillow(), ".avif")),
        Case("JPEG 2000", _saved(_by_pillow(), ".jp2")),
        Case("JPEG 2000 as a stream (.j2k)", _saved(_by_pillow(), ".j2k"), answer="either"),
        Case("WebP", _saved(_by_pillow(lossless=True), ".webp")),
        Case("WebP files called .jpg", _saved(_by_pillow(format="webp"), ".jpg")),
        Case("MPO, as phones and 3D cameras save it", _saved(_frames(format="mpo"), ".jpg")),
        Case("MPO files called .mpo", _saved(_frames(format="mpo"), ".mpo"), answer="either"),
        Case("animated PNG", _saved(_frames(), ".png"), says="frames"),
        Case("animated PNG called .apng", _saved(_frames(format="png"), ".apng"), answer="either"),
        Case("animated WebP", _saved(_frames(lossless=True), ".webp"), says="frames"),
        Case("animated GIF", _saved(_frames(), ".gif"), says="frames"),
        Case("TIFF of several pages", _saved(_frames(), ".tif"), says="frames"),
        Case("CMYK JPEG", _saved(_mode("CMYK"), ".jpg")),
        Case("GIF", _saved(_by_pillow(), ".gif")),
        Case("PNG of a palette", _saved(_mode("P"), ".png")),
        Case("PNG of one bit", _saved(_mode("1"), ".png")),
        Case("TGA", _saved(_by_pillow(), ".tga")),
        Case("PPM", _saved(_by_pillow(), ".ppm")),
        Case(
            "SVG drawings",
            lambda f: _saved(lambda pixels, path: path.write_text("<svg/>"), ".svg")(f) and {},
            answer="ask",
        ),
        Case(
            "arrays saved by NumPy",
            lambda f: _saved(lambda pixels, path: np.save(path, pixels), ".npy")(f) and {},
            answer="ask",
        ),
    ]


def _fault_cases() -> list[Case]:
    return [
        Case("a truncated JPEG", _spoilt(_cut), says="truncated"),
        Case("a file of zero bytes", _spoilt(_content(b"")), says="0.jpg"),
        Case("a web page saved as .jpg", _spoilt(_content(_PAGE)), says="0.jpg"),
        Case("a text file called .jpg", _spoilt(_content(b"hello\n")), says="0.jpg"),
        Case("a Git LFS pointer", _spoilt(_content(_POINTER % 7)), says="LFS"),
        Case("Git LFS pointers alone", _all_pointers, answer="ask", says="LFS"),
        Case("a broken link", _spoilt(_broken_link), says="0.jpg"),
        Case("a folder called 0.jpg", _spoilt(_folder_in_place), answer="either"),
        Case("a class of zero-byte files", _spoilt(_content(b""), 12), answer="ask"),
        Case(
            "images of one colour",
            lambda f: {**classes(f / "d"), **_grey(f / "d" / "cat" / "grey.png")},
            says="grey.png",
        ),
        Case("text beside images", lambda f: classes(f / "d") | text(f / "d" / "cat" / "a.txt")),
    ]


def _broken_link(path: Path) -> None:
    path.unlink()
    path.symlink_to("nowhere.jpg")


def _folder_in_place(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _grey(path: Path) -> Truth:
    Image.new("RGB", (32, 32), (9, 99, 99)).save(path)
    return {path: Use("cat", needed=False)}


CASES = [*_copy_cases(), *_format_cases(), *_fault_cases()]
