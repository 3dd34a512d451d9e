"""The comparison with rivals: its split, its scores, its protocol and its table."""

import sys
from collections import Counter
from pathlib import Path

import pytest
import timm
from safetensors.torch import save_file

from tests.benchmarks.rivals.contestants import RIVALS, NoModelError, Rival
from tests.benchmarks.rivals.protocol import Answer, Task
from tests.benchmarks.rivals.split import Score, lay_out, score
from tests.benchmarks.rivals.table import OURS, Outcome, add_outcomes, read_outcomes, table_lines
from tests.support.images import save_image


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Twenty different images of each of two classes, and two copies of one of them."""
    monkeypatch.setattr("tests.benchmarks.rivals.split.SCRATCH", tmp_path / "scratch")
    for k in range(20):
        save_image(tmp_path / "source" / "dark" / f"{k}.png", 3 * k)
        save_image(tmp_path / "source" / "light" / f"{k}.png", 130 + 3 * k)
    for k in (20, 21):
        save_image(tmp_path / "source" / "dark" / f"{k}.png", 0)
    return tmp_path / "source"


def images_by_folder(folder: Path) -> dict[str, set[str]]:
    """Names of the source's files that every folder of a layout links to."""
    linked: dict[str, set[str]] = {}
    for file in folder.glob("*/*/*"):
        name = str(file.parent.relative_to(folder))
        linked.setdefault(name, set()).add(str(file.resolve()))
    return linked


def test_the_split_has_60_20_and_20_percent_of_every_class(source: Path, tmp_path: Path) -> None:
    lay_out(source, tmp_path / "out", images=1000, test_images=0, seed=0)
    counts = {name: len(files) for name, files in images_by_folder(tmp_path / "out").items()}
    assert counts["train/light"] == 12
    assert counts["val/light"] == counts["test/light"] == 4
    assert sum(counts.values()) == 42


def test_a_test_may_have_more_images_than_its_share(source: Path, tmp_path: Path) -> None:
    lay_out(source, tmp_path / "out", images=20, test_images=100, seed=0)
    counts = {name: len(files) for name, files in images_by_folder(tmp_path / "out").items()}
    assert counts["train/light"] == 6
    assert counts["val/light"] == 2
    assert counts["test/light"] == 4


def test_copies_are_in_one_split(source: Path, tmp_path: Path) -> None:
    lay_out(source, tmp_path / "out", images=1000, test_images=0, seed=0)
    copies = {str(source / "dark" / f"{k}.png") for k in (0, 20, 21)}
    assert any(copies <= files for files in images_by_folder(tmp_path / "out").values())


def test_at_most_the_wanted_images_are_drawn_and_the_seed_draws_them(
    source: Path, tmp_path: Path
) -> None:
    for name, seed in (("a", 0), ("again", 0), ("b", 1)):
        lay_out(source, tmp_path / name, images=24, test_images=0, seed=seed)
    drawn = images_by_folder(tmp_path / "a")
    assert sum(len(files) for files in drawn.values()) == pytest.approx(24, abs=2)
    assert images_by_folder(tmp_path / "again") == drawn
    assert images_by_folder(tmp_path / "b") != drawn


def test_balanced_accuracy_is_the_mean_over_the_classes(tmp_path: Path) -> None:
    for name in ("cat/0", "cat/1", "cat/2", "dog/3"):
        save_image(tmp_path / "test" / f"{name}.png")
    answers = {"0.png": "cat", "1.png": "cat", "2.png": "dog", "3.png": "dog"}
    assert score(tmp_path, answers) == Score(0.75, pytest.approx((2 / 3 + 1) / 2))


def test_a_test_image_without_an_answer_is_an_error(tmp_path: Path) -> None:
    for name in ("cat/0", "dog/1"):
        save_image(tmp_path / "test" / f"{name}.png")
    with pytest.raises(ValueError, match="1 of 2 test images have no prediction"):
        score(tmp_path, {"0.png": "cat"})


def test_a_task_is_read_from_the_words_that_it_is_written_as(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = Task(tmp_path / "a b", tmp_path / "weights", 12.5, 3, tmp_path / "answer.json")
    monkeypatch.setattr(sys, "argv", ["rival", *task.words()])
    assert vars(Task.from_command_line()) == vars(task)


def test_a_rival_that_fails_gives_its_last_line_as_the_reason(tmp_path: Path) -> None:
    task = Task(tmp_path, tmp_path, 1.0, 0, tmp_path / "answer.json")
    with pytest.raises(NoModelError, match=r"No module named .*run_nothing"):
        Rival("nobody", "run_nothing").run(task)


@pytest.mark.slow
def test_the_linear_probe_learns_from_the_folders_and_answers_in_time(
    source: Path, tmp_path: Path
) -> None:
    weights = tmp_path / "weights"
    weights.mkdir()
    for k in range(3):
        name = f"tf_efficientnet_lite{k}"
        save_file(timm.create_model(name).state_dict(), weights / f"{name}.safetensors")
    lay_out(source, tmp_path / "out", images=1000, test_images=0, seed=0)
    probe = next(rival for rival in RIVALS if rival.name == "linear probe")
    task = Task(tmp_path / "out", weights, 20.0, 0, tmp_path / "answer.json")
    answer = probe.run(task)
    assert Counter(answer.predictions.values()).keys() == {"dark", "light"}
    assert score(tmp_path / "out", answer.predictions).accuracy > 0.7
    assert answer.versions.keys() == {"scikit-learn", "torch", "timm"}


def outcome(image_set: str, contestant: str, accuracy: float, seed: int = 0) -> Outcome:
    """An outcome with an accuracy."""
    answer = Answer(60.0, "a model", {}, {})
    return Outcome(image_set, contestant, seed, answer, Score(accuracy, accuracy))


def test_the_table_has_the_margin_over_the_best_rival_and_names_the_worst() -> None:
    lines = table_lines(
        [
            *(outcome("cells", OURS, accuracy, seed) for seed, accuracy in enumerate((0.8, 0.9))),
            *(outcome("cells", "a", accuracy, seed) for seed, accuracy in enumerate((0.7, 0.8))),
            *(outcome("cells", "b", accuracy, seed) for seed, accuracy in enumerate((0.6, 0.6))),
            *(outcome("leaves", OURS, 0.5, seed) for seed in range(2)),
            *(outcome("leaves", "a", 0.5, seed) for seed in range(2)),
            *(outcome("leaves", "b", 0.55, seed) for seed in range(2)),
        ]
    )
    assert "| cells | 0.850 | 0.750 | 0.600 | +10.0 |" in lines
    assert "| leaves | 0.500 | 0.500 | 0.550 | -5.0 |" in lines
    assert "| mean | 0.675 | 0.625 | 0.575 | +2.5 |" in lines
    assert "The worst margin is -5.0 points, on leaves." in lines
    assert any(line.startswith("| cells | Finesweep | 0.850 (0.800 to 0.900) |") for line in lines)


def test_a_rival_that_was_not_run_has_its_reason_in_the_table_and_no_mean() -> None:
    lines = table_lines(
        [
            outcome("cells", OURS, 0.8),
            outcome("cells", "a", 0.7),
            Outcome("cells", "b", 0, reason="no such package"),
        ]
    )
    assert "| cells | 0.800 | 0.700 | - | +10.0 |" in lines
    assert "| cells | b | - | - | - | not run: no such package |" in lines


def test_a_later_call_goes_on_with_the_outcomes_of_earlier_ones(tmp_path: Path) -> None:
    record = tmp_path / "outcomes.jsonl"
    assert read_outcomes(record) == []
    first, second = outcome("cells", OURS, 0.8), Outcome("cells", "b", 0, reason="none")
    add_outcomes(record, [first])
    add_outcomes(record, [second])
    assert table_lines(read_outcomes(record)) == table_lines([first, second])
