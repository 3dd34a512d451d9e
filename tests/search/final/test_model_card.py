import json
import re
import shlex
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from search import SweepResult
from search.cli.flags import config_from_arguments
from search.cli.parser import parse_arguments
from search.final.selection import EnsembleMember
from search.record import SweepPaths, load_sweep_config, read_trials
from tests.support.finalizing import finalize_from_untrained
from trainables.data import Dataset

pytestmark = pytest.mark.slow


def test_the_card_has_the_test_result_and_warns_of_the_validation_score(sweep: SweepResult) -> None:
    card = sweep.paths.model_card.read_text()
    assert sweep.final is not None
    assert f"| accuracy | {sweep.final.test.accuracy:.4f} |" in card
    winner = sweep.final.winner
    sentence = (
        f"In the search, trial {winner.trial_id} had a validation accuracy of "
        f"{winner.val_accuracy:.4f}. Validation scores are optimistic"
    )
    assert sentence in " ".join(card.split())
    assert json.dumps(winner.params.backbone) in card
    assert f"on the training and validation images for {winner.epochs} epochs" in card


def test_the_card_has_a_row_of_size_and_times_for_each_format(sweep: SweepResult) -> None:
    card = sweep.paths.model_card.read_text()
    for name in ("timm", "onnx", "pt2"):
        cells = re.search(rf"^\| {name} \| (.*) \|$", card, re.MULTILINE)
        assert cells is not None
        size, alone, batched, difference = map(float, cells[1].split(" | "))
        assert min(size, alone, batched) > 0
        assert difference < 1e-3


def test_the_card_says_under_which_licence_the_weights_came(sweep: SweepResult) -> None:
    assert sweep.final is not None
    backbone = sweep.final.winner.params.backbone
    assert (
        f"{backbone} began with weights at random, which have no"
        in sweep.paths.model_card.read_text()
    )


def test_the_command_on_the_card_launches_the_same_sweep_again(sweep: SweepResult) -> None:
    card = sweep.paths.model_card.read_text()
    (line,) = re.findall(r"^    (.* launch .*)$", card, re.MULTILINE)
    arguments = shlex.split(line.partition(" launch ")[2])
    again = config_from_arguments(parse_arguments(["launch", *arguments]))
    kept = load_sweep_config(sweep.paths)
    assert (again.data, again.trials, again.max_epochs) == (kept.data, kept.trials, kept.max_epochs)
    assert again.space == str(sweep.paths.space)


def test_the_card_of_an_ensemble_has_weights_and_temperatures(ensemble: SweepPaths) -> None:
    card = ensemble.model_card.read_text()
    assert "because timm alone can't build an ensemble of 2 trials." in card
    assert "its weight in the mean of probabilities is 0.75." in card
    assert "The logits of the retrained model are divided by 2.00 (temperature scaling)." in card


def test_a_class_of_any_name_has_one_label_one_row_and_its_name_unchanged(
    sweep: SweepResult, tmp_path: Path
) -> None:
    paths = SweepPaths(Path(shutil.copytree(sweep.paths.root, tmp_path / "names")))
    dataset = Dataset.read(paths.dataset, paths.split)
    names = ("<5 mm|dark", "two\nlines", "__background__")
    replace(dataset, classes=names).write(paths.dataset, paths.split)
    finalize_from_untrained(paths, [EnsembleMember(read_trials(paths.journal)[0])])
    labels = (paths.export / "labels.txt").read_text().splitlines()
    assert labels == ["<5 mm|dark", "two lines", "__background__"], "in the order of the logits"
    card = paths.model_card.read_text()
    assert r"Classes: \<5 mm\|dark, two lines, \_\_background\_\_." in card
    for name in (r"\<5 mm\|dark", "two lines", r"\_\_background\_\_"):
        assert len(re.findall(rf"^\| {re.escape(name)} \|(?: [0-9.]+ \|){{4}}$", card, re.M)) == 1
