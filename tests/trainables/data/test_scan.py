import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from trainables.data import scan
from trainables.data.scan import scan_images


@pytest.fixture
def files(digits: Path, tmp_path: Path) -> list[Path]:
    return sorted(Path(shutil.copytree(digits / "one", tmp_path / "one")).iterdir())


def opened_by_scan(files: list[Path], cache: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Files that a scan opens."""
    seen: list[Path] = []
    real = scan._scan_file
    monkeypatch.setattr(
        scan, "_scan_file", lambda path, *rest: (seen.append(path), real(path, *rest))[1]
    )
    scan_images(files, cache=cache)
    return sorted(seen)


def test_a_second_scan_opens_no_file_and_gives_the_same_results(
    files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = scan_images(files, cache=tmp_path)
    assert len({o.digest for o in first}) == len(files)
    assert opened_by_scan(files, tmp_path, monkeypatch) == []
    assert scan_images(files, cache=tmp_path) == first


def test_new_and_changed_files_are_opened(
    files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = scan_images(files[1:], cache=tmp_path)
    shutil.copyfile(files[2], files[3])
    stat = files[4].stat()
    files[4].write_bytes(files[4].read_bytes()[::-1])
    os.utime(files[4], ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert opened_by_scan(files, tmp_path, monkeypatch) == [files[0], files[3], files[4]]
    after = scan_images(files, cache=tmp_path)
    assert after[3].digest == after[2].digest == before[1].digest
    assert after[4].error
    assert opened_by_scan(files, tmp_path, monkeypatch) == [files[4]], "it may have been the disk"


def test_the_elongation_is_that_of_the_upright_image_at_any_size(tmp_path: Path) -> None:
    wide, tall = tmp_path / "wide.jpg", tmp_path / "tall.png"
    Image.new("RGB", (1600, 1000), "red").save(wide)
    Image.new("RGB", (10, 40), "red").save(tall)
    elongations = [image.elongation for image in scan_images([wide, tall], cache=tmp_path)]
    assert elongations == pytest.approx([1.6, 4.0], abs=0.01)


def test_a_missing_file_is_scanned_when_it_is_restored(files: list[Path], tmp_path: Path) -> None:
    content = files[0].read_bytes()
    files[0].unlink()
    assert scan_images(files, cache=tmp_path)[0].error == "file not found"
    files[0].write_bytes(content)
    assert scan_images(files, cache=tmp_path)[0].digest


def test_frames_and_scales_are_reported(tmp_path: Path) -> None:
    deep = tmp_path / "xray.png"
    Image.fromarray(np.linspace(0, 4095, 400).reshape(20, 20).astype(np.uint16)).save(deep)
    animated = tmp_path / "animated.webp"
    frames = [Image.linear_gradient("L"), Image.new("L", (256, 256))]
    frames[0].save(animated, save_all=True, append_images=frames[1:])
    oddities = [image.oddity for image in scan_images([deep, animated], cache=tmp_path)]
    assert oddities == [
        "16-bit pixels were read on the scale 0..4095",
        "2 frames, of which only the first is used",
    ]


def test_names_that_are_not_utf8_are_cached(
    files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = files[0].parent.rename(tmp_path / os.fsdecode(b"caf\xe9"))
    paths = sorted(folder.iterdir())
    paths[0] = paths[0].rename(folder / os.fsdecode(b"\xff.png"))
    first = scan_images(paths, cache=tmp_path)
    assert all(image.digest for image in first)
    assert opened_by_scan(paths, tmp_path, monkeypatch) == []


def test_an_interrupted_scan_keeps_what_it_has_read(
    files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(step: str, done: int, total: int) -> None:
        if done == len(files) - 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        scan_images(files, cache=tmp_path, progress=interrupt)
    assert len(opened_by_scan(files, tmp_path, monkeypatch)) == 2


def test_a_damaged_file_of_results_is_written_anew(files: list[Path], tmp_path: Path) -> None:
    expected = scan_images(files, cache=tmp_path)
    (results,) = (tmp_path / "opened").iterdir()
    results.write_bytes(results.read_bytes()[:100])
    assert scan_images(files, cache=tmp_path) == expected
