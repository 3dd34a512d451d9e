import shutil
from pathlib import Path

import pytest
from PIL import Image

from spaces import ConfigError, DataError
from tests.support.object_store import below, delete, put
from trainables.data import check_source, object_store, read_source, survey_images
from trainables.data.object_store import FileInfo, RemoteData


@pytest.fixture
def downloaded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that are downloaded."""
    names: list[str] = []
    download = RemoteData._download

    def record(self: RemoteData, info: FileInfo, path: Path) -> None:
        names.append(info.base_name)
        download(self, info, path)

    monkeypatch.setattr(RemoteData, "_download", record)
    return names


def test_a_bucket_gives_the_same_dataset_as_the_folder(
    bucket: str, digits: Path, tmp_path: Path
) -> None:
    put(digits, below(bucket, "digits"))
    calls = []
    there = survey_images(
        below(bucket, "digits"),
        cache=tmp_path,
        progress=lambda step, done, total: calls.append((step, done, total)),
    )
    here = survey_images(digits, cache=tmp_path / "other")
    assert there.dataset.fingerprint == here.dataset.fingerprint
    assert there.dataset.paths == here.dataset.paths
    assert there.dataset.root.name == "digits"
    assert ("fetching images", 120, 120) in calls


def test_only_files_that_changed_in_the_store_are_downloaded_again(
    bucket: str, digits: Path, tmp_path: Path, downloaded: list[str]
) -> None:
    address, mine = below(bucket, "digits"), tmp_path / "mine"
    put(digits, address)
    first = survey_images(address, cache=tmp_path).dataset
    assert len(downloaded) == 120
    downloaded.clear()
    assert survey_images(address, cache=tmp_path).dataset.fingerprint == first.fingerprint
    assert downloaded == []
    shutil.copytree(digits, mine)
    one, gone = sorted((mine / "zero").iterdir())[:2]
    Image.open(one).rotate(90).save(one)
    put(one, below(address, f"zero/{one.name}"))
    delete(below(address, f"zero/{gone.name}"))
    gone.unlink()
    second = survey_images(address, cache=tmp_path).dataset
    assert downloaded == [one.name]
    assert second.fingerprint == survey_images(mine, cache=tmp_path / "other").dataset.fingerprint


def test_files_and_folders_can_change_places_in_the_store(tmp_path: Path) -> None:
    there, address = tmp_path / "there", f"file://{tmp_path}/there"

    def lay(*names: str) -> list[str]:
        shutil.rmtree(there, ignore_errors=True)
        for number, name in enumerate(names):
            (there / name).parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (32, 32), (number, 0, 0)).save(there / name)
        return [str(row.path) for row in read_source(address, cache=tmp_path / "cache").rows]

    assert len(lay("train/a/0.png", "train/b/0.png", "val/a/1.png", "val/b/1.png")) == 4
    assert len(lay("a/0.png", "b/0.png")) == 2, "no split folder is left"
    assert len(lay("a/0.png/x.png", "b/0.png")) == 2, "a file's name is a folder's now"
    assert len(lay("a/0.png", "b/0.png")) == 2, "and a file's again"


def test_errors_name_the_address(tmp_path: Path) -> None:
    (tmp_path / "photos" / "none").mkdir(parents=True)
    with pytest.raises(DataError, match=f"There are no files at file://{tmp_path}/photos;"):
        read_source(f"file://{tmp_path}/photos", cache=tmp_path / "cache")
    (tmp_path / "photos" / "note.txt").touch()
    with pytest.raises(DataError, match=f"No images were found in file://{tmp_path}/photos;"):
        read_source(f"file://{tmp_path}/photos", cache=tmp_path / "cache")


@pytest.mark.parametrize(
    ("address", "refused"),
    [
        ("s3://key:secret@bucket/x", True),
        ("s3://key@bucket/x", True),
        ("gs://anonymous@bucket/x", False),
        ("file:///mail/user@example.org", False),
    ],
)
def test_an_at_sign_in_an_address_is_not_mistaken_for_a_secret(address: str, refused: bool) -> None:
    try:
        object_store.open_object_store(address, "data")
        message = ""
    except ConfigError as error:
        message = str(error)
    assert ("must hold no secrets" in message) is refused


def test_an_interrupted_download_is_continued(
    bucket: str,
    digits: Path,
    tmp_path: Path,
    downloaded: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    put(digits, below(bucket, "digits"))
    download = RemoteData._download

    def fail_half_way(self: RemoteData, info: object_store.FileInfo, path: Path) -> None:
        if len(list(tmp_path.glob("copies/*/digits/*/*.png"))) >= 60:
            raise OSError("Connection reset by peer")
        download(self, info, path)

    with monkeypatch.context() as patched:
        patched.setattr(RemoteData, "_download", fail_half_way)
        with pytest.raises(DataError, match=r"digits.* can't be read \(Connection reset by peer\)"):
            read_source(below(bucket, "digits"), cache=tmp_path)
    downloaded.clear()
    assert len(read_source(below(bucket, "digits"), cache=tmp_path).rows) == 120
    assert 0 < len(downloaded) <= 60


def test_the_images_that_a_table_lists_are_downloaded(
    bucket: str, digits: Path, tmp_path: Path, downloaded: list[str]
) -> None:
    put(digits, below(bucket, "all/digits"))
    names = [f"digits/{f.parent.name}/{f.name}" for f in sorted(digits.glob("*/*"))[::2]]
    table = tmp_path / "some.csv"
    cache = tmp_path / "x" / ".." / "cache"
    lines = [f"{name},{name.split('/')[1]}" for name in [*names, "digits/zero/lost.png"]]
    table.write_text("\n".join(["path,label", *lines]))
    put(table, below(bucket, "all/some.csv"))
    survey = survey_images(below(bucket, "all/some.csv"), cache=cache)
    assert sorted(survey.dataset.paths) == sorted(names)
    assert [s.reason for s in survey.issues if s.kind == "bad"] == ["file not found"]
    assert len(downloaded) == 1 + len(names)
    downloaded.clear()
    delete(below(bucket, f"all/{names[0]}"))
    survey = survey_images(below(bucket, "all/some.csv"), cache=cache)
    assert sorted(survey.dataset.paths) == sorted(names[1:]), "what is gone there is gone here"
    assert downloaded == []


@pytest.mark.parametrize("path", ["../secret.png", "/etc/hostname", "s3://other/a.png", ""])
def test_a_remote_table_must_not_list_files_outside_its_folder(
    bucket: str, tmp_path: Path, path: str
) -> None:
    table = tmp_path / "bad.csv"
    table.write_text(f"path,label\n{path},zero\n")
    put(table, below(bucket, "bad.csv"))
    with pytest.raises(DataError, match="is not below the table's own folder; write its paths"):
        read_source(below(bucket, "bad.csv"), cache=tmp_path / "cache")


def test_a_wrong_address_is_refused_at_once(bucket: str, endpoint: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"There is nothing at s3://.*/lost"):
        check_source(below(bucket, "lost"), cache=tmp_path)
    with pytest.raises(
        ConfigError, match="data must be an address such as s3://BUCKET/PREFIX, not"
    ):
        check_source("nowhere://x", cache=tmp_path)
    with pytest.raises(ConfigError, match="data must hold no secrets, because it is saved to disk"):
        check_source("s3://key:secret@bucket/x", cache=tmp_path)


def test_data_that_do_not_fit_the_disk_are_refused_before_downloading(
    bucket: str,
    digits: Path,
    tmp_path: Path,
    downloaded: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    put(digits, below(bucket, "digits"))
    monkeypatch.setattr(object_store, "free_bytes", lambda cache: 1000)
    with pytest.raises(DataError, match=r"GiB still to be copied, and .* choose another cache_dir"):
        read_source(below(bucket, "digits"), cache=tmp_path)
    assert downloaded == []
    monkeypatch.undo()
    with monkeypatch.context() as patched:
        patched.setenv("AWS_ACCESS_KEY_ID", "somebody")
        patched.setenv("AWS_SECRET_ACCESS_KEY", "something")
        read_source(below(bucket, "digits"), cache=tmp_path)
        patched.setattr(object_store, "free_bytes", lambda cache: -5)
        assert len(read_source(below(bucket, "digits"), cache=tmp_path).rows) == 120
