import os
from pathlib import Path

import pytest

from trainables.data import scan_results
from trainables.data.near_copies import Appearance
from trainables.data.scan_results import ScannedImage, read_results, write_results


def test_results_of_several_batches_come_back_as_they_were(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scan_results, "_RESULTS_PER_BATCH", 2)
    looks = [Appearance(bytes([k]) * 32, bytes([k]) * 192) for k in range(1, 4)]
    written = [
        (f"/images/{k}.png", (k, 2**62 + k, k), ScannedImage(f"{k:024x}", pixels="p", appearance=a))
        for k, a in enumerate(looks)
    ]
    plain = ScannedImage("d", oddity="all pixels have one colour", elongation=1.5)
    written += [(os.fsdecode(b"/images/\xff.png"), (1, 2, 3), plain)]
    write_results(tmp_path / "opened.parquet", written)
    assert list(read_results(tmp_path / "opened.parquet")) == written
