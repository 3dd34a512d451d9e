"""Near copies: images that were turned, mirrored, resized, recompressed or brightened.

A copy is a candidate if its perceptual hash is close in one of eight orientations (Zauner 2010,
"Implementation and benchmarking of perceptual image hash functions"; ImageHash's `phash`). It is a
near copy if its colours at low resolution are too. Both thresholds were chosen by
tests/benchmarks/near_copies.py. It does not find crops.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import imagehash
import numpy as np
from PIL import Image

MIN_SIDE_PX = 33
"""Shortest side of an image that is compared. The few pixels of smaller images, such as scanned
digits, look alike in different images."""
MAX_HASH_DISTANCE = 20
"""Largest number of the hash's 256 bits in which near copies differ."""
MIN_CORRELATION = 0.98
"""Least correlation of the colours of near copies' thumbnails."""
_HASH_SIDE = 16
"""Bits of the hash in each direction: the signs of the 16 x 16 lowest DCT frequencies."""
_HASHED_SIDE_PX = 4 * _HASH_SIDE
_THUMBNAIL_SIDE_PX = 8
_MIN_CONTRAST = 4.0
"""Standard deviation that a channel of the thumbnail must have; below, the image is too plain."""
_WINDOW = 32
"""Largest number of earlier images with one value of a band that an image is compared with.

So many copies of one picture are a chain, and a value that all images have costs little."""
_HASHES_PER_PART = 50_000
"""Number of hashes that are looked up at a time, to bound the memory of their candidates."""
_ORIENTATIONS = 8


@dataclass(frozen=True, slots=True)
class Appearance:
    """Look of an image, for comparison with others. Both fields are empty for plain images."""

    hash: bytes = b""
    """Perceptual hash of 256 bits."""
    thumbnail: bytes = b""
    """8 x 8 RGB pixels."""


UNKNOWN = Appearance()
"""Appearance of an image that is not compared with others."""


def appearance_of(image: Image.Image) -> Appearance:
    """Appearance of a decoded image; `UNKNOWN` if it is too small or too plain."""
    if min(image.size) < MIN_SIDE_PX:
        return UNKNOWN
    size = (_HASHED_SIDE_PX, _HASHED_SIDE_PX)
    small = image.resize(size, Image.Resampling.BOX, reducing_gap=1.0)
    thumbnail = small.reduce(_HASHED_SIDE_PX // _THUMBNAIL_SIDE_PX)
    pixels = np.asarray(thumbnail)
    if pixels.std(axis=(0, 1)).max() < _MIN_CONTRAST:
        return UNKNOWN
    bits = imagehash.phash(small, hash_size=_HASH_SIDE).hash
    return Appearance(np.packbits(bits).tobytes(), pixels.tobytes())


def near_copies(appearances: Sequence[Appearance]) -> np.ndarray:
    """Pairs of near copies, ``(m, 2)`` indices, each pair once and ascending, in order."""
    rows = np.array([k for k, each in enumerate(appearances) if each.hash], dtype=np.int64)
    if len(rows) < 2:
        return np.empty((0, 2), dtype=np.int64)
    hashes = np.frombuffer(b"".join(appearances[k].hash for k in rows), np.uint8)
    pairs = rows[close_hashes(hashes.reshape(len(rows), -1))]
    alike, places = np.unique(pairs, return_inverse=True)
    shape = (len(alike), _THUMBNAIL_SIDE_PX, _THUMBNAIL_SIDE_PX, 3)
    pixels = b"".join(appearances[k].thumbnail for k in alike)
    thumbnails = np.frombuffer(pixels, np.uint8).reshape(shape)
    match = correlations(thumbnails, places.reshape(pairs.shape))
    found: np.ndarray = pairs[match >= MIN_CORRELATION]
    return found


def close_hashes(hashes: np.ndarray) -> np.ndarray:
    """Pairs of hashes that differ in `MAX_HASH_DISTANCE` bits at most in one of 8 orientations.

    ``hashes`` is ``(n, 32)`` uint8: 16 x 16 bits. Returns ``(m, 2)`` indices, ascending. The hashes
    are indexed by 16 bands of 16 bits (multi-index hashing, Norouzi et al. 2012). A pair is found
    if one band is equal, and at most `_WINDOW` hashes between the two have its value; of other
    pairs that differ in 20 random bits, 1 in 100 is missed.
    """
    parts = [slice(k, k + _HASHES_PER_PART) for k in range(0, len(hashes), _HASHES_PER_PART)]
    words = np.ascontiguousarray(hashes).view(np.uint64)
    bands = np.concatenate([_bands(_bits(hashes[part])) for part in parts], axis=1)
    index = [_BandIndex.of(band) for band in bands]
    found = [np.empty((0, 2), dtype=np.int64)]
    for part in parts:
        for turned in _orientations(_bits(hashes[part])):
            turned_words = _words(turned)
            for band, keys in zip(index, _bands(turned), strict=True):
                left, right = band.candidates(keys, part.start)
                for used in (1, 4):  # most candidates already differ in the first of 4 words
                    differences = words[left, :used] ^ turned_words[right, :used]
                    distances = np.bitwise_count(differences).sum(axis=1, dtype=np.int64)
                    keep = distances <= MAX_HASH_DISTANCE
                    left, right = left[keep], right[keep]
                found.append(np.stack([left, right + part.start], axis=1))
        found = [np.unique(np.concatenate(found), axis=0)]
    return found[0]


@dataclass(frozen=True)
class _BandIndex:
    """Hashes by their value of one band."""

    hashes: np.ndarray
    """Indices of all hashes, by value and then ascending, ``(n,)`` int64."""
    keys: np.ndarray
    """`_key` of each of ``hashes``, ascending, ``(n,)`` int64."""

    @classmethod
    def of(cls, values: np.ndarray) -> Self:
        """Index of ``(n,)`` uint16 values."""
        order = np.argsort(values, kind="stable")
        return cls(order, _key(values[order], order, len(values)))

    def candidates(self, values: np.ndarray, start: int) -> tuple[np.ndarray, np.ndarray]:
        """Pairs of an indexed hash, and the position of a value that is equal in this band.

        The value at position k is of hash ``start`` + k: it is paired with the last `_WINDOW`
        indexed hashes before that one.
        """
        positions, n = np.arange(len(values)), len(self.hashes)
        first = np.searchsorted(self.keys, _key(values, 0, n))
        end = np.searchsorted(self.keys, _key(values, start + positions, n))
        counts = np.minimum(end - first, _WINDOW)
        right = np.repeat(positions, counts)
        within = np.arange(len(right)) - np.repeat(np.cumsum(counts) - counts, counts)
        return self.hashes[(end - counts)[right] + within], right


def _key(values: np.ndarray, indices: np.ndarray | int, n: int) -> np.ndarray:
    """Numbers that order the values of a band, and equal ones by their indices below ``n``."""
    return np.asarray(values.astype(np.int64) * n + indices)


def correlations(thumbnails: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """Correlation of each pair's thumbnails in the best of 8 orientations, ``(m,)`` float32.

    ``thumbnails`` is ``(n, side, side, 3)`` uint8, ``pairs`` ``(m, 2)``. The three channels count
    as one signal, so that images that differ in colour alone correlate little.
    """
    centred = thumbnails.astype(np.float32)
    centred -= centred.mean(axis=(1, 2, 3), keepdims=True)
    centred /= np.maximum(np.sqrt((centred**2).sum(axis=(1, 2, 3), keepdims=True)), 1e-6)
    best = np.full(len(pairs), -1, dtype=np.float32)
    for number in range(_ORIENTATIONS):
        turned = np.rot90(centred, number % 4, axes=(1, 2))
        turned = turned if number < 4 else turned.transpose(0, 2, 1, 3)
        for start in range(0, len(pairs), 100_000):
            some = pairs[start : start + 100_000]
            match = np.einsum("nijc,nijc->n", centred[some[:, 0]], turned[some[:, 1]])
            np.maximum(best[start : start + 100_000], match, out=best[start : start + 100_000])
    return best


def _orientations(bits: np.ndarray) -> Iterator[np.ndarray]:
    """Hashes of the images turned and mirrored.

    Mirroring an image changes the sign of its odd DCT frequencies in one direction; transposing it
    transposes them. Bits close to ImageHash's threshold, the median, may differ.
    """
    odd = np.arange(_HASH_SIDE) % 2 == 1
    for number in range(_ORIENTATIONS):
        transposed = bits.transpose(0, 2, 1) if number & 4 else bits
        mirrored = (odd & bool(number & 1))[:, None] ^ (odd & bool(number & 2))[None, :]
        yield transposed ^ mirrored


def _bits(hashes: np.ndarray) -> np.ndarray:
    """Bits of hashes, ``(n, 16, 16)`` bool."""
    return np.unpackbits(hashes, axis=1).view(bool).reshape(-1, _HASH_SIDE, _HASH_SIDE)


def _bands(bits: np.ndarray) -> np.ndarray:
    """16 bands of 16 bits, ``(16, n)`` uint16. A band has one bit of every row and column."""
    side = np.arange(_HASH_SIDE)
    bands = [bits[:, side, (side + k) % _HASH_SIDE] for k in range(_HASH_SIDE)]
    return np.packbits(bands, axis=2).view(np.uint16)[:, :, 0]


def _words(bits: np.ndarray) -> np.ndarray:
    """Hashes as 64-bit words, ``(n, 4)`` uint64."""
    return np.packbits(bits.reshape(len(bits), -1), axis=1).view(np.uint64)
