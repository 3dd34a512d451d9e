import bz2
import gzip
import io
import lzma
import tarfile
from pathlib import Path

import pytest

from spaces import DataError
from tests.support.archives import write_tar
from trainables.images.tar_members import tar_members

NAMES = {
    "a.jpg": b"1",
    "./b/c.jpg": b"",
    "d" * 120 + "/" + "e" * 90 + ".jpg": b"x" * 512,
    "katze-äöü-猫.png": b"y" * 513,
    "z" * 99: b"last",
}


@pytest.mark.parametrize(
    "tar_format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]
)
def test_every_file_is_found_at_its_place(tmp_path: Path, tar_format: int) -> None:
    file = write_tar(tmp_path / "x.tar", NAMES, tar_format)
    content = file.read_bytes()
    found = {m.name: content[m.offset : m.offset + m.size] for m in tar_members(file)}
    assert found == {name.removeprefix("./"): expected for name, expected in NAMES.items()}


def test_a_size_beyond_octal_digits_is_read(tmp_path: Path) -> None:
    size = 9 * 2**30
    member = tarfile.TarInfo("big.bin")
    member.size = size
    small = tarfile.TarInfo("a.jpg")
    for tar_format in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        file = tmp_path / "big.tar"
        with file.open("wb") as stream:
            stream.write(member.tobuf(tar_format))
            stream.seek(size, io.SEEK_CUR)  # a hole: takes no room on disk
            stream.write(small.tobuf(tar_format) + bytes(1024))
        assert [(m.name, m.size) for m in tar_members(file)] == [("big.bin", size), ("a.jpg", 0)]


def test_links_have_the_content_of_their_files(tmp_path: Path) -> None:
    file = tmp_path / "x.tar"
    with tarfile.open(file, "w") as archive:
        for name, kind, target in (
            ("cat", tarfile.DIRTYPE, ""),
            ("cat/soft.jpg", tarfile.SYMTYPE, "../cat/1.jpg"),
            ("cat/outside.jpg", tarfile.SYMTYPE, "/etc/1.jpg"),
            ("hard.jpg", tarfile.LNKTYPE, "./cat/1.jpg"),
        ):
            link = tarfile.TarInfo(name)
            link.type, link.linkname = kind, target
            archive.addfile(link)
        image = tarfile.TarInfo("./cat/1.jpg")
        image.size = 3
        archive.addfile(image, io.BytesIO(b"one"))
    content = file.read_bytes()
    found = {m.name: content[m.offset : m.offset + m.size] for m in tar_members(file)}
    assert found == dict.fromkeys(("cat/1.jpg", "cat/soft.jpg", "hard.jpg"), b"one")


@pytest.mark.parametrize("module", [gzip, bz2, lzma])
def test_a_compressed_archive_is_told_with_the_way_out(tmp_path: Path, module: object) -> None:
    file = write_tar(tmp_path / "x.tar", NAMES)
    file.write_bytes(module.compress(file.read_bytes()))  # type: ignore[attr-defined]
    with pytest.raises(DataError, match=r"x\.tar is compressed, .*; run \w+ -d on it, or unpack"):
        list(tar_members(file))


def test_every_cut_is_told(tmp_path: Path) -> None:
    whole = write_tar(tmp_path / "x.tar", {"a.jpg": b"a" * 700, "b.jpg": b"b"}).read_bytes()
    end = len(whole.rstrip(b"\0")) // 512 * 512 + 512
    for length in (*range(512, end, 100), end):
        cut = tmp_path / "cut.tar"
        cut.write_bytes(whole[:length])
        with pytest.raises(DataError, match=r"cut\.tar is cut off: .*; copy it"):
            list(tar_members(cut))
    cut.write_bytes(whole[: end + 1024])
    assert len(list(tar_members(cut))) == 2


def test_damage_is_told_with_its_place(tmp_path: Path) -> None:
    content = bytearray(write_tar(tmp_path / "x.tar", NAMES, tarfile.USTAR_FORMAT).read_bytes())
    content[1024 : 1024 + 512] = b"?" * 512
    (tmp_path / "x.tar").write_bytes(content)
    with pytest.raises(DataError, match=r"x\.tar is damaged at byte 1024, or"):
        list(tar_members(tmp_path / "x.tar"))


def test_joined_archives_and_other_files_are_refused(tmp_path: Path) -> None:
    one = write_tar(tmp_path / "x.tar", {"a.jpg": b"a"})
    one.write_bytes(one.read_bytes() * 2)
    with pytest.raises(DataError, match="is several archives joined into one; unpack it"):
        list(tar_members(one))
    one.write_bytes(b"no archive at all" * 100)
    with pytest.raises(DataError, match=r"x\.tar is not a tar archive; rename or remove it"):
        list(tar_members(one))
