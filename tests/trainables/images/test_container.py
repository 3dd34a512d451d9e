from pathlib import Path

import pytest

from tests.support.archives import write_tar
from tests.support.parquet import write_shard
from trainables.images.container import ImageContainer
from trainables.images.parquet_images import ParquetImages
from trainables.images.tar_members import TarArchive

CONTENTS = {f"{k}.jpg": bytes([k]) * 40 for k in range(50)}


@pytest.fixture(params=["tar", "parquet"])
def container(tmp_path: Path, request: pytest.FixtureRequest) -> ImageContainer:
    if request.param == "tar":
        return TarArchive(write_tar(tmp_path / "x.tar", CONTENTS))
    images, names = list(CONTENTS.values()), list(CONTENTS)
    return ParquetImages(write_shard(tmp_path / "x.parquet", images, paths=names))


def test_images_have_names_in_the_order_of_the_file(container: ImageContainer) -> None:
    assert list(container.names) == list(CONTENTS)


def test_contents_are_those_of_the_names_in_any_order(container: ImageContainer) -> None:
    assert list(container.contents(CONTENTS)) == list(CONTENTS.values())
    mixed = sorted(CONTENTS, key=lambda name: hash(CONTENTS[name]))
    assert list(container.contents(mixed)) == [CONTENTS[name] for name in mixed]


def test_sizes_are_about_those_of_the_contents(container: ImageContainer) -> None:
    assert all(40 <= container.size_bytes(name) <= 60 for name in CONTENTS)


def test_an_unknown_name_is_a_key_error(container: ImageContainer) -> None:
    with pytest.raises(KeyError):
        container.size_bytes("cat.jpg")
    with pytest.raises(KeyError):
        list(container.contents(["cat.jpg"]))
