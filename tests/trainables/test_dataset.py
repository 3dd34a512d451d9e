from pathlib import Path

from trainables.dataset import Dataset, majority_share


def test_a_manifest_is_read_back_as_it_was_written(dataset: Dataset, tmp_path: Path) -> None:
    dataset.write(tmp_path / "dataset.json", tmp_path / "split.csv")
    again = Dataset.read(tmp_path / "dataset.json", tmp_path / "split.csv")
    assert again.paths == dataset.paths
    assert again.classes == dataset.classes
    assert (again.labels == dataset.labels).all()
    assert (again.splits == dataset.splits).all()
    assert again.fingerprint == dataset.fingerprint


def test_the_constant_answer_has_the_share_of_the_largest_class() -> None:
    assert majority_share([0, 1, 1, 1]) == 0.75
