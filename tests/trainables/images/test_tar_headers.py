import bz2
import gzip
import io
import lzma
import tarfile
from pathlib import Path

import pytest

from spaces import DataError
from tests.support.archives import write_tar
from trainables.images.tar_headers import tar_members

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
def test_names_and_places_are_those_that_tarfile_finds(tmp_path: Path, tar_format: int) -> None:
    file = write_tar(tmp_path / "x.tar", NAMES, tar_format)
    with tarfile.open(file) as archive:
        expected = [(m.name.removeprefix("./"), m.offset_data, m.size) for m in archive]
    assert [tuple(member) for member in tar_members(file)] == expected
    for member, content in zip(tar_members(file), NAMES.values(), strict=True):
        assert file.read_bytes()[member.offset : member.offset + member.size] == content


def test_an_archive_of_the_old_format_is_read_by_its_checksum(tmp_path: Path) -> None:
    file = write_tar(tmp_path / "x.tar", {"a.jpg": b"one"}, tarfile.USTAR_FORMAT)
    header = bytearray(file.read_bytes())
    header[257:512] = bytes(255)
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header[:512])
    file.write_bytes(header)
    assert [member.name for member in tar_members(file)] == ["a.jpg"]


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


def test_folders_and_links_are_passed_over(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "x.tar", "w") as archive:
        for name, kind in (
            ("cat", tarfile.DIRTYPE),
            ("l", tarfile.SYMTYPE),
            ("h", tarfile.LNKTYPE),
        ):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, "cat/1.jpg"
            archive.addfile(member)
        archive.addfile(tarfile.TarInfo("cat/1.jpg"))
    assert [member.name for member in tar_members(tmp_path / "x.tar")] == ["cat/1.jpg"]


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
    with pytest.raises(DataError, match=r"x\.tar is damaged at byte 1024; copy it"):
        list(tar_members(tmp_path / "x.tar"))


def test_joined_archives_and_other_files_are_refused(tmp_path: Path) -> None:
    one = write_tar(tmp_path / "x.tar", {"a.jpg": b"a"})
    one.write_bytes(one.read_bytes() * 2)
    with pytest.raises(DataError, match="goes on after its end, as several archives joined"):
        list(tar_members(one))
    one.write_bytes(b"no archive at all" * 100)
    with pytest.raises(DataError, match=r"x\.tar is not a tar archive; rename or remove it"):
        list(tar_members(one))
